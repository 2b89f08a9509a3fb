"""Kernels of our own: C++ compiled on first use, and what autograd needs around it."""
