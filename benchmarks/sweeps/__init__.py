"""Sweeps: the cells of a command line, their scheduling, launchers and progress."""
