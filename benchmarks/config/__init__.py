"""Composed, typed and checked configurations."""
