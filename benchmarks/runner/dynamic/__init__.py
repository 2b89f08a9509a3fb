"""Dynamic evaluation of finished language models, a track of its own."""
