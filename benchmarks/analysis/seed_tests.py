"""Tests over seeds: the scores of an arm, and the test that fits the seeds of two arms."""

from __future__ import annotations

import dataclasses
import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from benchmarks.analysis.statistics.common import Paired, Vector
from benchmarks.analysis.statistics.seeds import paired_by_seed, unpaired

MOST_TO_PERMUTE = 1000  # comparisons beyond which no permutation p survives the correction
ROUNDING = 1e-6  # relative difference of scores that another order of sums causes


@dataclass(frozen=True)
class Scores:
    """The scores of an arm at its seeds in ascending order, NaN for a run without a seed."""

    seeds: Vector
    values: Vector
    is_deterministic: bool

    @property
    def n(self) -> int:
        """Number of scores."""
        return len(self.values)

    def at(self, places: NDArray[np.intp]) -> Scores:
        """Return the scores at these places."""
        return Scores(self.seeds[places], self.values[places], self.is_deterministic)

    @property
    def error(self) -> float:
        """Standard error of the mean."""
        return float(self.values.std(ddof=1)) / math.sqrt(self.n)


def equal_to_rounding(a: Vector, b: Vector) -> bool:
    """Return True if the scores of the same seeds differ only by rounding."""
    return bool((abs(a - b) <= ROUNDING * np.maximum(abs(a), abs(b))).all())


def difference(a: Scores, b: Scores, family: int) -> tuple[Paired | None, str]:
    """Test the difference of two arms, of which at most one is deterministic.

    The test is paired over common seeds, unpaired with fewer than two of them, and one-sample
    against a deterministic arm. Scores that are equal up to rounding count as equal: a test would
    find the sign of the rounding.
    """
    if min(each.n for each in (a, b) if not each.is_deterministic) == 1:
        return None, "n = 1: one seed allows no test"
    permute = family <= MOST_TO_PERMUTE
    if a.is_deterministic or b.is_deterministic:
        n = max(a.n, b.n)
        x, y = np.resize(a.values, n), np.resize(b.values, n)
        found = paired_by_seed(x, y, permute=permute)
        found = dataclasses.replace(found, method=found.method.replace("paired", "one-sample"))
        return found, f"{found.method}, {n} seeds"
    _, in_a, in_b = np.intersect1d(a.seeds, b.seeds, return_indices=True)
    if len(in_a) >= 2:
        x, y = a.values[in_a], b.values[in_b]
        y = x if equal_to_rounding(x, y) else y
        found = paired_by_seed(x, y, permute=permute)
        return found, f"{found.method}, {found.n} seeds"
    found = unpaired(a.values, b.values)
    if found.low is not None:
        # The deviation of as many pairs with the same standard error.
        spread = math.hypot(a.error, b.error) * math.sqrt(found.n)
        found = dataclasses.replace(found, deviation=spread)
    return found, f"{found.method}, {a.n} and {b.n} different seeds"
