"""Average ranks of equal arms over data sets."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from benchmarks.analysis.statistics.ranks import friedman, nemenyi_difference
from benchmarks.reporting.renderers import markdown_table
from scripts.simulations.common import is_shown, share


def tables(draws: int) -> Iterator[tuple[str, str]]:
    """Measure and yield each table with its caption."""
    rows = []
    for sets in (5, 10, 20):
        for arms in (3, 6):
            scores = np.random.default_rng(sets).normal(size=(draws, sets, arms))
            tests = [friedman(each, True) for each in scores]
            least = nemenyi_difference(arms, sets)
            overall = share([is_shown(p) for _, _, p in tests])
            pairs = share([bool(np.ptp(average) > least) for average, _, _ in tests])
            rows.append([str(sets), str(arms), overall, pairs])
    header = ["data sets", "arms", "Friedman (Iman-Davenport), %", "Nemenyi, any pair, %"]
    caption = "Ranks of equal arms over data sets: differences shown (5 % allowed)"
    yield f"{caption}, {draws:,} draws each", markdown_table(header, rows)
