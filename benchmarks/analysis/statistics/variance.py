"""Variance components of a complete crossed design, and of the items of a test split.

The estimates are those of the analysis of variance (Searle, Casella and McCulloch 1992), the
intervals generalised confidence intervals (Weerahandi 1993).
"""

from __future__ import annotations

import itertools
import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from benchmarks.analysis.statistics.common import CONFIDENCE, Vector

Array = NDArray[np.float64]
Subset = tuple[int, ...]
"""Axes of a table of scores: the factors of an effect."""

DRAWS = 20_000


@dataclass(frozen=True)
class Estimate:
    """A variance, not below 0, and draws from its distribution given the data."""

    variance: float
    draws: Vector

    def __add__(self, other: Estimate) -> Estimate:
        """Return the sum of two components."""
        return Estimate(self.variance + other.variance, self.draws + other.draws)

    @property
    def deviation_interval(self) -> tuple[float, float]:
        """The ends of the interval of the standard deviation."""
        return ends(np.sqrt(self.draws))

    def share_of(self, total: Estimate) -> tuple[float, float, float] | None:
        """Return the share of a total and the ends of its interval; None without variance."""
        if total.variance == 0:
            return None
        known = total.draws > 0
        return self.variance / total.variance, *ends(self.draws[known] / total.draws[known])


def ends(draws: Vector) -> tuple[float, float]:
    """Return the ends of the interval that draws give."""
    low, high = np.quantile(draws, [(1 - CONFIDENCE) / 2, (1 + CONFIDENCE) / 2])
    return float(low), float(high)


def crossed_components(scores: Array, rng: np.random.Generator) -> dict[Subset, Estimate]:
    """Estimate the variance of each factor and of each interaction.

    Args:
        scores: one axis per factor, of at least two levels each, without missing values.
        rng: of the draws.

    Returns:
        The components by the axes of their factors. That of all axes is the variance which no
        other one explains.
    """
    axes = range(scores.ndim)
    subsets = [s for size in axes for s in itertools.combinations(axes, size + 1)]
    squares = {subset: mean_square(scores, subset) for subset in subsets}
    pivots = {s: square * df / rng.chisquare(df, DRAWS) for s, (square, df) in squares.items()}
    found = {}
    for subset in subsets:
        # E[mean square of S] = sum over T containing S of (levels outside T) x component of T.
        outside = math.prod(scores.shape[axis] for axis in axes if axis not in subset)
        signs = {t: (-1) ** (len(t) - len(subset)) for t in subsets if {*subset} <= {*t}}
        variance = sum(sign * squares[t][0] for t, sign in signs.items()) / outside
        draws = np.sum([sign * pivots[t] for t, sign in signs.items()], axis=0) / outside
        found[subset] = Estimate(max(0.0, variance), np.maximum(0.0, draws))
    return found


def mean_square(scores: Array, subset: Subset) -> tuple[float, int]:
    """Return the mean square of a factor or an interaction, and its degrees of freedom."""
    others = tuple(axis for axis in range(scores.ndim) if axis not in subset)
    effect = scores.mean(axis=others, keepdims=True)
    for axis in subset:
        effect = effect - effect.mean(axis=axis, keepdims=True)
    freedom = math.prod(scores.shape[axis] - 1 for axis in subset)
    return float((effect**2).sum()) * scores.size / effect.size / freedom, freedom


def item_component(
    parts: Array, block: int, is_apart: NDArray[np.bool_], rng: np.random.Generator
) -> Estimate:
    """Estimate the variance of a score over samples of test items that runs share.

    It is the covariance of two runs' scores over the items: a run's own luck with these items
    varies from run to run and is part of the components of the runs.

    Args:
        parts: (runs, items), the contribution of each item to a run's score: its score is their
            mean up to a constant.
        block: number of consecutive items that depend on each other, 1 for independent items.
        is_apart: (runs, runs), the pairs that share no level of any factor.
        rng: of the draws.
    """
    blocks = parts.shape[1] // block
    sums = parts[:, : blocks * block].reshape(len(parts), blocks, block).sum(axis=2)
    sums = sums - sums.mean(axis=1, keepdims=True)
    products = (is_apart @ sums * sums).sum(axis=0) / is_apart.sum()
    scale = blocks / (blocks - 1) / (blocks * block) ** 2
    variance = float(products.sum()) * scale
    error = float(products.std(ddof=1)) * math.sqrt(blocks) * scale
    if variance <= 0:
        return Estimate(0.0, np.maximum(0.0, rng.normal(variance, error, DRAWS)))
    if error == 0:
        return Estimate(variance, np.full(DRAWS, variance))
    # Of a chi-square with this mean and deviation; normal blocks have that of their number.
    freedom = min(2 * (variance / error) ** 2, blocks - 1)
    return Estimate(variance, variance * freedom / rng.chisquare(freedom, DRAWS))
