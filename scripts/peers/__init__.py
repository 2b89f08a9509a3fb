"""Recipes that people run today, compared with rnnbench on the same data and split."""
