"""Trained networks taken elsewhere: exported, proved equal, timed and quantised."""
