"""Fused CPU kernels of the recurrent cells."""
