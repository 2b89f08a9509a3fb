"""Launchers: run the cells of a sweep in this process, in others or on a cluster."""
