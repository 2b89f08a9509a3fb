"""Two arms of which some seeds are common."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from benchmarks.analysis.statistics.common import Paired
from benchmarks.analysis.statistics.seeds import by_overlap
from benchmarks.reporting.renderers import markdown_table
from scripts.simulations.common import Array, correlated, is_shown, share

CASES = ((3, 3, (0, 1, 2, 3)), (5, 5, (0, 1, 2, 3, 4, 5)), (10, 10, (0, 1, 2, 3, 5, 7, 9, 10)))
UNEQUAL = ((3, 10, (0, 2, 3)), (5, 10, (0, 2, 3, 5)))
ARMS = (  # correlation at a common seed, sd of the scores of B, difference
    (0.0, 1.0, 0.0),
    (0.5, 1.0, 0.0),
    (0.9, 1.0, 0.0),
    (0.5, 3.0, 0.0),
    (0.5, 1 / 3, 0.0),
    (0.5, 1.0, 1.0),
    (0.5, 1.0, 3.0),
    (0.5, 1.0, 5.0),
)


def compared(a: Array, b: Array, common: int) -> Paired:
    """Compare two arms of which the first scores have common seeds."""
    return by_overlap(a[:common], b[:common], a[common:], b[common:])


def rate(draws: int, n: tuple[int, int], common: int, arms: tuple[float, float, float]) -> str:
    """Measure how often a difference is shown."""
    correlation, spread, difference = arms
    rng = np.random.default_rng(common)
    a, b = (rng.normal(size=(draws, size)) for size in n)
    a[:, :common], b[:, :common] = correlated(rng, draws, common, correlation)
    both = zip(a + difference, spread * b, strict=True)
    return share([is_shown(compared(x, y, common).p) for x, y in both])


def tables(draws: int) -> Iterator[tuple[str, str]]:
    """Measure and yield each table with its caption."""
    rows = []
    for a, b, numbers in CASES + UNEQUAL:
        for common in numbers:
            rates = [rate(draws, (a, b), common, arms) for arms in ARMS]
            rows.append([f"{a}, {b}", str(common), *rates])
    header = ["seeds", "common", "r = 0, %", "r = 0.5, %", "r = 0.9, %"]
    header += ["B varies 3 times as much, %", "a third as much, %", "1 sd, %", "3 sd, %", "5 sd, %"]
    caption = "Arms of which some seeds are common, with correlation r (0.5 if not stated)"
    truth = (
        "differences shown where there are none (5 % allowed), then where they are 1, 3 and 5 sd"
    )
    yield f"{caption}: {truth} of the scores, {draws:,} draws each", markdown_table(header, rows)
