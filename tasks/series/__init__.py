"""Classification of real-valued sequences."""
