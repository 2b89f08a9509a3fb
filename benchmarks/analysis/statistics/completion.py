"""Tests over runs of which some fail: rates of completion, and scores with failures as worst."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import special

from benchmarks.analysis.statistics.common import Vector

EXACT_RUNS = 40  # runs of both arms up to which the distribution of the rank sum is enumerated


def fisher_p(completed_a: int, total_a: int, completed_b: int, total_b: int) -> float:
    """Return the two-sided p of equal rates of completion (Fisher's exact test).

    The probability, given both totals and the number of failures, of a table that is at most as
    probable as this one.
    """
    completed, total = completed_a + completed_b, total_a + total_b
    fewest, most = max(0, completed - total_b), min(total_a, completed)
    # Whole numbers of ways: equal probabilities are equal, without a tolerance for rounding.
    ways = [
        math.comb(total_a, k) * math.comb(total_b, completed - k) for k in range(fewest, most + 1)
    ]
    observed = ways[completed_a - fewest]
    return sum(each for each in ways if each <= observed) / math.comb(total, completed)


def ranked_with_failures(
    a: ArrayLike, failed_a: int, b: ArrayLike, failed_b: int, higher_is_better: bool
) -> tuple[float, float]:
    """Compare two arms by ranks (Wilcoxon, Mann-Whitney), with failures as equal worst runs.

    Return the two-sided p and the probability that a run of A is better than a run of B, ties
    counted half. The distribution of the rank sum is exact given the ties for up to 40 runs,
    otherwise normal with the variance of tied ranks and a correction for continuity.
    """
    x, y = (with_failures(s, f, higher_is_better) for s, f in ((a, failed_a), (b, failed_b)))
    if not len(x) or not len(y):
        raise ValueError("both arms need a run")
    doubled = doubled_ranks(np.concatenate((x, y)))
    m, n = len(x), len(y)
    observed, expected = int(doubled[:m].sum()), m * (m + n + 1)
    p = exact_rank_p if m + n <= EXACT_RUNS else normal_rank_p
    better = (observed / 2 - m * (m + 1) / 2) / (m * n)
    return p(doubled, m, abs(observed - expected)), better


def with_failures(scores: ArrayLike, failed: int, higher_is_better: bool) -> Vector:
    """Return scores of which higher are better, with -inf for each failure."""
    x = np.asarray(scores, dtype=np.float64).reshape(-1)
    return np.concatenate((x if higher_is_better else -x, np.full(failed, -np.inf)))


def doubled_ranks(x: Vector) -> NDArray[np.int64]:
    """Return twice the ranks, with the mean rank for ties: whole numbers."""
    _, place, count = np.unique(x, return_inverse=True, return_counts=True)
    last = np.cumsum(count)
    return np.asarray((2 * last - count + 1)[place], dtype=np.int64)


def exact_rank_p(doubled: NDArray[np.int64], m: int, distance: int) -> float:
    """Return the share of the selections of m runs whose rank sum is as far from its mean."""
    top = int(np.sort(doubled)[-m:].sum())
    ways = np.zeros((m + 1, top + 1), dtype=np.int64)  # by number of runs and sum of their ranks
    ways[0, 0] = 1
    for rank in doubled:
        # Downwards in the number of runs, so that each run is selected once.
        for k in range(m, 0, -1):
            ways[k, rank:] += ways[k - 1, : top + 1 - rank]
    far = np.abs(np.arange(top + 1) - m * (len(doubled) + 1)) >= distance
    return float(ways[m, far].sum() / ways[m].sum())


def normal_rank_p(doubled: NDArray[np.int64], m: int, distance: int) -> float:
    """Return the normal approximation of the p of a rank sum, in doubled ranks."""
    n = len(doubled) - m
    variance = m * n / (m + n) * float(doubled.var(ddof=1))
    if variance == 0:
        return 1.0
    z = max(0.0, distance - 1) / math.sqrt(variance)
    return min(1.0, 2 * float(special.ndtr(-z)))
