"""Baselines of forecasts several steps ahead, against formulas and other libraries."""

from __future__ import annotations

import math
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from sklearn.linear_model import LinearRegression
from statsmodels.datasets import co2
from statsmodels.tsa.ar_model import AutoReg
from statsmodels.tsa.exponential_smoothing.ets import ETSModel
from statsmodels.tsa.holtwinters import ExponentialSmoothing

from benchmarks.training.evaluation import evaluate
from tasks.forecast.baselines import METHODS, History, iterated, lags_of, ridge, smoothed
from tasks.forecast.task import ForecastSettings
from tests.helpers.series_files import AIRLINE, Floats, airline, load, whole, write_series

TRAIN_END, STEPS, SEASON, HORIZON = 180, 240, 6, 8
NAMES = ForecastSettings().baselines()


def seasonal(steps: int = STEPS, seed: int = 0) -> Floats:
    """Return a trend with a season of six steps and autocorrelated noise."""
    draws, noise = np.random.default_rng(seed), np.zeros(steps)
    for step in range(1, steps):
        noise[step] = 0.6 * noise[step - 1] + draws.normal()
    times = np.arange(steps)
    wave: Floats = 50 + 0.2 * times + 6 * np.sin(2 * np.pi * times / SEASON) + noise
    return wave


VALUES = seasonal()


def forecast(name: str, values: Floats = VALUES, season: int = SEASON, **facts: Any) -> Floats:
    history = History(
        **({"values": values, "train_end": TRAIN_END, "season": season} | facts),
        horizon=HORIZON,
        is_relative=True,
    )
    return METHODS[name].fit(history)[0]


# --- the reference numbers of Airline


@pytest.mark.parametrize(
    ("name", "rmse"), [("random_walk", 55.8), ("seasonal_naive", 52.8), ("seasonal_growth", 20.5)]
)
def test_the_known_errors_of_the_last_18_months_of_airline(name: str, rmse: float) -> None:
    passengers = airline()
    history = History(np.log(passengers), 101, 12, 1, True)
    found = np.exp(METHODS[name].fit(history)[0][-19:-1, 0])
    assert np.sqrt(((found - passengers[-18:]) ** 2).mean()) == pytest.approx(rmse, abs=0.06)


@pytest.mark.parametrize("horizon", [1, 12])
def test_baselines_with_a_season_beat_the_random_walk_on_airline(horizon: int) -> None:
    task = load(AIRLINE, horizon=horizon)
    skill = {
        name: evaluate(task.fit_baseline(name, 0), task, "test", 64)["rmse_over_naive"]
        for name in NAMES
    }
    assert skill["random_walk"] == pytest.approx(1, rel=1e-9)
    for name in ("seasonal_growth", "ets", "ar", "ridge"):
        assert skill[name] < 0.5, name


# --- against formulas


def test_simple_methods_by_hand() -> None:
    walk, naive, growth, drift = (
        forecast(name) for name in ("random_walk", "seasonal_naive", "seasonal_growth", "drift")
    )
    slope = (VALUES[TRAIN_END - 1] - VALUES[0]) / (TRAIN_END - 1)
    for origin in (20, TRAIN_END, STEPS - 1):
        for step in range(1, HORIZON + 1):
            seasons = math.ceil(step / SEASON)
            before = VALUES[origin + step - seasons * SEASON]
            change = VALUES[origin] - VALUES[origin - SEASON]
            assert walk[origin, step - 1] == VALUES[origin]
            assert naive[origin, step - 1] == before
            assert growth[origin, step - 1] == pytest.approx(before + seasons * change, rel=1e-12)
            expected = VALUES[origin] + slope * step
            assert drift[origin, step - 1] == pytest.approx(expected, rel=1e-12)


def test_without_a_season_the_seasonal_naive_forecast_is_the_last_value() -> None:
    np.testing.assert_array_equal(
        forecast("seasonal_naive", season=1), forecast("random_walk", season=1)
    )


