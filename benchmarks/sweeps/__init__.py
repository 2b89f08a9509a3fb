"""Sweeps: which cells, what is left to do of them, who runs them and how far they are."""
