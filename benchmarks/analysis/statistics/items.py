"""Tests over the items of a test split: they compare runs, not architectures."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import special

from benchmarks.analysis.statistics.common import (
    CONFIDENCE,
    LEVEL,
    Paired,
    Vector,
    p_without_spread,
    paired_vectors,
    size_of,
    t_difference,
    t_quantile,
    vector,
)
from benchmarks.analysis.statistics.dependence import (
    cosine_coefficients,
    cosine_terms,
    dependence_warning,
)

FEWEST_BLOCKS = 10  # fewest blocks from which the variance of their means can be estimated
SHORTEST_BLOCK = 10  # steps of a block, even if they seem independent
FEWEST_STEPS = 200  # shortest sequence that is cut into blocks: they are too short in others
TIE = 1e-9  # of the range of losses, to order models with equal statistics
DRAWS_AT_ONCE = 100  # resampled sequences per batch, to limit memory


def mcnemar(right_a: ArrayLike, right_b: ArrayLike) -> Paired:
    """Compare two classifiers by McNemar's exact test; interval of Agresti and Min (2005)."""
    x, y = paired_vectors(right_a, right_b, "items")
    a, b, n = x > 0, y > 0, len(x)
    only_a, only_b = int((a & ~b).sum()), int((~a & b).sum())
    p = min(1.0, 2 * float(special.bdtr(min(only_a, only_b), only_a + only_b, 0.5)))
    # Half an item added to each cell makes the interval accurate where few items differ.
    centre = (only_a - only_b) / (n + 2)
    spread = math.sqrt((only_a + only_b + 1) - (only_a - only_b) ** 2 / (n + 2)) / (n + 2)
    half = float(special.ndtri((1 + CONFIDENCE) / 2)) * spread
    difference = (only_a - only_b) / n
    return Paired(difference, centre - half, centre + half, p, n, "McNemar exact")


def block_bootstrap(
    losses_a: ArrayLike, losses_b: ArrayLike, seed: int = 0, draws: int = 2000
) -> Paired:
    """Compare the losses of two models along one sequence of dependent steps.

    A circular block bootstrap (Politis and Romano 1992) of A - B, see `block_length`, widened by
    `few_blocks_factor`. The interval is given by percentiles, p by the smaller tail beyond zero.
    """
    x, y = paired_vectors(losses_a, losses_b, "losses")
    d, method = x - y, "block bootstrap"
    if len(d) < FEWEST_STEPS:
        return Paired(float(d.mean()), None, None, None, len(d), f"{method}: too few steps")
    p = p_without_spread(d, size_of(x, y))
    if p is not None:
        return Paired(float(d.mean()), None, None, p, len(d), "equal differences: signs")
    length = block_length(d)
    means = block_means(d, length, draws, np.random.default_rng(seed))
    means = d.mean() + few_blocks_factor(len(d) / length) * (means - d.mean())
    low, high = np.quantile(means, [(1 - CONFIDENCE) / 2, (1 + CONFIDENCE) / 2])
    beyond = int(min((means <= 0).sum(), (means >= 0).sum()))
    p = min(1.0, 2 * (beyond + 1) / (draws + 1))
    warning = dependence_warning(d)
    return Paired(float(d.mean()), float(low), float(high), p, len(d), method, warning=warning)


