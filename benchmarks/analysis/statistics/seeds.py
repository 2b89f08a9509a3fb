"""Tests over seeds: the mean and interval of an arm, the difference of two arms."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
from numpy.typing import ArrayLike

from benchmarks.analysis.statistics.common import (
    CONFIDENCE,
    NO_SPREAD,
    Interval,
    Paired,
    Vector,
    has_spread,
    mean_difference,
    paired_vectors,
    size_of,
    t_difference,
    t_quantile,
    unit_of,
    vector,
)

ENOUGH_FOR_IQM = 8  # number of values from which a quarter can be cut off at either end
FEWEST_COMMON = 3  # common seeds from which their correlation is used: that of two is 1 or -1
CONSTANT = "scores do not vary over seeds: no test"
EQUAL = "equal differences"


def interval(values: ArrayLike) -> Interval:
    """Return the mean and Student's t interval; a bootstrap of five values covers 0.83.

    Equal values are one observation, repeated: they have no interval, as a single one has none.
    """
    x = vector(values)
    if (unit := unit_of(x)) != 1:
        return interval(x / unit).times(unit)
    mean = float(x.mean())
    if len(x) < 2 or not has_spread(x):
        return Interval(mean, None, None, len(x))
    half = t_quantile((1 + CONFIDENCE) / 2, len(x) - 1) * float(x.std(ddof=1)) / math.sqrt(len(x))
    return Interval(mean, mean - half, mean + half, len(x))


def deviation(values: ArrayLike) -> float:
    """Return the standard deviation of two or more values."""
    x = vector(values)
    unit = unit_of(x)
    return float((x / unit).std(ddof=1)) * unit


def interquartile_mean(values: ArrayLike) -> float | None:
    """Return the mean of the middle half (Agarwal et al. 2021); None for few values."""
    x = np.sort(vector(values))
    cut, unit = len(x) // 4, unit_of(x)
    return float((x / unit)[cut : len(x) - cut].mean()) * unit if len(x) >= ENOUGH_FOR_IQM else None


def paired_by_seed(a: ArrayLike, b: ArrayLike) -> Paired:
    """Compare the scores of two arms at the same seeds by a paired t-test.

    Equal differences, and scores that do not vary over seeds, are one observation however often it
    is repeated: they are not tested. Equal scores have p = 1.
    """
    x, y = paired_vectors(a, b, "scores")
    if (unit := unit_of(x, y)) != 1:
        return paired_by_seed(x / unit, y / unit).times(unit)
    d = x - y
    probability = float((d > 0).mean() + 0.5 * (d == 0).mean())
    mean, n = mean_difference(x, y), len(d)
    if n < 2:
        return Paired(mean, None, None, None, n, "one pair: no test", probability)
    if not has_spread(x, y):
        return Paired(mean, None, None, None, n, CONSTANT, probability, 0.0)
    if abs(d).max() <= NO_SPREAD * size_of(x, y):
        return Paired(mean, None, None, 1.0, n, EQUAL, probability, 0.0, 0.0, n - 1)
    if are_equally_apart(x, y):
        return Paired(mean, None, None, None, n, EQUAL, probability, 0.0)
    sd = float(d.std(ddof=1))
    found = t_difference(mean, sd / math.sqrt(n), n - 1, n, "paired t")
    return replace(found, probability=probability, deviation=sd)


def unpaired(a: ArrayLike, b: ArrayLike) -> Paired:
    """Compare two arms without common seeds by Welch's t-test; `n` is the smaller number."""
    x, y = vector(a), vector(b)
    if (unit := unit_of(x, y)) != 1:
        return unpaired(x / unit, y / unit).times(unit)
    mean, n = mean_difference(x, y), min(len(x), len(y))
    if n < 2:
        return Paired(mean, None, None, None, n, "one seed: no test")
    if not has_spread(x, y):
        return Paired(mean, None, None, None, n, CONSTANT, deviation=0.0)
    error = math.hypot(standard_error(x), standard_error(y))
    found = t_difference(mean, error, welch_freedom(x, y), n, "Welch t")
    return replace(found, deviation=math.hypot(x.std(ddof=1), y.std(ddof=1)))


