"""Coverage of the interval of an arm, and intervals of differences where there are none."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import combinations

import numpy as np
from scipy import stats

from benchmarks.analysis.statistics.common import Paired, at_level
from benchmarks.analysis.statistics.power import holm_levels
from benchmarks.analysis.statistics.seeds import interval, paired_by_seed
from benchmarks.reporting.renderers import markdown_table
from scripts.simulations.common import DISTRIBUTIONS, PART, Array, share


def coverage(draws: int) -> str:
    """Measure how often 95 % intervals of a mean contain the true mean."""
    rows = []
    for name, draw in DISTRIBUTIONS.items():
        for n in (3, 5, 10, 20):
            rng = np.random.default_rng(n)
            x = draw(rng, (draws, n))
            students = [interval(each) for each in x]
            # Intervals of more than one score have both ends.
            hits = [np.array([each.low <= 0 <= each.high for each in students])]  # type: ignore[operator]
            options = {"n_resamples": 1000, "batch": 50, "rng": rng}
            for method in ("percentile", "BCa"):
                resampled = stats.bootstrap((x,), np.mean, axis=1, method=method, **options)
                bounds = resampled.confidence_interval
                hits.append((bounds.low <= 0) & (bounds.high >= 0))
            rows.append([name, str(n), *map(share, hits)])
    header = ["scores", "seeds", "Student's t, %", "percentile bootstrap, %", "BCa bootstrap, %"]
    return markdown_table(header, rows)


def leave_zero_out(found: list[Paired]) -> bool:
    """Return True if an interval does not contain zero."""
    # Both ends are None or neither is.
    return any(each.low is not None and each.low * each.high > 0 for each in found)  # type: ignore[operator]


def pairs_of(arms: Array) -> list[Paired]:
    """Return the differences of all pairs of arms (arms, seeds)."""
    return [paired_by_seed(a, b) for a, b in combinations(arms, 2)]


def at_holm_levels(found: list[Paired]) -> list[Paired]:
    """Return the differences with intervals that agree with the corrected verdicts."""
    levels = holm_levels([1.0 if each.p is None else each.p for each in found])
    return [at_level(each, level) for each, level in zip(found, levels, strict=True)]


def null_tables(draws: int) -> str:
    """Measure how often an interval of a table of equal arms leaves zero out."""
    rows = []
    for arms in (3, 6):
        for n in (3, 5, 10):
            scores = np.random.default_rng(n).normal(size=(draws, arms, n))
            before = [pairs_of(each) for each in scores]
            hits = [[leave_zero_out(each) for each in before]]
            hits.append([leave_zero_out(at_holm_levels(each)) for each in before])
            rows.append([str(arms), str(n), *map(share, hits)])
    header = ["arms", "seeds", "95 % intervals, %", "at the levels of Holm's correction, %"]
    return markdown_table(header, rows)


def tables(draws: int) -> Iterator[tuple[str, str]]:
    """Measure and yield each table with its caption."""
    caption = "How often 95 % intervals of an arm contain the true mean"
    yield f"{caption}, {draws:,} draws each", coverage(draws)
    few = draws // PART
    caption = "Tables of equal arms in which an interval of a difference leaves zero out"
    yield f"{caption} (5 % allowed), {few:,} draws each", null_tables(few)
