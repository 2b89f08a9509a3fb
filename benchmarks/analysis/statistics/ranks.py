"""Average ranks of arms over data sets."""

from __future__ import annotations

import math
from functools import cache

import numpy as np
from numpy.typing import ArrayLike
from scipy import special

from benchmarks.analysis.statistics.common import LEVEL, Vector
from benchmarks.analysis.statistics.completion import doubled_ranks


def friedman(scores: ArrayLike, higher_is_better: bool) -> tuple[Vector, float, float]:
    """Return the average ranks of arms over data sets, 1 is best, and Friedman's test of them.

    `scores` has a row for each data set and a column for each arm. The statistic is the F of Iman
    and Davenport (1980), with tied scores at their mean rank. If all data sets rank the arms in the
    same order, F is infinite, and p is that of this order by exchanging arms.
    """
    x = np.asarray(scores, dtype=np.float64)
    if x.ndim != 2 or min(x.shape) < 2 or not np.isfinite(x).all():
        raise ValueError("ranks need two data sets and two arms or more, all scores finite")
    sets, arms = x.shape
    ranks = np.array([doubled_ranks(row) for row in (-x if higher_is_better else x)]) / 2
    average = ranks.mean(axis=0)
    of_arms = sets * float(((average - (arms + 1) / 2) ** 2).sum())
    rest = float(((ranks - (arms + 1) / 2) ** 2).sum()) - of_arms
    if of_arms < 1e-9:
        return average, 0.0, 1.0
    least = math.factorial(arms) ** (1.0 - sets)
    if rest < 1e-9:
        return average, math.inf, least
    statistic = (sets - 1) * of_arms / rest
    p = float(special.fdtrc(arms - 1, (arms - 1) * (sets - 1), statistic))
    return average, statistic, max(p, least)


@cache
def nemenyi_difference(arms: int, datasets: int, alpha: float = LEVEL) -> float:
    """Return the difference of average ranks that Nemenyi's test (1963) shows between two arms."""
    from scipy.stats import studentized_range  # takes a second to import

    quantile = float(studentized_range.ppf(1 - alpha, arms, np.inf))
    return quantile / math.sqrt(2) * math.sqrt(arms * (arms + 1) / (6 * datasets))
