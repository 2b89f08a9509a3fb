"""Each task's baselines: what its nets are held against."""
