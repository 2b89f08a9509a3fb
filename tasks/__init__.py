"""Sequence tasks: data with a fixed split, a loss, metrics and baselines.

Each `task.py` imports no torch, so that the command line reports mistakes at once. The `nn.Module`
classes around the encoder are in the `head` files.
"""
