"""Equivalence within a margin, and the interval of the effect size."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np
from numpy.typing import ArrayLike

from benchmarks.analysis.statistics.common import Interval, Paired
from benchmarks.analysis.statistics.equivalence import effect_size, tost_p
from benchmarks.analysis.statistics.seeds import paired_by_seed, unpaired
from benchmarks.reporting.renderers import markdown_table
from scripts.simulations.common import Array, is_shown, share

Test = Callable[[ArrayLike, ArrayLike], Paired]
TESTS: tuple[tuple[str, Test], ...] = (("paired", paired_by_seed), ("Welch", unpaired))


def scores_of(draws: int, n: int, difference: float) -> Array:
    """Return scores (draws, arms, seeds) of which a difference has the sd 1."""
    scores = np.random.default_rng(n).normal(scale=np.sqrt(0.5), size=(draws, 2, n))
    scores[:, 0] += difference
    return scores


def equivalent(test: Test, scores: Array, margin: float) -> str:
    """Measure how often two arms are equivalent."""
    return share([is_shown(tost_p(test(a, b), margin)) for a, b in scores])


def margins(draws: int) -> str:
    """Measure equivalence where the difference is as large as the margin, and where it is 0."""
    rows = []
    for name, test in TESTS:
        for n in (3, 5, 10, 20):
            for margin in (0.5, 1.0, 2.0):
                differences = (margin, 0.0)
                found = [equivalent(test, scores_of(draws, n, d), margin) for d in differences]
                rows.append([name, str(n), f"{margin:.1f}", *found])
    header = ["test", "seeds", "margin, sd of a difference", "difference = margin, %", "equal, %"]
    return markdown_table(header, rows)


def contains(interval: Interval | None, value: float) -> bool:
    """Return True if an interval contains a value."""
    assert interval is not None
    assert interval.low is not None
    assert interval.high is not None
    return interval.low <= value <= interval.high


def effects(draws: int) -> str:
    """Measure how often the interval of the effect size contains the true effect."""
    rows = []
    for name, test in TESTS:
        for n in (3, 5, 10):
            truths = (0.0, 1.0, 3.0)
            pairs = [[test(a, b) for a, b in scores_of(draws, n, truth)] for truth in truths]
            found = [
                share([contains(effect_size(each), truth) for each in part])
                for truth, part in zip(truths, pairs, strict=True)
            ]
            rows.append([name, str(n), *found])
    return markdown_table(["test", "seeds", "effect 0, %", "effect 1, %", "effect 3, %"], rows)


def tables(draws: int) -> Iterator[tuple[str, str]]:
    """Measure and yield each table with its caption."""
    each = f"{draws:,} draws each"
    caption = "Arms shown to be equivalent: at a difference as large as the margin (5 % allowed)"
    yield f"{caption}, and between equal arms, {each}", margins(draws)
    yield f"How often 95 % intervals of the effect size contain it, {each}", effects(draws)
