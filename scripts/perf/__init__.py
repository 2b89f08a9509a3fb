"""Performance programs of the harness: `python -m scripts.perf.NAME` prints ratios with targets."""