@pytest.mark.parametrize(
    "options",
    [
        {"trend": None, "seasonal": None},
        {"trend": "add", "seasonal": None},
        {"trend": "add", "damped_trend": True, "seasonal": None},
        {"trend": None, "seasonal": "add"},
        {"trend": "add", "damped_trend": True, "seasonal": "add"},
    ],
    ids=str,
)
def test_smoothing_is_that_of_the_state_space_model(options: dict[str, Any]) -> None:
    history = History(VALUES, TRAIN_END, SEASON, HORIZON, True)
    period = SEASON if options["seasonal"] else None
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        model = ExponentialSmoothing(
            history.train, seasonal_periods=period, initialization_method="heuristic", **options
        )
        fitted = model.fit()
    found = smoothed(fitted, history)
    np.testing.assert_allclose(found[: TRAIN_END - 1, 0], fitted.fittedvalues[1:], rtol=1e-8)
    params = fitted.params
    weights = [params["smoothing_level"]]
    initial = {"initial_level": params["initial_level"]}
    if options["trend"]:
        # ETSModel's weight of the trend is the product of both.
        weights.append(params["smoothing_level"] * params["smoothing_trend"])
        initial["initial_trend"] = params["initial_trend"]
    if options["seasonal"]:
        weights.append(params["smoothing_seasonal"])
        initial["initial_seasonal"] = params["initial_seasons"]
    if options.get("damped_trend"):
        weights.append(params["damping_trend"])
    for end in (TRAIN_END, TRAIN_END + 1, STEPS):
        states = ETSModel(
            VALUES[:end],
            seasonal_periods=period,
            initialization_method="known",
            **initial,
            **options,
        ).smooth(weights)
        np.testing.assert_allclose(found[end - 1], states.forecast(HORIZON), rtol=1e-6)


def test_ets_finds_trend_and_season() -> None:
    errors = {}
    for name in ("ets", "random_walk"):
        found = forecast(name)[TRAIN_END - 1 : -HORIZON]
        truth = np.lib.stride_tricks.sliding_window_view(VALUES, HORIZON)[TRAIN_END:]
        errors[name] = np.sqrt(((found - truth) ** 2).mean())
    assert errors["ets"] < 0.4 * errors["random_walk"]


def test_ets_with_a_long_season_starts_from_estimated_states() -> None:
    """With those of its first seasons the error is 0.73 of that of the seasonal naive forecast."""
    values = co2.load_pandas().data["co2"].ffill().to_numpy()
    truth = np.lib.stride_tricks.sliding_window_view(values, HORIZON)[2000:]
    errors = {}
    for name in ("ets", "seasonal_naive"):
        found = forecast(name, values, season=52, train_end=1600)[1999:-HORIZON]
        errors[name] = np.sqrt(((found - truth) ** 2).mean())
    assert errors["ets"] < 0.6 * errors["seasonal_naive"]