def block_length(d: Vector) -> int:
    """Return the number of steps of a block, so that most dependent steps are in one block.

    The estimate of Politis and White (2004), but at least ten steps and the cube root of the
    length, because it misses weak long-range dependence. At least ten blocks fit in the sequence.
    """
    from arch.bootstrap import optimal_block_length

    best = float(np.nan_to_num(optimal_block_length(d)["circular"].iloc[0]))
    wanted: int = math.ceil(max(SHORTEST_BLOCK, len(d) ** (1 / 3), best))
    return min(wanted, len(d) // FEWEST_BLOCKS)


def few_blocks_factor(blocks: float) -> float:
    """Return the factor of an interval of few blocks: Student's t, and the variance of n - 1."""
    normal = float(special.ndtri((1 + CONFIDENCE) / 2))
    return t_quantile((1 + CONFIDENCE) / 2, blocks - 1) / normal * math.sqrt(blocks / (blocks - 1))


def block_means(d: Vector, length: int, draws: int, rng: np.random.Generator) -> Vector:
    """Return the means of sequences resampled from circular blocks of `d`, by running sums."""
    n = len(d)
    whole, rest = divmod(n, length)
    running = np.concatenate(([0.0], np.cumsum(np.concatenate((d, d[:length])))))
    means = np.empty(draws)
    for first in range(0, draws, DRAWS_AT_ONCE):
        starts = rng.integers(n, size=(min(DRAWS_AT_ONCE, draws - first), whole + 1))
        sums = (running[starts[:, :-1] + length] - running[starts[:, :-1]]).sum(axis=1)
        sums += running[starts[:, -1] + rest] - running[starts[:, -1]]
        means[first : first + len(starts)] = sums / n
    return means


def diebold_mariano(errors_a: ArrayLike, errors_b: ArrayLike) -> Paired:
    """Compare the squared errors of two forecasts of the same times (Diebold and Mariano 1995).

    The variance is the equal-weighted cosine estimate (Lazarus, Lewis, Stock and Watson 2018),
    with as many degrees of freedom of Student's t as it has terms.
    """
    x, y = (e**2 for e in paired_vectors(errors_a, errors_b, "errors"))
    d, method = x - y, "Diebold-Mariano (EWC)"
    n, mean, freedom = len(d), float(d.mean()), cosine_terms(len(d))
    if not freedom:
        return Paired(mean, None, None, None, n, f"{method}: too few items")
    p = p_without_spread(d, size_of(x, y))
    if p is not None:
        return Paired(mean, None, None, p, n, "equal differences: signs")
    error = math.sqrt(float((cosine_coefficients(d, freedom) ** 2).mean()) / n)
    return replace(t_difference(mean, error, freedom, n, method), warning=dependence_warning(d))


def harvey(errors_a: ArrayLike, errors_b: ArrayLike) -> Paired:
    """Compare squared errors one step ahead as Harvey, Leybourne and Newbold (1997) do.

    They correct the statistic of Diebold and Mariano (1995) for few items. Differences at different
    times are assumed independent, which holds for optimal forecasts of one step. For one step the
    corrected statistic is that of a paired t-test.
    """
    x, y = (e**2 for e in paired_vectors(errors_a, errors_b, "errors"))
    d, method = x - y, "Diebold-Mariano (HLN)"
    n, mean = len(d), float(d.mean())
    p = p_without_spread(d, size_of(x, y))
    if p is not None:
        return Paired(mean, None, None, p, n, "equal differences: signs")
    return t_difference(mean, float(d.std(ddof=1)) / math.sqrt(n), n - 1, n, method)


def model_confidence_set(
    losses: Sequence[ArrayLike], seed: int = 0, block: int = 10
) -> tuple[list[int], list[float]]:
    """Return the places of the models that may be the best, and each model's p-value.

    Hansen, Lunde and Nason (2011); `block` is the block length, 1 for independent items.
    """
    table = np.stack([vector(each) for each in losses], axis=1)
    # Columns that differ by a constant have no spread to standardise by: only the better one is
    # tested, and the other is worse.
    shapes, back = np.unique(table - table[0], axis=1, return_inverse=True)
    levels, back = table[0], back.reshape(-1)
    least = np.array([levels[back == place].min() for place in range(shapes.shape[1])])
    p_of = np.ones(shapes.shape[1])
    if len(p_of) > 1:
        p_of = _p_of_models(shapes + least, seed, block)
    pvalues = [
        float(p_of[place]) if level == least[place] else 0.0
        for place, level in zip(back, levels, strict=True)
    ]
    return [i for i, p in enumerate(pvalues) if p > LEVEL], pvalues


def _p_of_models(losses: NDArray[np.float64], seed: int, block: int) -> NDArray[np.float64]:
    """Return the p-value of each model from losses (items, models)."""
    from arch.bootstrap import MCS

    def computed(losses: NDArray[np.float64]) -> Any:
        found: Any = MCS(losses, LEVEL, reps=1000, block_size=block, seed=seed)
        found.compute()
        return found.pvalues["Pvalue"]

    models = losses.shape[1]
    found = computed(losses)
    if any(np.ndim(place) for place in found.index):
        # arch removes several models at once if their statistics are equal, as those of few items.
        ties = np.random.default_rng(seed).random(models)
        found = computed(losses + TIE * np.ptp(losses) * ties)
    p_of: NDArray[np.float64] = found.loc[list(range(models))].to_numpy(float)
    return p_of
