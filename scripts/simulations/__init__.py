"""Simulated data with known truth: one module per subject, each with `tables(draws)`."""
