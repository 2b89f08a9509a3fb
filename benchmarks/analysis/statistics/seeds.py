"""Tests over seeds: the mean and interval of an arm, the difference of two arms."""

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

ENOUGH_FOR_IQM = 8  # number of values from which a quarter can be cut off at either end
ENOUGH_PAIRS_TO_PERMUTE = 16  # the least p, 2 / 2**n, survives Holm among fifty arms
MOST_PAIRS_TO_PERMUTE = 30  # beyond, the mean is nearly normal, and Student's t is used
EXACT_PAIRS = 20  # up to here all sign changes are enumerated, beyond they are drawn
DRAWS = 50_000  # p is at least 1 / DRAWS, which leaves room for Holm's correction
AT_ONCE = 1000  # draws per batch, to limit memory


def interval(values: ArrayLike) -> Interval:
    """Return the mean and Student's t interval; a bootstrap of five values covers 0.83."""
    x = vector(values)
    mean = float(x.mean())
    if len(x) < 2:
        return Interval(mean, None, None, len(x))
    half = t_quantile((1 + CONFIDENCE) / 2, len(x) - 1) * float(x.std(ddof=1)) / math.sqrt(len(x))
    return Interval(mean, mean - half, mean + half, len(x))


def interquartile_mean(values: ArrayLike) -> float | None:
    """Return the mean of the middle half (Agarwal et al. 2021); None for few values."""
    x = np.sort(vector(values))
    cut = len(x) // 4
    return float(x[cut : len(x) - cut].mean()) if len(x) >= ENOUGH_FOR_IQM else None


def paired_by_seed(a: ArrayLike, b: ArrayLike, seed: int = 0, permute: bool = True) -> Paired:
    """Compare the scores of two arms at the same seeds.

    The p-value is that of a paired t-test, or of a sign-flip permutation for 16 to 30 pairs.
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
    found, deviation = interval(d), float(d.std(ddof=1))
    if permute and ENOUGH_PAIRS_TO_PERMUTE <= n <= MOST_PAIRS_TO_PERMUTE:
        p, method = sign_flip_p(d, seed), "paired permutation"
    else:
        p, method = two_sided_t(mean / (deviation / math.sqrt(n)), n - 1), "paired t"
    return Paired(mean, found.low, found.high, p, n, method, probability, deviation)


def unpaired(a: ArrayLike, b: ArrayLike) -> Paired:
    """Compare two arms without common seeds by Welch's t-test; `n` is the smaller number."""
    x, y = vector(a), vector(b)
    mean, n = float(x.mean() - y.mean()), min(len(x), len(y))
    if n < 2:
        return Paired(mean, None, None, None, n, "one seed: no test")
    if max(np.ptp(x), np.ptp(y)) <= NO_SPREAD * size_of(x, y):
        # Without spread: the probability that all scores of one arm rank above the other's.
        ways = math.comb(len(x) + len(y), len(x))
        p = 1.0 if abs(mean) <= NO_SPREAD * size_of(x, y) else 2 / ways
        return Paired(mean, None, None, p, n, "equal scores: ranks")
    of_x, of_y = x.var(ddof=1) / len(x), y.var(ddof=1) / len(y)
    error = math.sqrt(of_x + of_y)
    freedom = (of_x + of_y) ** 2 / (of_x**2 / (len(x) - 1) + of_y**2 / (len(y) - 1))
    half = t_quantile((1 + CONFIDENCE) / 2, freedom) * error
    p = two_sided_t(mean / error, freedom)
    return Paired(mean, mean - half, mean + half, p, n, "Welch t")


def sign_flip_p(differences: ArrayLike, seed: int = 0) -> float:
    """Return the two-sided p of a mean difference under random sign changes."""
    d = vector(differences)
    # Equal sums differ by rounding.
    observed = abs(d.sum()) - 1e-12 * np.abs(d).sum()
    if len(d) <= EXACT_PAIRS:
        sums = d[:1]  # the first sign is fixed: the other half of the sums is symmetric
        for each in d[1:]:
            sums = np.concatenate((sums + each, sums - each))
        return float((np.abs(sums) >= observed).mean())
    rng, extreme = np.random.default_rng(seed), 0
    for _ in range(DRAWS // AT_ONCE):
        positive = rng.integers(2, size=(AT_ONCE, len(d)), dtype=np.int8) @ d
        extreme += int((np.abs(2 * positive - d.sum()) >= observed).sum())
    return (1 + extreme) / (1 + DRAWS)
