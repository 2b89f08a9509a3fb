"""Correction for many comparisons, power, number of seeds, and the value of a search."""

from __future__ import annotations

import math
from bisect import bisect_left
from collections.abc import Sequence
from functools import cache

import numpy as np
from numpy.typing import ArrayLike
from scipy import optimize, special

from benchmarks.analysis.statistics.common import LEVEL, t_quantile, vector

POWER = 0.8
MOST_SEEDS = 1000


def holm(pvalues: Sequence[float]) -> list[float]:
    """Adjust p-values for multiple comparisons (Holm 1979)."""
    p = np.asarray(pvalues, dtype=np.float64)
    order = np.argsort(p)
    adjusted = np.empty_like(p)
    adjusted[order] = np.maximum.accumulate(p[order] * np.arange(len(p), 0, -1))
    return [float(each) for each in np.minimum(1.0, adjusted)]


def paired_power(effect: float, n: int, alpha: float = LEVEL) -> float:
    """Compute the power of a two-sided paired t-test; `effect` is in sd of the differences."""
    bound = t_quantile(1 - alpha / 2, n - 1)
    shift = effect * math.sqrt(n)
    upper = 1 - special.nctdtr(n - 1, shift, bound)
    lower = special.nctdtr(n - 1, shift, -bound)
    return float(upper + np.nan_to_num(lower))  # far from zero the lower tail underflows


def minimum_detectable(sd: float, n: int, alpha: float = LEVEL) -> float | None:
    """Return the least difference that n pairs detect with 80 % power; None without spread."""
    return detectable_effect(n, alpha) * sd if n > 1 and sd > 0 else None


@cache
def detectable_effect(n: int, alpha: float) -> float:
    """Return the smallest effect, in sd of the differences, that n pairs detect."""
    enough = 0.01
    while paired_power(enough, n, alpha) < POWER:
        enough *= 1.5
    found = optimize.brentq(lambda e: paired_power(e, n, alpha) - POWER, enough / 1.5, enough)
    return float(found)


def seeds_needed(difference: float, sd: float, alpha: float = LEVEL) -> int | None:
    """Return the number of pairs, at most 1000, that detect a difference with 80 % power."""
    if difference == 0 or sd <= 0:
        return None
    effect, numbers = abs(difference) / sd, range(2, MOST_SEEDS + 1)
    place = bisect_left(numbers, POWER, key=lambda n: paired_power(effect, n, alpha))
    return numbers[place] if place < len(numbers) else None


def expected_best(scores: ArrayLike, higher_is_better: bool) -> list[float]:
    """Return the expected best validation score of 1, 2, ... n trials (Dodge et al. 2019).

    With F the empirical distribution of n scores, the best of k draws from it has distribution
    F**k, so its mean is the sum over sorted scores of x_i ((i/n)**k - ((i-1)/n)**k).
    """
    x = np.sort(vector(scores) if higher_is_better else -vector(scores))
    steps = np.arange(len(x) + 1) / len(x)
    best = [float(x @ np.diff(steps**k)) for k in range(1, len(x) + 1)]
    return best if higher_is_better else [-value for value in best]
