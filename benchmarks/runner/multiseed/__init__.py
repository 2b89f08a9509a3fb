"""Multi-seed runs: the seeds of one arm in one process, trained in the same steps if faster."""
