"""Correction for many comparisons, power, number of seeds, and the value of a search."""

from __future__ import annotations

import math
from bisect import bisect_left
from collections.abc import Sequence
from functools import lru_cache

import numpy as np
from numpy.typing import ArrayLike
from scipy import optimize, special

from benchmarks.analysis.statistics.common import (
    CONFIDENCE,
    LEVEL,
    Vector,
    t_quantile,
    vector,
)

POWER = 0.8
MOST_SEEDS = 1000


def holm(pvalues: Sequence[float]) -> list[float]:
    """Adjust p-values for multiple comparisons (Holm 1979)."""
    return [float(each) for each in np.minimum(1.0, uncapped_holm(pvalues))]


def adjusted(pvalues: Sequence[float], family: int = 0) -> list[float]:
    """Adjust p-values by Holm, or by Bonferroni if they are a selection from a larger family."""
    if family > len(pvalues):
        return [min(1.0, p * family) for p in pvalues]
    return holm(pvalues)


def uncapped_holm(pvalues: Sequence[float]) -> Vector:
    """Return Holm's adjusted p-values before they are limited to 1."""
    p = np.asarray(pvalues, dtype=np.float64)
    order = np.argsort(p)
    found = np.empty_like(p)
    found[order] = np.maximum.accumulate(p[order] * np.arange(len(p), 0, -1))
    return found


def holm_levels(pvalues: Sequence[float]) -> list[float]:
    """Return for each test the level below which p shows a difference after Holm's correction.

    The level divided by the factor that `holm` applies to this p: p < level if and only if the
    adjusted p < LEVEL. An interval at 1 - level then agrees with the corrected verdict.
    """
    p, uncapped = np.asarray(pvalues, dtype=np.float64), uncapped_holm(pvalues)
    # p = 0 comes first in the order, where the factor is the number of tests.
    factor = np.divide(uncapped, p, out=np.full_like(p, len(p)), where=p > 0)
    return [LEVEL / float(each) for each in factor]


def paired_power(effect: float, n: int, alpha: float = LEVEL) -> float:
    """Compute the power of a two-sided paired t-test; `effect` is in sd of the differences."""
    return t_power(effect * math.sqrt(n), n - 1, alpha)


def t_power(shift: float, freedom: float, alpha: float) -> float:
    """Compute the power of a two-sided t-test; `shift` is in standard errors."""
    bound = -t_quantile(alpha / 2, freedom)
    upper = 1 - special.nctdtr(freedom, shift, bound)
    lower = special.nctdtr(freedom, shift, -bound)
    return float(upper + np.nan_to_num(lower))  # far from zero the lower tail underflows


def detectable(error: float | None, freedom: float | None, alpha: float = LEVEL) -> float | None:
    """Return the smallest true difference that a t-test detects with 80 % power.

    None without spread, or beyond some 10,000 standard errors (few seeds at a very small level),
    where the noncentral t distribution is not computed.
    """
    if not error or freedom is None:
        return None
    shift = detectable_shift(freedom, alpha)
    return None if shift is None else error * shift


def seeds_for_margin(
    margin: float, deviation: float, freedom: float, alpha: float = LEVEL
) -> tuple[int | None, int | None]:
    """Return the fewest and most pairs of seeds that detect a difference as large as the margin.

    With 80 % power, over the 95 % interval of the standard deviation of the differences, of which
    `deviation` is the estimate with these degrees of freedom (chi-square). None stands for more
    than 1000.
    """
    if not (margin > 0 and deviation > 0 and freedom > 0):
        raise ValueError("seeds are planned from a margin, a deviation and two pairs or more")
    chi_square = special.chdtri(freedom, [(1 - CONFIDENCE) / 2, (1 + CONFIDENCE) / 2])
    low, high = deviation * np.sqrt(freedom / chi_square)
    return seeds_for_effect(margin / low, alpha), seeds_for_effect(margin / high, alpha)


def seeds_for_effect(effect: float, alpha: float) -> int | None:
    """Return the number of pairs, at most 1000, that detect an effect with 80 % power."""
    numbers = range(2, MOST_SEEDS + 1)
    place = bisect_left(numbers, POWER, key=lambda n: paired_power(effect, n, alpha))
    return numbers[place] if place < len(numbers) else None


@lru_cache(maxsize=4096)
def detectable_shift(freedom: float, alpha: float) -> float | None:
    """Return the smallest difference, in standard errors, that a t-test detects."""
    enough = 1.0
    while t_power(enough, freedom, alpha) < POWER:
        enough *= 1.5
    if math.isnan(t_power(enough, freedom, alpha)):
        return None
    found = optimize.brentq(lambda e: t_power(e, freedom, alpha) - POWER, enough / 1.5, enough)
    return float(found)


def expected_best(scores: ArrayLike, higher_is_better: bool) -> list[float]:
    """Return the expected best validation score of 1, 2, ... n trials (Dodge et al. 2019).

    With F the empirical distribution of n scores, the best of k draws from it has distribution
    F**k, so its mean is the sum over sorted scores of x_i ((i/n)**k - ((i-1)/n)**k).
    """
    x = np.sort(vector(scores) if higher_is_better else -vector(scores))
    steps = np.arange(len(x) + 1) / len(x)
    best = [float(x @ np.diff(steps**k)) for k in range(1, len(x) + 1)]
    return best if higher_is_better else [-value for value in best]
