"""Target, season and window that follow from the training part."""

from __future__ import annotations

import numpy as np
import pytest
from statsmodels.tsa.stattools import acf

from tasks.base import DataError
from tasks.forecast.choices import (
    check_season,
    choose_season,
    choose_target,
    choose_window,
    correlations,
    unit_of,
    usual_season,
)
from tests.helpers.series_files import Floats, airline


def noise(count: int, seed: int = 0) -> Floats:
    return np.random.default_rng(seed).normal(size=count)


def test_a_series_that_grows_in_proportion_is_a_log_return() -> None:
    target, reason = choose_target(airline()[:101])
    assert target == "log_return"
    assert "positive" in reason
    prices = 100 * np.exp(np.cumsum(0.002 + 0.01 * noise(800)))
    assert choose_target(prices)[0] == "log_return"


def test_a_series_that_wanders_is_a_difference() -> None:
    assert choose_target(1000 + np.cumsum(noise(500)))[0] == "difference"
    # The changes of a trend with equal noise do not grow with the level.
    assert choose_target(100 + 0.5 * np.arange(300) + noise(300))[0] == "difference"


@pytest.mark.parametrize("shift", [0.0, -500.0])
def test_a_series_with_zeros_or_negative_values_has_no_logarithm(shift: float) -> None:
    values = airline()[:101] + shift
    values[0] = min(values[0], 0.0)
    assert choose_target(values)[0] == "difference"


def test_a_series_around_its_mean_is_a_level() -> None:
    values = np.zeros(400)
    for step, shock in enumerate(noise(399), 1):
        values[step] = 0.5 * values[step - 1] + shock
    assert choose_target(50 + values)[0] == "level"
    assert choose_target(np.full(50, 3.0))[0] == "level"


@pytest.mark.parametrize(
    ("frequency", "season", "unit"),
    [
        ("MS", 12, "months"),
        ("QS", 4, "quarters"),
        ("YS", 1, "years"),
        ("W", 52, "weeks"),
        ("W-SUN", 52, "weeks"),
        ("D", 7, "days"),
        ("B", 5, "business days"),
        ("h", 24, "hours"),
        ("15min", 96, "steps of 15 minutes"),
        ("7min", 1, "steps of 7 minutes"),
        ("2h", 12, "steps of 2 hours"),
        ("row", 1, "steps"),
        ("", 1, "steps"),
    ],
)
def test_frequencies_have_usual_seasons_and_units(frequency: str, season: int, unit: str) -> None:
    assert usual_season(frequency) == season
    assert unit_of(frequency) == unit


def test_a_season_that_training_shows_is_kept() -> None:
    season, reason = choose_season(np.log(airline()[:101]), "MS")
    assert season == 12
    assert "12 months apart" in reason


@pytest.mark.parametrize("seed", range(5))
def test_a_random_walk_has_no_season(seed: int) -> None:
    season, reason = choose_season(np.cumsum(noise(600, seed)), "D")
    assert season == 1
    assert "no season of 7 days" in reason


def test_a_short_or_constant_series_has_no_season() -> None:
    assert "fewer than 3 seasons" in choose_season(airline()[:30], "MS")[1]
    assert choose_season(np.full(80, 4.0), "MS")[0] == 1
    assert choose_season(airline(), "row") == (
        1,
        "a series without a known frequency has no usual season; set task.season=N if there is one",
    )


def test_correlations_are_those_of_statsmodels() -> None:
    values = airline()
    np.testing.assert_allclose(correlations(values, 20), acf(values, nlags=20)[1:], rtol=1e-10)


@pytest.mark.parametrize(
    ("train", "season", "horizon", "window"),
    [
        (101, 12, 1, 24),
        (101, 12, 24, 24),
        (1000, 12, 36, 36),
        (500, 1, 1, 30),
        (25, 1, 1, 6),
        (13, 1, 1, 2),
        (3, 1, 1, 1),
        (100_000, 1440, 1, 200),
    ],
)
def test_the_window_has_two_seasons_within_limits(
    train: int, season: int, horizon: int, window: int
) -> None:
    assert choose_window(train, season, horizon)[0] == window


def test_a_season_needs_two_of_them_in_training() -> None:
    check_season(12, 24, "months")
    with pytest.raises(DataError, match=r"task.season=12: .* 23 months, .*at most 11"):
        check_season(12, 23, "months")
