"""Sequence tasks; only head.py and heads.py import torch at module level."""
