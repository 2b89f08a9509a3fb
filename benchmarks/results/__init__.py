"""Rows, run folders and tables."""
