"""Tests over seeds: the scores of an arm, and the test that fits the seeds of two arms."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from benchmarks.analysis.statistics.common import Paired, Vector, size_of
from benchmarks.analysis.statistics.seeds import are_equally_apart, by_overlap, paired_by_seed

ROUNDING = 1e-6  # relative difference of scores that another order of sums causes


@dataclass(frozen=True)
class Scores:
    """The scores of an arm, first those at its seeds in ascending order, then those without one.

    `seeds` is shorter than `values` if there are runs without a seed. `failed` is the number of
    runs without a score, `pooled` the scores of all runs if arms are pooled: a seed then has their
    mean.
    """

    seeds: NDArray[np.int64]
    values: Vector
    is_deterministic: bool
    failed: int = 0
    pooled: Vector | None = None

    @property
    def runs(self) -> Vector:
        """The scores of all runs."""
        return self.values if self.pooled is None else self.pooled

    @property
    def seed_list(self) -> list[int | None]:
        """The seed of each score, or None."""
        return [*self.seeds.tolist(), *[None] * (self.n - len(self.seeds))]

    @property
    def n(self) -> int:
        """Number of scores."""
        return len(self.values)

    @property
    def attempted(self) -> int:
        """Number of completed and failed runs."""
        return len(self.runs) + self.failed

    @property
    def is_constant(self) -> bool:
        """True if several seeds have one score: the seed has no effect."""
        return self.n > 1 and float(np.ptp(self.values)) <= ROUNDING * size_of(self.values)


def equal_to_rounding(a: Vector, b: Vector) -> bool:
    """Return True if the scores of the same seeds differ only by rounding."""
    return bool((abs(a - b) <= ROUNDING * np.maximum(abs(a), abs(b))).all())


def common_places(a: Scores, b: Scores) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """Return the places of the common seeds in either arm."""
    _, in_a, in_b = np.intersect1d(a.seeds, b.seeds, return_indices=True)
    return in_a, in_b


def difference(a: Scores, b: Scores) -> tuple[Paired | None, str]:
    """Test the difference of the means of all scores; at most one arm may be deterministic.

    The test is one-sample against a deterministic arm and one whose seeds change nothing, and
    otherwise depends on the number of common seeds, see `by_overlap`. Scores that are equal up to
    rounding at all seeds count as equal: a test would find the sign of the rounding.
    """
    nets = [each for each in (a, b) if not each.is_deterministic]
    if min(each.n for each in nets) == 1:
        return None, "n = 1: one seed allows no test"
    varying = [each for each in nets if not each.is_constant]
    if not varying:
        return None, f"the seed changes no score: {nets[0].n} equal scores count as one"
    if len(varying) == 1:
        n = varying[0].n
        found = paired_by_seed(np.resize(a.values, n), np.resize(b.values, n))
        found = replace(found, method=found.method.replace("paired", "one-sample"))
        return found, f"{found.method}, {n} seeds"
    in_a, in_b = common_places(a, b)
    x, y = a.values[in_a], b.values[in_b]
    are_all_common = len(in_a) == a.n == b.n
    if are_all_common and equal_to_rounding(x, y):
        y = x
    found = by_overlap(x, y, np.delete(a.values, in_a), np.delete(b.values, in_b))
    if found.p is None:
        return None, f"the difference is the same at all {a.n} seeds: they count as one"
    if are_all_common:
        return found, f"{found.method}, {found.n} seeds"
    common = f"{len(in_a)} in common" if len(in_a) else "none in common"
    if len(in_a) > 1 and are_equally_apart(x, y):
        common += " with equal differences, which count as one"
    return found, f"{found.method}, {a.n} and {b.n} seeds, {common}"
