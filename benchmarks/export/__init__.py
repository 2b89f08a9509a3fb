"""Export of trained networks: verified, scored, timed and quantised."""