def standard_error(x: Vector) -> float:
    """Return the standard error of a mean."""
    return float(x.std(ddof=1)) / math.sqrt(len(x))


def welch_freedom(x: Vector, y: Vector) -> float:
    """Return the degrees of freedom of Welch's t-test (Welch 1947)."""
    of_x, of_y = standard_error(x) ** 2, standard_error(y) ** 2
    return (of_x + of_y) ** 2 / (of_x**2 / (len(x) - 1) + of_y**2 / (len(y) - 1))


def partly_paired(
    common_a: ArrayLike, common_b: ArrayLike, only_a: ArrayLike, only_b: ArrayLike
) -> Paired:
    """Compare two arms of which some seeds are common, by T_new2 of Derrick et al. (2017).

    The difference is that of the means over all scores of either arm. Its variance is Welch's, less
    the covariance that the common seeds add, with their correlation r:

        s_a**2 / n_a + s_b**2 / n_b - 2 r s_a s_b n_common / (n_a n_b)

    The degrees of freedom lie between those of the paired and of Welch's t-test, in proportion to
    the share of scores at common seeds. `n` is the smaller number of scores.
    """
    pair_a, pair_b = paired_vectors(common_a, common_b, "scores")
    x = np.concatenate((pair_a, np.asarray(only_a, dtype=np.float64)))
    y = np.concatenate((pair_b, np.asarray(only_b, dtype=np.float64)))
    if (unit := unit_of(x, y)) != 1:
        parts = (np.asarray(part) / unit for part in (pair_a, pair_b, only_a, only_b))
        return partly_paired(*parts).times(unit)
    common, alone = len(pair_a), len(x) + len(y) - 2 * len(pair_a)
    welch = unpaired(x, y)
    if welch.error is None or welch.freedom is None:
        return welch
    spread_x, spread_y = float(x.std(ddof=1)), float(y.std(ddof=1))
    covariance = correlation(pair_a, pair_b) * spread_x * spread_y
    variance = welch.error**2 - 2 * covariance * common / (len(x) * len(y))
    weight = alone / (alone + 2 * common)
    freedom = (common - 1) + (welch.freedom - common + 1) * weight
    error = math.sqrt(variance)
    found = t_difference(welch.difference, error, freedom, welch.n, "partly paired t")
    sd = math.sqrt(max(0.0, spread_x**2 + spread_y**2 - 2 * covariance))
    return replace(found, deviation=sd)


def correlation(x: Vector, y: Vector) -> float:
    """Return the correlation of pairs; 0 if the scores of an arm do not vary."""
    if not (has_spread(x) and has_spread(y)):
        return 0.0
    return float(np.clip(np.corrcoef(x, y)[0, 1], -1.0, 1.0))


def are_equally_apart(a: ArrayLike, b: ArrayLike) -> bool:
    """Return True if the differences of pairs vary only by rounding: they count as one."""
    x, y = paired_vectors(a, b, "scores")
    return float(np.ptp(x - y)) <= NO_SPREAD * size_of(x, y)


def by_overlap(
    common_a: ArrayLike, common_b: ArrayLike, only_a: ArrayLike, only_b: ArrayLike
) -> Paired:
    """Compare two arms over all their scores, by the test that fits their common seeds.

    The paired t-test if all seeds are common. The partly paired t-test if at least three are, and
    their differences vary: their correlation is then estimated well enough for at most 5 % false
    differences, see docs/method.md. Otherwise Welch's t-test, which ignores common seeds.
    """
    common, (rest_a, rest_b) = np.size(common_a), (np.size(only_a), np.size(only_b))
    if common and not rest_a and not rest_b:
        return paired_by_seed(common_a, common_b)
    if common >= FEWEST_COMMON and not are_equally_apart(common_a, common_b):
        return partly_paired(common_a, common_b, only_a, only_b)
    return unpaired(np.append(common_a, only_a), np.append(common_b, only_b))
