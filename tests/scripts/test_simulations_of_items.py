"""The simulations of dependent items and of two levels: their data have the stated truth."""

from __future__ import annotations

import numpy as np
import pytest

from scripts.simulations.dependence import autoregression, forecasts, newey_west_is_shown
from scripts.simulations.two_level import METRICS, effects, pigeonhole


@pytest.mark.parametrize("memory", [0.0, 0.8])
def test_series_have_the_stated_autocorrelation_and_variance_of_their_mean(memory: float) -> None:
    series = autoregression(np.random.default_rng(0), memory, (2000, 400))
    pairs = series[:, 1:], series[:, :-1]
    assert np.corrcoef(pairs[0].ravel(), pairs[1].ravel())[0, 1] == pytest.approx(memory, abs=0.02)
    assert 400 * series.mean(axis=1).var() == pytest.approx(1.0, rel=0.1)


def test_squares_of_equal_forecasts_differ_by_the_series() -> None:
    a, b = forecasts(np.random.default_rng(1), 0.5, (3, 50))
    series = autoregression(np.random.default_rng(1), 0.5, (3, 50))
    np.testing.assert_allclose(a**2 - b**2, series, atol=1e-12)


def test_newey_west_without_dependence_keeps_its_level() -> None:
    rng = np.random.default_rng(2)
    shown = [newey_west_is_shown(d) for d in rng.normal(size=(2000, 100))]
    assert np.mean(shown) == pytest.approx(0.05, abs=0.02)
    assert newey_west_is_shown(rng.normal(size=100) + 1)


def test_effects_have_the_stated_spread() -> None:
    rng = np.random.default_rng(3)
    means = effects(rng, (4000, 2, 50), (2.0, 1.5), 0.0).mean(axis=2)
    assert means[:, 0].var() == pytest.approx(1 + 4 + 2.25, rel=0.1)
    # Two seeds have the same items.
    assert np.cov(means.T)[0, 1] == pytest.approx(4, rel=0.15)


def test_the_pigeonhole_bootstrap_has_owens_variance() -> None:
    """Owen (2007): the interaction counts about three times."""
    rng = np.random.default_rng(4)
    seeds, items = 20, 60
    table = rng.normal(size=(seeds, items))
    means = np.concatenate([pigeonhole(table, 1, rng) for _ in range(10)])
    assert means.var() == pytest.approx(3 / seeds / items, rel=0.2)


@pytest.mark.parametrize("name", METRICS)
def test_arms_are_equal_beyond_the_items(name: str) -> None:
    arms_of, _ = METRICS[name]
    rng = np.random.default_rng(5)
    found = np.array([[arm.mean() for arm in arms_of(rng, 3)] for _ in range(400)])
    difference = found[:, 0] - found[:, 1]
    assert abs(difference.mean()) < 4 * difference.std() / 20
    assert difference.std() > 0
