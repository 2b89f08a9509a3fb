"""Scores of seeds: one arm's mean and interval, two arms' difference."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import ArrayLike

from benchmarks.analysis.statistics.common import (
    CONFIDENCE,
    NO_SPREAD,
    Interval,
    Paired,
    p_without_spread,
    paired_vectors,
    size_of,
    t_quantile,
    two_sided_t,
    vector,
)

ENOUGH_FOR_IQM = 8
"""Fewer values have no quarter to cut off at either end worth the name."""

ENOUGH_PAIRS_TO_PERMUTE = 16
"""n pairs give no two-sided p below 2 / 2**n, which Holm multiplies by the number of comparisons:
ten pairs could show nothing among eight arms, sixteen can among fifty."""

MOST_PAIRS_TO_PERMUTE = 30
"""Of more the mean is so nearly normal that Student's t says the same, at once and without a
smallest p."""

EXACT_PAIRS = 20
"""Up to so many pairs all sign changes are counted, beyond them some are drawn."""

DRAWS = 50_000
"""p cannot come out below one in so many, which too must be room enough for Holm."""

AT_ONCE = 1000
"""Draws held in memory together."""


def interval(values: ArrayLike, confidence: float = CONFIDENCE) -> Interval:
    """Mean and Student's t interval of seeds' scores.

    At the few seeds one has, a bootstrap covers far less than it says (five values: 0.83 instead of
    0.95), Student's t what it says unless the scores are far from normal.
    """
    x = vector(values)
    mean = float(x.mean())
    if len(x) < 2:
        return Interval(mean, None, None, len(x))
    half = t_quantile((1 + confidence) / 2, len(x) - 1) * float(x.std(ddof=1)) / math.sqrt(len(x))
    return Interval(mean, mean - half, mean + half, len(x))


def interquartile_mean(values: ArrayLike) -> float | None:
    """Mean without the lowest and highest quarter (Agarwal et al. 2021); None for few values."""
    x = np.sort(vector(values))
    cut = len(x) // 4
    return float(x[cut : len(x) - cut].mean()) if len(x) >= ENOUGH_FOR_IQM else None


def paired_by_seed(
    a: ArrayLike,
    b: ArrayLike,
    seed: int = 0,
    confidence: float = CONFIDENCE,
    permute: bool = True,
) -> Paired:
    """Compare two arms' scores at the same seeds.

    The p-value is the paired t-test's, or that of exchanging signs for 16 to 30 pairs.

    Args:
        a, b: (n,) scores, the same seed at the same place.
        seed: of the signs that are drawn when there are too many to count.
        confidence: of the interval.
        permute: False where so many comparisons are made that no counted p can be small enough.
    """
    x, y = paired_vectors(a, b, "scores")
    d = x - y
    probability = float((d > 0).mean() + 0.5 * (d == 0).mean())
    mean, n = float(d.mean()), len(d)
    if n < 2:
        return Paired(mean, None, None, None, n, "one pair: no test", probability)
    p = p_without_spread(d, size_of(x, y))
    if p is not None:
        return Paired(mean, None, None, p, n, "equal differences: signs", probability, 0.0)
    found, deviation = interval(d, confidence), float(d.std(ddof=1))
    if permute and ENOUGH_PAIRS_TO_PERMUTE <= n <= MOST_PAIRS_TO_PERMUTE:
        p, method = sign_flip_p(d, seed), "paired permutation"
    else:
        p, method = two_sided_t(mean / (deviation / math.sqrt(n)), n - 1), "paired t"
    return Paired(mean, found.low, found.high, p, n, method, probability, deviation)


def unpaired(a: ArrayLike, b: ArrayLike, confidence: float = CONFIDENCE) -> Paired:
    """Compare two arms without seeds in common, by Welch's t-test.

    Args:
        a: (n,) scores.
        b: (m,) scores.
        confidence: of the interval.

    Returns:
        The difference A - B, with the smaller of both numbers of seeds.
    """
    x, y = vector(a), vector(b)
    mean, n = float(x.mean() - y.mean()), min(len(x), len(y))
    if n < 2:
        return Paired(mean, None, None, None, n, "one seed: no test")
    if max(np.ptp(x), np.ptp(y)) <= NO_SPREAD * size_of(x, y):
        # Without a spread: how likely chance puts all of one arm above all of the other.
        ways = math.comb(len(x) + len(y), len(x))
        p = 1.0 if abs(mean) <= NO_SPREAD * size_of(x, y) else 2 / ways
        return Paired(mean, None, None, p, n, "equal scores: ranks")
    of_x, of_y = x.var(ddof=1) / len(x), y.var(ddof=1) / len(y)
    error = math.sqrt(of_x + of_y)
    freedom = (of_x + of_y) ** 2 / (of_x**2 / (len(x) - 1) + of_y**2 / (len(y) - 1))
    half = t_quantile((1 + confidence) / 2, freedom) * error
    p = two_sided_t(mean / error, freedom)
    return Paired(mean, mean - half, mean + half, p, n, "Welch t")


def sign_flip_p(differences: ArrayLike, seed: int = 0) -> float:
    """Two-sided p of a mean difference when the sign of each could as well be the other.

    All signs for up to 20 pairs, else 50,000 draws, the data's own counted among them.
    """
    d = vector(differences)
    # Sums that are equal on paper differ by rounding.
    observed = abs(d.sum()) - 1e-12 * np.abs(d).sum()
    if len(d) <= EXACT_PAIRS:
        sums = d[:1]  # the first sign may stay, the other half of the sums mirrors this one
        for each in d[1:]:
            sums = np.concatenate((sums + each, sums - each))
        return float((np.abs(sums) >= observed).mean())
    rng, extreme = np.random.default_rng(seed), 0
    for _ in range(DRAWS // AT_ONCE):
        positive = rng.integers(2, size=(AT_ONCE, len(d)), dtype=np.int8) @ d
        extreme += int((np.abs(2 * positive - d.sum()) >= observed).sum())
    return (1 + extreme) / (1 + DRAWS)
