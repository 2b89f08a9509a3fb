"""Forecasting baselines against formulas and other libraries; no use of later days."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from arch import arch_model
from scipy import stats
from sklearn.linear_model import LinearRegression
from statsmodels.tsa.holtwinters import SimpleExpSmoothing

from benchmarks.training.evaluation import evaluate
from tasks.base import Split
from tasks.forecast.close_baselines import (
    CLOSES,
    MAX_LAGS,
    VOLATILITY,
    Series,
    expected_size_of_t,
)
from tasks.forecast.windows import split_bounds
from tasks.sp500 import Sp500Settings, Sp500Task, days_needed

Floats = np.ndarray[Any, np.dtype[np.float64]]
METHODS = {**CLOSES, **VOLATILITY}
TRAIN_END = 1000


def changing_market(days: int = 1400, seed: int = 0) -> Floats:
    """Return closes with GARCH returns and a weak autoregression of two days."""
    draws = np.random.default_rng(seed).standard_t(8, size=days) * math.sqrt(6 / 8)
    returns = np.zeros(days)
    variance = 1e-4
    for day in range(2, days):
        variance = 4e-6 + 0.10 * returns[day - 1] ** 2 + 0.86 * variance
        expected = 0.25 * returns[day - 1] - 0.2 * returns[day - 2] + 4e-4
        returns[day] = expected + math.sqrt(variance) * draws[day]
    closes: Floats = 1500 * np.exp(np.cumsum(returns))
    return closes


MARKET = changing_market()
RETURNS = np.diff(np.log(MARKET), prepend=math.nan)
SIZES = 100 * np.abs(RETURNS)
LATER = range(TRAIN_END, len(MARKET))


def forecast(name: str, closes: Floats = MARKET, train_end: int = TRAIN_END) -> Floats:
    return METHODS[name].fit(Series(closes, train_end))[0]


# --- against formulas


def test_the_random_walk_predicts_the_last_close() -> None:
    np.testing.assert_array_equal(forecast("random_walk")[1:], MARKET[:-1])


def test_drift_adds_the_slope_from_the_first_to_the_last_close_of_training() -> None:
    slope = (MARKET[TRAIN_END - 1] - MARKET[0]) / (TRAIN_END - 1)
    np.testing.assert_allclose(forecast("drift")[1:], MARKET[:-1] + slope, rtol=1e-12)


def test_mean_return_grows_as_training_did() -> None:
    growth = (MARKET[TRAIN_END - 1] / MARKET[0]) ** (1 / (TRAIN_END - 1))
    np.testing.assert_allclose(forecast("mean_return")[1:], MARKET[:-1] * growth, rtol=1e-12)


def least_squares(known: Floats, lags: int, first: int) -> tuple[Floats, float]:
    """Return constant and weights of an autoregression from day `first`, and its AIC."""
    rows = [[1.0, *known[day - lags : day][::-1]] for day in range(first, len(known))]
    table, target = np.array(rows), known[first:]
    weights = np.linalg.lstsq(table, target, rcond=None)[0]
    squares = float(((target - table @ weights) ** 2).sum())
    return weights, len(target) * math.log(squares / len(target)) + 2 * (lags + 2)


# Seeds for which a comparison of orders on different days would rank them differently.
@pytest.mark.parametrize(("seed", "lags"), [(1, 8), (7, 2), (9, 10), (27, 2)])
def test_the_autoregression_is_least_squares_with_akaike_s_order(seed: int, lags: int) -> None:
    closes = changing_market(400, seed)
    returns = np.diff(np.log(closes), prepend=math.nan)
    known = returns[1:300]
    criteria = [least_squares(known, p, MAX_LAGS)[1] for p in range(1, MAX_LAGS + 1)]
    assert 1 + np.argmin(criteria) == lags
    weights, _ = least_squares(known, lags, lags)
    found, parameters = CLOSES["ar"].fit(Series(closes, 300))
    assert parameters == 1 + lags
    for day in range(lags + 1, 400):
        expected = weights @ [1.0, *returns[day - lags : day][::-1]]
        assert found[day] == pytest.approx(closes[day - 1] * math.exp(expected), rel=1e-9)


def noisy_level() -> Floats:
    """Return closes whose best smoothing weight is far from 1."""
    draws = np.random.default_rng(1)
    level = 1000 + np.cumsum(draws.normal(0, 2, size=500))
    return level + draws.normal(0, 5, size=500)


def test_exponential_smoothing_is_its_recursion() -> None:
    closes = noisy_level()
    found = SimpleExpSmoothing(closes[:350], initialization_method="estimated").fit().params
    weight, level = found["smoothing_level"], found["initial_level"]
    assert 0.1 < weight < 0.9
    for close, said in zip(closes, forecast("exponential_smoothing", closes, 350), strict=True):
        assert said == pytest.approx(level, rel=1e-9)
        level = weight * close + (1 - weight) * level


def test_exponential_smoothing_has_training_s_best_weight() -> None:
    closes = noisy_level()

    def squares(said: Floats) -> float:
        return float(((closes[:350] - said[:350]) ** 2).sum())

    best = squares(forecast("exponential_smoothing", closes, 350))
    for weight in np.linspace(0.05, 1, 20):
        model = SimpleExpSmoothing(
            closes, initialization_method="known", initial_level=float(closes[0])
        )
        other = model.fit(smoothing_level=weight, optimized=False).fittedvalues
        assert best <= squares(np.asarray(other))


def test_the_simple_volatilities_by_hand() -> None:
    np.testing.assert_allclose(forecast("training_mean"), SIZES[1:TRAIN_END].mean(), rtol=1e-12)
    np.testing.assert_allclose(forecast("yesterday")[2:], SIZES[1:-1], rtol=1e-12)


@pytest.mark.parametrize("day", [1, 2, 3, 50, TRAIN_END, len(MARKET) - 1])
def test_ewma_is_a_weighted_sum_of_squares(day: int) -> None:
    known = 100 * RETURNS[1:TRAIN_END]
    ages = np.arange(day - 1)  # of the returns of the days day - 1 to 1
    variance = 0.94 ** (day - 1) * known.var()
    variance += 0.06 * (0.94**ages * SIZES[1:day][::-1] ** 2).sum()
    expected = stats.norm(scale=math.sqrt(variance)).expect(abs)
    assert forecast("ewma")[day] == pytest.approx(expected, rel=1e-6)


def test_garch_is_its_recursion_with_arch_s_parameters() -> None:
    known = 100 * RETURNS[1:TRAIN_END]
    model = arch_model(known, mean="Zero", dist="t", rescale=False).fit(disp="off")
    omega, alpha, beta, freedom = model.params
    assert 0.02 < alpha < 0.3 < beta < 0.97
    ratio = stats.t(freedom, scale=math.sqrt((freedom - 2) / freedom)).expect(abs)
    found = forecast("garch")
    np.testing.assert_allclose(found[1:TRAIN_END], model.conditional_volatility * ratio, rtol=1e-6)
    variance = float(model.conditional_volatility[-1]) ** 2
    for day in LATER:
        variance = omega + alpha * (100 * RETURNS[day - 1]) ** 2 + beta * variance
        assert found[day] == pytest.approx(math.sqrt(variance) * ratio, rel=1e-6)


@pytest.mark.parametrize("freedom", [2.5, 4.0, 9.0])
def test_the_expected_size_of_student_s_t(freedom: float) -> None:
    law = stats.t(freedom, scale=math.sqrt((freedom - 2) / freedom))
    assert law.var() == pytest.approx(1)
    assert expected_size_of_t(freedom) == pytest.approx(law.expect(abs), rel=1e-6)


def test_with_many_degrees_of_freedom_the_t_is_normal() -> None:
    assert expected_size_of_t(1e6) == pytest.approx(math.sqrt(2 / math.pi), rel=1e-5)


def test_har_regresses_on_day_week_and_month() -> None:
    def means(day: int) -> list[float]:
        past = SIZES[1:day]
        return [float(past[-days:].mean()) for days in (1, 5, 22)]

    table = [means(day) for day in range(2, len(MARKET))]
    split = TRAIN_END - 2
    model = LinearRegression().fit(table[:split], SIZES[2:TRAIN_END])
    np.testing.assert_allclose(forecast("har")[2:], model.predict(table), rtol=1e-8)


# --- no use of later days


@pytest.mark.parametrize("name", METHODS)
@pytest.mark.parametrize("first_changed", [TRAIN_END, TRAIN_END + 1, 1200])
def test_later_closes_change_no_forecast(name: str, first_changed: int) -> None:
    changed = MARKET.copy()
    changed[first_changed:] *= np.linspace(1.5, 3, len(MARKET) - first_changed)
    before, after = forecast(name), forecast(name, changed)
    # The first changed day itself is forecast from the days before it.
    np.testing.assert_array_equal(after[: first_changed + 1], before[: first_changed + 1])
    if name != "training_mean":
        assert (after[first_changed + 1 :] != before[first_changed + 1 :]).all()


@pytest.mark.parametrize("name", METHODS)
def test_every_day_after_training_has_a_forecast(name: str) -> None:
    assert np.isfinite(forecast(name)[TRAIN_END:]).all()


# --- as baselines of the task


def task_of(closes: Floats, target: str, window: int = 5) -> Sp500Task:
    days = pd.bdate_range("2001-01-01", periods=len(closes))
    series = pd.Series(closes, index=days, dtype=float)
    return Sp500Task(Sp500Settings(window=window, target=target), series, "synthetic")


@pytest.mark.parametrize("target", ["log_return", "price", "volatility"])
def test_the_first_baseline_is_the_only_naive_one(target: str) -> None:
    kinds = [each.kind for each in Sp500Settings(target=target).baselines().values()]
    assert kinds[0] == "naive"
    assert kinds.count("naive") == 1


@pytest.mark.parametrize("split", ["validation", "test"])
@pytest.mark.parametrize(
    ("target", "name"),
    [
        *((target, name) for target in ("log_return", "price") for name in CLOSES),
        *(("volatility", name) for name in VOLATILITY),
    ],
)
def test_scores_are_those_of_the_forecasts(target: str, name: str, split: Split) -> None:
    task = task_of(MARKET, target)
    start, stop = split_bounds(len(MARKET))[split]
    fitted = task.fit_baseline(name, seed=0)
    metrics = evaluate(fitted, task, split, 16)
    said = forecast(name, train_end=task.train_end)[start:stop]
    truth = (SIZES if target == "volatility" else MARKET)[start:stop]
    rmse = math.sqrt(((said - truth) ** 2).mean())
    assert metrics[task.settings.primary_metric.name] == pytest.approx(rmse, rel=1e-9)
    items = torch.tensor([3, 0, 20])
    batch = next(task.batches(split, 1000))
    batch.targets = batch.targets[items]
    found = task.predictions(fitted.outputs(split, items), batch)["predicted"]
    np.testing.assert_allclose(found, said[items], rtol=1e-9)


@pytest.mark.parametrize("target", ["log_return", "price"])
def test_the_random_walk_is_the_reference_of_skill(target: str) -> None:
    task = task_of(MARKET, target)
    metrics = evaluate(task.fit_baseline("random_walk", 0), task, "test", 64)
    assert metrics["rmse_over_naive"] == pytest.approx(1, rel=1e-12)


def test_training_s_mean_is_the_naive_volatility() -> None:
    task = task_of(MARKET, "volatility")
    metrics = evaluate(task.fit_baseline("training_mean", 0), task, "test", 64)
    assert metrics["volatility_rmse"] == pytest.approx(metrics["volatility_rmse_naive"], rel=1e-12)


def test_classical_volatility_beats_the_naive_one_where_volatility_changes() -> None:
    task = task_of(changing_market(3000), "volatility")
    naive = evaluate(task.fit_baseline("training_mean", 0), task, "test", 64)["volatility_rmse"]
    for name in ("ewma", "garch", "har"):
        score = evaluate(task.fit_baseline(name, 0), task, "test", 64)["volatility_rmse"]
        assert score < naive, name


@pytest.mark.parametrize("name", METHODS)
def test_a_constant_series_is_forecast_without_error(name: str) -> None:
    task = task_of(np.full(100, 50.0), "log_return" if name in CLOSES else "volatility")
    metrics = evaluate(task.fit_baseline(name, 0), task, "test", 64)
    assert metrics[task.settings.primary_metric.name] == pytest.approx(0, abs=1e-9)


# arch warns that its optimiser did not converge on so few days.
@pytest.mark.filterwarnings("ignore:The optimizer returned code")
@pytest.mark.parametrize("window", [1, 30])
@pytest.mark.parametrize("name", METHODS)
def test_the_minimum_number_of_days_is_enough(name: str, window: int) -> None:
    closes = changing_market(days_needed(window), seed=3)
    task = task_of(closes, "log_return" if name in CLOSES else "volatility", window)
    score = evaluate(task.fit_baseline(name, 0), task, "test", 64)[
        task.settings.primary_metric.name
    ]
    assert 0 < score < 200
