"""Ensembles of finished runs, from their stored predictions."""
