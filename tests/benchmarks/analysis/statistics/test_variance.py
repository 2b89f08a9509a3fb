"""Variance components of planted tables of scores, and of planted losses of items."""

from __future__ import annotations

import itertools

import numpy as np
import pandas as pd
import pytest
from numpy.typing import NDArray
from scipy.signal import lfilter
from statsmodels.formula.api import ols
from statsmodels.stats.anova import anova_lm

from benchmarks.analysis.statistics.variance import (
    Array,
    Estimate,
    crossed_components,
    item_component,
    mean_square,
)

DRAWS = 200
RUNS = [*itertools.product(range(3), range(4))]
APART = np.array([[a[0] != b[0] and a[1] != b[1] for b in RUNS] for a in RUNS])


def rng() -> np.random.Generator:
    return np.random.default_rng(5)


def exact(levels: int, variance: float) -> NDArray[np.float64]:
    """Return effects with mean 0 and exactly this variance."""
    x = rng().normal(size=levels)
    x = x - x.mean()
    return np.asarray(x * np.sqrt(variance / x.var(ddof=1)))


@pytest.mark.parametrize("shape", [(4, 3), (3, 2, 4)])
def test_mean_squares_are_those_of_statsmodels(shape: tuple[int, ...]) -> None:
    scores = rng().normal(size=shape)
    names = "abc"[: len(shape)]
    cells = [*itertools.product(*map(range, shape))]
    frame = pd.DataFrame(cells, columns=list(names)).assign(score=scores.reshape(-1))
    below = [s for n in range(1, len(shape)) for s in itertools.combinations(range(len(shape)), n)]
    terms = [":".join(f"C({names[axis]})" for axis in subset) for subset in below]
    expected = anova_lm(ols(f"score ~ {' + '.join(terms)}", frame).fit())
    for subset, term in [*zip(below, terms, strict=True), (tuple(range(len(shape))), "Residual")]:
        square, freedom = mean_square(scores, subset)
        assert freedom == expected["df"][term]
        assert square == pytest.approx(expected["sum_sq"][term] / freedom)


def test_effects_without_interaction_are_recovered_exactly() -> None:
    a, b, c = exact(3, 4.0), exact(5, 0.25), exact(4, 1.0)
    scores = 80 + a[:, None, None] + b[None, :, None] + c[None, None, :]
    found = crossed_components(scores, rng())
    assert {axes: estimate.variance for axes, estimate in found.items()} == pytest.approx(
        {(0,): 4.0, (1,): 0.25, (2,): 1.0, (0, 1): 0, (0, 2): 0, (1, 2): 0, (0, 1, 2): 0}, abs=1e-12
    )


def test_an_interaction_is_not_counted_as_an_effect_of_its_factors() -> None:
    ab = np.outer(exact(4, 1.0), exact(6, 2.0))  # its means over either factor are 0
    scores = np.broadcast_to(ab[:, :, None], (4, 6, 3))
    found = crossed_components(scores, rng())
    assert found[0, 1].variance == pytest.approx(2.0)
    others = [found[axes].variance for axes in ((0,), (1,), (2,), (0, 2))]
    assert others == pytest.approx([0, 0, 0, 0], abs=1e-12)


def test_a_single_factor_has_the_variance_of_its_scores() -> None:
    scores = rng().normal(size=9)
    found = crossed_components(scores, rng())
    assert {*found} == {(0,)}
    assert found[0,].variance == pytest.approx(scores.var(ddof=1))
    low, high = found[0,].deviation_interval
    # The chi-square interval of a standard deviation, by tables: 8 degrees of freedom.
    assert low / scores.std(ddof=1) == pytest.approx(np.sqrt(8 / 17.535), rel=0.02)
    assert high / scores.std(ddof=1) == pytest.approx(np.sqrt(8 / 2.180), rel=0.02)


@pytest.mark.parametrize("deviations", [(1.0, 2.0, 1.0), (0.3, 0.0, 1.0)])
def test_intervals_contain_planted_deviations_and_shares(deviations: tuple[float, ...]) -> None:
    planted = rng()
    total = sum(sd**2 for sd in deviations)
    hits = []
    for _ in range(DRAWS):
        a, b, ab = (planted.normal(0, sd, s) for sd, s in zip(deviations, SHAPES, strict=True))
        found = crossed_components(a + b + ab, planted)
        every = sum(found.values(), Estimate(0.0, np.zeros(1)))
        for sd, estimate in zip(deviations, found.values(), strict=True):
            low, high = estimate.deviation_interval
            share = estimate.share_of(every)
            assert share is not None
            hits.append((low <= sd <= high, share[1] <= sd**2 / total <= share[2]))
    # 95 % at 600 values; a component of 0 is contained more often.
    assert (np.mean(hits, axis=0) > 0.92).all()


SHAPES = ((5, 1), (1, 5), (5, 5))


def test_equal_scores_have_no_shares() -> None:
    found = crossed_components(np.full((3, 3), 0.8), rng())
    assert [estimate.variance for estimate in found.values()] == [0, 0, 0]
    assert found[0,].share_of(found[1,]) is None


# --- test items


def losses(items: int, own: float) -> Array:
    """Return losses (runs, items) with a common part of variance 1 and one of each run."""
    draw = rng()
    return np.asarray(draw.normal(size=items) + draw.normal(0, own, (len(RUNS), items)))


def test_the_variance_over_items_is_the_mean_covariance_of_runs_apart() -> None:
    parts = losses(300, own=1.0)
    covariances = [
        np.cov(parts[i], parts[j])[0, 1]
        for i, j in itertools.product(range(len(RUNS)), repeat=2)
        if RUNS[i][0] != RUNS[j][0] and RUNS[i][1] != RUNS[j][1]
    ]
    found = item_component(parts, 1, APART, rng())
    assert found.variance == pytest.approx(np.mean(covariances) / 300)


@pytest.mark.parametrize("own", [0.1, 3.0])
def test_the_luck_of_single_runs_is_left_to_the_components_of_runs(own: float) -> None:
    found = item_component(losses(2000, own), 1, APART, rng())
    low, high = found.deviation_interval
    assert low < np.sqrt(1 / 2000) < high
    assert found.variance == pytest.approx(1 / 2000, rel=0.2)


def test_dependent_items_count_by_blocks() -> None:
    series = lfilter([1.0], [1.0, -0.5], rng().normal(size=20_000))
    parts = np.broadcast_to(series, (len(RUNS), 20_000))
    # The variance of the mean of this autoregression is 1 / (1 - 0.5)**2 per step.
    assert item_component(parts, 50, APART, rng()).variance * 20_000 == pytest.approx(4, rel=0.1)
    assert item_component(parts, 1, APART, rng()).variance * 20_000 == pytest.approx(4 / 3, rel=0.1)


def test_intervals_of_items_contain_the_planted_variance() -> None:
    draw, hits = rng(), []
    for _ in range(DRAWS):
        common = draw.normal(size=200) ** 2  # variance 2
        parts = common + draw.normal(size=(len(RUNS), 200))
        low, high = item_component(parts, 1, APART, draw).deviation_interval
        hits.append(low <= np.sqrt(2 / 200) <= high)
    assert np.mean(hits) > 0.86  # skewed losses: the limit is that of Student's t in method.md


def test_independent_losses_share_no_variance_over_items() -> None:
    parts = rng().normal(size=(len(RUNS), 500))
    found = item_component(parts, 1, APART, rng())
    assert found.variance < 0.1 * parts.var(axis=1).mean() / 500
    assert found.deviation_interval[1] > 0
