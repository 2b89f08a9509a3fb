"""Sequence tasks; only the `head` files import torch with the module."""
