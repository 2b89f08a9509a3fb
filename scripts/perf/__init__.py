"""Benchmarks of the harness itself: `python -m scripts.perf.NAME` prints what it measured.

Each ends in `ratio:` lines, the targets beside them; docs/performance.md is made by `--write`.
"""
