"""Scores of seeds, and the test that fits what two arms have of them."""

from __future__ import annotations

import dataclasses
import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from benchmarks.analysis import statistics
from benchmarks.analysis.statistics import Paired
from benchmarks.analysis.statistics.common import Vector

MOST_TO_PERMUTE = 1000
"""Comparisons, beyond which no p that is counted from sign changes outlives their correction."""

ONE_SEED = "n = 1: one seed shows nothing of the architecture"


ROUNDING = 1e-6
"""Part of a score below which a difference is rounding: of the order of sums, by other kernels,
other threads or other seeds in the same pass."""


@dataclass(frozen=True)
class Scores:
    """An arm's scores.

    Attributes:
        seeds: (n,) ascending; NaN where there is none.
        values: (n,) the score at each.
        is_deterministic: chance has no part in it, so that its one score is all it can have.
    """

    seeds: Vector
    values: Vector
    is_deterministic: bool

    @property
    def n(self) -> int:
        """How many there are."""
        return len(self.values)

    def at(self, places: NDArray[np.intp]) -> Scores:
        """Choose some of the scores, by place."""
        return Scores(self.seeds[places], self.values[places], self.is_deterministic)

    @property
    def error(self) -> float:
        """Standard error of the mean of several."""
        return float(self.values.std(ddof=1)) / math.sqrt(self.n)


def equal_to_rounding(a: Vector, b: Vector) -> bool:
    """Whether the scores of the same seeds, two arrays of one shape, differ by rounding alone."""
    return bool((abs(a - b) <= ROUNDING * np.maximum(abs(a), abs(b))).all())


def difference(a: Scores, b: Scores, family: int) -> tuple[Paired | None, str]:
    """Test the difference of two arms of which not both are deterministic.

    By the seeds they have in common; without two of those, as independent ones; against the one
    score of a deterministic arm, as against a constant. Scores that are equal to rounding count as
    equal: a test would ask of what sign rounding is.

    Args:
        a, b: the arms' scores.
        family: comparisons that are made in all.

    Returns:
        The difference A - B, None if one seed is all there is; the test and its seeds in words.
    """
    if min(each.n for each in (a, b) if not each.is_deterministic) == 1:
        return None, ONE_SEED
    permute = family <= MOST_TO_PERMUTE
    if a.is_deterministic or b.is_deterministic:
        n = max(a.n, b.n)
        x, y = np.resize(a.values, n), np.resize(b.values, n)
        found = statistics.paired_by_seed(x, y, permute=permute)
        found = dataclasses.replace(found, method=found.method.replace("paired", "one-sample"))
        return found, f"{found.method}, {n} seeds"
    _, mine, others = np.intersect1d(a.seeds, b.seeds, return_indices=True)
    if len(mine) >= 2:
        x, y = a.values[mine], b.values[others]
        y = x if equal_to_rounding(x, y) else y
        found = statistics.paired_by_seed(x, y, permute=permute)
        return found, f"{found.method}, {found.n} seeds"
    found = statistics.unpaired(a.values, b.values)
    if found.low is not None:
        # Of as many pairs as would give the same standard error.
        spread = math.hypot(a.error, b.error) * math.sqrt(found.n)
        found = dataclasses.replace(found, deviation=spread)
    return found, f"{found.method}, {a.n} and {b.n} seeds that are not the same"
