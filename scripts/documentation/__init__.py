"""Blocks of the documentation that the code or a measured table determines."""
