"""Comparison of the arms in result tables, with tests of their differences."""