def test_ets_of_a_long_series_is_fitted_to_its_last_steps(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    whole_series = forecast("ets")
    later = forecast("ets", VALUES[60:], train_end=TRAIN_END - 60)
    monkeypatch.setattr("tasks.forecast.baselines.MOST_SMOOTHED", TRAIN_END - 60)
    found = forecast("ets")
    np.testing.assert_array_equal(found[60:], later)
    assert np.isnan(found[:60]).all()
    assert (found[60:] != whole_series[60:]).all()


@pytest.mark.parametrize("is_relative", [True, False])
def test_the_autoregression_is_that_of_statsmodels(is_relative: bool) -> None:
    found, parameters = METHODS["ar"].fit(History(VALUES, TRAIN_END, SEASON, HORIZON, is_relative))
    known = np.diff(VALUES) if is_relative else VALUES
    shift = 1 if is_relative else 0
    train = known[: TRAIN_END - shift]
    candidates = lags_of(SEASON, len(train))
    most = max(map(max, candidates))
    fits = [AutoReg(train, lags, hold_back=most).fit() for lags in candidates]
    best = candidates[int(np.argmin([fit.aic for fit in fits]))]
    assert parameters == 1 + len(best)
    assert {6, 7} <= set(best)
    params = AutoReg(train, best).fit().params
    for origin in (TRAIN_END - 1, 200, STEPS - 1):
        past = known[: origin + 1 - shift]
        expected = AutoReg(past, best).predict(params, start=len(past), end=len(past) + HORIZON - 1)
        if is_relative:
            expected = VALUES[origin] + np.cumsum(expected)
        np.testing.assert_allclose(found[origin], expected, rtol=1e-8)


def test_an_autoregression_is_iterated_on_its_own_forecasts() -> None:
    found = iterated(np.array([1.0, 2.0, 4.0]), 1.0, {1: 0.5, 3: 2.0}, 4)[-1]
    assert found.tolist() == [1 + 2 + 2, 1 + 2.5 + 4, 1 + 3.75 + 8, 1 + 6.375 + 10]


@pytest.mark.parametrize("count", [5, 20, 60, 500])
def test_the_lags_fit_into_training(count: int) -> None:
    for lags in lags_of(52, count):
        assert lags == sorted(set(lags))
        assert max(lags) <= max(1, count // 3)


def test_ridge_with_a_small_penalty_is_least_squares() -> None:
    draws = np.random.default_rng(0)
    inputs = draws.normal(size=(300, 4, 2))
    weights = draws.normal(size=(8, 3))
    targets = inputs.reshape(300, 8) @ weights + 2 + 1e-4 * draws.normal(size=(300, 3))
    found, parameters = ridge(inputs[:200], targets[:200], inputs)
    reference = LinearRegression().fit(inputs[:200].reshape(200, 8), targets[:200])
    np.testing.assert_allclose(found, reference.predict(inputs.reshape(300, 8)), atol=1e-3)
    assert parameters == 9 * 3


# --- no use of later steps


@pytest.mark.parametrize("name", METHODS)
@pytest.mark.parametrize("first_changed", [TRAIN_END, 200])
def test_later_values_change_no_forecast(name: str, first_changed: int) -> None:
    changed = VALUES.copy()
    changed[first_changed:] += np.linspace(10, 90, STEPS - first_changed)
    before, after = forecast(name), forecast(name, changed)
    np.testing.assert_array_equal(after[:first_changed], before[:first_changed])
    assert (after[first_changed:] != before[first_changed:]).any(axis=1).all()


@pytest.mark.parametrize("name", NAMES)
def test_validation_and_test_change_no_fit(name: str, tmp_path: Path) -> None:
    passengers = airline()
    before = load(write_series(tmp_path, passengers), horizon=3)
    passengers[123:] *= 2
    after = load(write_series(tmp_path, passengers), horizon=3)
    outputs = [
        task.fit_baseline(name, 0).outputs("validation", whole(task, "validation").items)
        for task in (before, after)
    ]
    assert torch.equal(*outputs)


# --- unusual series


@pytest.mark.parametrize("horizon", [1, 3])
@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("target", ["level", "difference", "log_return"])
def test_a_series_constant_in_training_is_forecast(
    name: str, target: str, horizon: int, tmp_path: Path
) -> None:
    # A series that never changes is refused: here the last value does, with an error of 1.
    values = np.append(np.full(59, 5.0), 6.0)
    task = load(write_series(tmp_path, values), target=target, horizon=horizon)
    metrics = evaluate(task.fit_baseline(name, 0), task, "test", 64)
    assert metrics["rmse"] == pytest.approx((len(task.origins["test"]) * horizon) ** -0.5)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("steps", [19, 36])
def test_short_series_have_all_baselines(name: str, steps: int, tmp_path: Path) -> None:
    task = load(write_series(tmp_path, airline()[:steps]))
    for split in ("validation", "test"):
        assert evaluate(task.fit_baseline(name, 0), task, split, 64)["rmse"] > 0
