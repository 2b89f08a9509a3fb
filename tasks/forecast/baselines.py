"""Baselines for forecasts some steps ahead, fitted once to the training part.

The methods follow Hyndman and Athanasopoulos, Forecasting: Principles and Practice. All but `ridge`
work on transformed values: logarithms for log returns, else the values themselves.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np

from tasks.base import Baseline

Floats = np.ndarray[Any, np.dtype[np.float64]]

MAX_LAGS = 10  # of the autoregression, besides those of the season
MOST_SMOOTHED = 3000  # steps of training that fit an exponential smoothing: more take minutes
ALPHAS = tuple(10.0**power for power in range(-3, 5))  # penalties of the ridge regression


@dataclass(frozen=True)
class History:
    """Transformed values (steps,) and what methods need to know of them.

    Attributes:
        train_end: number of steps of the training part.
        season: steps of a season; 1 without one.
        horizon: steps to forecast.
        is_relative: targets are relative to the value at the origin.
    """

    values: Floats
    train_end: int
    season: int
    horizon: int
    is_relative: bool

    @property
    def train(self) -> Floats:
        """The values of training."""
        return self.values[: self.train_end]

    def ahead(self) -> Iterator[int]:
        """Iterate over the numbers of steps ahead."""
        return iter(range(1, self.horizon + 1))


Forecast = tuple[Floats, int]  # (steps, horizon) from each origin, NaN if too early; parameters


@dataclass(frozen=True)
class Method:
    """The function and the description of a baseline."""

    fit: Callable[[History], Forecast]
    baseline: Baseline


METHODS: dict[str, Method] = {}
RIDGE = Baseline(
    "classical",
    "ridge regression of each step ahead on the inputs of the network, its penalty by "
    "leave-one-out cross-validation on training (scikit-learn)",
    needs=("sklearn.linear_model",),
)


def method(
    kind: Literal["naive", "simple", "classical"], help: str, *needs: str
) -> Callable[[Callable[[History], Forecast]], Callable[[History], Forecast]]:
    """Register a function under its own name."""

    def register(fit: Callable[[History], Forecast]) -> Callable[[History], Forecast]:
        METHODS[fit.__name__] = Method(fit, Baseline(kind, help, needs=needs))
        return fit

    return register


def lagged(values: Floats, steps: int) -> Floats:
    """Delay values by some steps, with NaN in front."""
    steps = min(steps, len(values))
    return np.concatenate([np.full(steps, math.nan), values[: len(values) - steps]])


def seasons_ago(step: int, season: int) -> int:
    """Return how many seasons before `step` steps ahead the last observed one lies."""
    return math.ceil(step / season)


@method("naive", "the last value, for all steps ahead")
def random_walk(history: History) -> Forecast:
    """Forecast the last value."""
    return np.repeat(history.values[:, None], history.horizon, axis=1), 0


@method("simple", "the value one season before; the last value without a season")
def seasonal_naive(history: History) -> Forecast:
    """Forecast the last observed value of the same step of the season."""
    season = history.season
    found = [
        lagged(history.values, seasons_ago(step, season) * season - step)
        for step in history.ahead()
    ]
    return np.stack(found, axis=1), 0


@method(
    "simple",
    "the value one season before plus the change of the last season (for log returns: times its "
    "growth)",
)
def seasonal_growth(history: History) -> Forecast:
    """Add the change over the last season to the seasonal naive forecast, for each season."""
    growth = history.values - lagged(history.values, history.season)
    seasons = [seasons_ago(step, history.season) for step in history.ahead()]
    return seasonal_naive(history)[0] + growth[:, None] * np.array(seasons), 0


@method("simple", "the last value plus the mean change of training (for log returns: its growth)")
def drift(history: History) -> Forecast:
    """Add the mean change of the training part for each step ahead."""
    change = float(np.diff(history.train).mean())
    return history.values[:, None] + change * np.array([*history.ahead()]), 1


@method(
    "classical",
    "exponential smoothing (Holt-Winters), additive in transformed values; trend, damping and "
    "season by AICc on the last 3,000 steps of training (statsmodels)",
    "statsmodels.tsa.holtwinters",
)
def ets(history: History) -> Forecast:
    """Smooth level, trend and season with the weights of training."""
    if np.ptp(history.train) == 0:  # every weight is optimal
        return random_walk(history)
    start = max(0, history.train_end - MOST_SMOOTHED)
    recent = replace(history, values=history.values[start:], train_end=history.train_end - start)
    best = min(smoothing_models(recent), key=lambda found: float(found.aicc))
    early = np.full((start, history.horizon), math.nan)
    return np.concatenate([early, smoothed(best, recent)]), len(best.params_formatted)


def smoothing_models(history: History) -> Iterator[Any]:
    """Fit the variants of exponential smoothing to the training part."""
    from statsmodels.tsa.holtwinters import ExponentialSmoothing

    has_season = history.season > 1 and len(history.train) >= 2 * history.season + 1
    for seasonal in [None, "add"] if has_season else [None]:
        for trend, is_damped in ((None, False), ("add", False), ("add", True)):
            with warnings.catch_warnings():
                # A fit that does not converge has a worse criterion, and is not chosen.
                warnings.simplefilter("ignore")
                yield ExponentialSmoothing(
                    history.train,
                    trend=trend,
                    damped_trend=is_damped,
                    seasonal=seasonal,
                    seasonal_periods=history.season if seasonal else None,
                    initialization_method="estimated",
                ).fit()


def smoothed(fitted: Any, history: History) -> Floats:
    """Return the forecasts (steps, horizon) of a fitted smoothing, updated at every step."""
    params, model = fitted.params, fitted.model
    alpha, beta, gamma, phi = (
        float(params[f"{name}"]) if np.isfinite(params[f"{name}"]) else default
        for name, default in (
            ("smoothing_level", 0.0),
            ("smoothing_trend", 0.0),
            ("smoothing_seasonal", 0.0),
            ("damping_trend", 1.0),
        )
    )
    level = float(params["initial_level"])
    trend = float(params["initial_trend"]) if model.trend else 0.0
    period = history.season if model.seasonal else 1
    # The state of a step of the season is at index step % period.
    season = [float(each) for each in params["initial_seasons"]] if model.seasonal else [0.0]
    damping = np.cumsum(phi ** np.arange(1, history.horizon + 1))
    places = np.arange(1, history.horizon + 1)
    found = np.empty((len(history.values), history.horizon))
    for step, value in enumerate(history.values.tolist()):
        place = step % period
        before, expected = level, level + phi * trend
        level = alpha * (value - season[place]) + (1 - alpha) * expected
        trend = beta * (level - before) + (1 - beta) * phi * trend
        season[place] = gamma * (value - expected) + (1 - gamma) * season[place]
        found[step] = level + damping * trend + np.array(season)[(step + places) % period]
    return found


@method(
    "classical",
    "autoregression of the target with lags 1 to p and of the season, p from 1 to 10 by AIC, "
    "iterated for further steps (statsmodels)",
    "statsmodels.tsa.ar_model",
)
def ar(history: History) -> Forecast:
    """Forecast changes, or values for targets that are levels, by an autoregression."""
    from statsmodels.tsa.ar_model import AutoReg

    train = np.diff(history.train) if history.is_relative else history.train
    if np.ptp(train) == 0:  # the regression would be singular
        return drift(history) if history.is_relative else random_walk(history)
    candidates = lags_of(history.season, len(train))
    most = max(map(max, candidates))
    # All orders are compared on the steps that the longest can forecast.
    criteria = [AutoReg(train, lags, hold_back=most).fit().aic for lags in candidates]
    lags = candidates[int(np.argmin(criteria))]
    constant, *weights = AutoReg(train, lags).fit().params
    known = history.values
    if history.is_relative:
        known = np.concatenate([[math.nan], np.diff(known)])
    found = iterated(known, float(constant), dict(zip(lags, weights, strict=True)), history.horizon)
    if history.is_relative:
        found = history.values[:, None] + np.cumsum(found, axis=1)
    return found, 1 + len(weights)


def lags_of(season: int, count: int) -> list[list[int]]:
    """Return the lags of each candidate of an autoregression of some values."""
    most = max(1, min(MAX_LAGS, count // 4))
    seasonal = [lag for lag in (season, season + 1) if 1 < lag <= count // 3]
    return [sorted({*range(1, order + 1), *seasonal}) for order in range(1, most + 1)]


def iterated(known: Floats, constant: float, weights: dict[int, float], horizon: int) -> Floats:
    """Return the forecasts (steps, horizon) of an autoregression, with its own as inputs."""
    found = np.full((len(known), horizon), constant)
    for step in range(horizon):
        for lag, weight in weights.items():
            past = found[:, step - lag] if lag <= step else lagged(known, lag - step - 1)
            found[:, step] += weight * past
    return found


def ridge(inputs: Floats, targets: Floats, all_inputs: Floats) -> Forecast:
    """Regress targets (items, horizon) on inputs (items, ...); return outputs for all inputs."""
    from sklearn.linear_model import RidgeCV

    model = RidgeCV(alphas=ALPHAS).fit(inputs.reshape(len(inputs), -1), targets)
    outputs = model.predict(all_inputs.reshape(len(all_inputs), -1))
    return outputs.reshape(len(all_inputs), -1), model.coef_.size + model.intercept_.size
