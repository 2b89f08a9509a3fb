"""Baselines for a daily series: forecasts of the next close, or of the size of the next return.

The simple methods follow Hyndman and Athanasopoulos, Forecasting: Principles and Practice.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from itertools import accumulate
from typing import Any, Literal

import numpy as np

from tasks.base import Baseline

Floats = np.ndarray[Any, np.dtype[np.float64]]

MAX_LAGS = 10  # of the autoregression
RISKMETRICS_DECAY = 0.94
HORIZONS = (1, 5, 22)  # trading days of a day, a week and a month (Corsi 2009)


class Series:
    """Daily closes (days,) and their log returns (days,); the first return is NaN."""

    def __init__(self, closes: Floats, train_end: int) -> None:
        self.closes = closes
        self.returns = np.concatenate([[math.nan], np.diff(np.log(closes))])
        self.train_end = train_end
        self.train_closes: Floats = closes[:train_end]
        self.train_returns: Floats = self.returns[1:train_end]


Forecast = tuple[Floats, int]  # of each day, NaN where too few precede it; and parameters


@dataclass(frozen=True)
class Method:
    """The function and the description of a baseline."""

    fit: Callable[[Series], Forecast]
    baseline: Baseline


CLOSES: dict[str, Method] = {}
VOLATILITY: dict[str, Method] = {}


def methods(target: str) -> dict[str, Method]:
    """Return the methods for a `task.target` by name, the naive one first."""
    return VOLATILITY if target == "volatility" else CLOSES


def method(
    group: dict[str, Method], kind: Literal["naive", "simple", "classical"], help: str, *needs: str
) -> Callable[[Callable[[Series], Forecast]], Callable[[Series], Forecast]]:
    """Register a function in a group of methods under its own name."""

    def register(fit: Callable[[Series], Forecast]) -> Callable[[Series], Forecast]:
        group[fit.__name__] = Method(fit, Baseline(kind, help, needs=needs))
        return fit

    return register


def lagged(values: Floats, days: int) -> Floats:
    """Delay values by some days, with NaN in front."""
    return np.concatenate([np.full(days, math.nan), values[:-days]])


def smoothed(first: float, decay: float, news: Floats) -> Floats:
    """Compute levels (days,): level[0] = first, level[d + 1] = decay * level[d] + news[d]."""
    levels = accumulate(news[:-1].tolist(), lambda level, new: decay * level + new, initial=first)
    return np.fromiter(levels, float)


# --- the next close, in index points


@method(CLOSES, "naive", "tomorrow's close is today's")
def random_walk(series: Series) -> Forecast:
    """Forecast the last close."""
    return lagged(series.closes, 1), 0


@method(CLOSES, "simple", "today's close plus the mean change of training")
def drift(series: Series) -> Forecast:
    """Add the mean daily change of the training split, in index points."""
    return lagged(series.closes, 1) + np.diff(series.train_closes).mean(), 1


@method(CLOSES, "simple", "today's close grown by the mean log return of training")
def mean_return(series: Series) -> Forecast:
    """Let the last close grow by the mean log return of the training split."""
    return lagged(series.closes, 1) * math.exp(series.train_returns.mean()), 1


@method(
    CLOSES,
    "classical",
    "AR(p) of log returns, p from 1 to 10 by AIC (statsmodels)",
    "statsmodels.tsa.ar_model",
)
def ar(series: Series) -> Forecast:
    """Let the last close grow by the log return that AR(p) expects, p selected by AIC."""
    from statsmodels.tsa.ar_model import AutoReg

    train = series.train_returns
    if np.ptp(train) == 0:  # the regression would be singular
        return mean_return(series)
    most = min(MAX_LAGS, len(train) // 4)
    # All orders are compared on the days that the longest can forecast.
    criteria = [AutoReg(train, p, hold_back=most).fit().aic for p in range(1, most + 1)]
    constant, *weights = AutoReg(train, 1 + int(np.argmin(criteria))).fit().params
    expected = np.full(len(series.returns), constant)
    for lag, weight in enumerate(weights, 1):
        expected += weight * lagged(series.returns, lag)
    return lagged(series.closes, 1) * np.exp(expected), 1 + len(weights)


@method(
    CLOSES,
    "classical",
    "simple exponential smoothing of closes (statsmodels)",
    "statsmodels.tsa.holtwinters",
)
def exponential_smoothing(series: Series) -> Forecast:
    """Forecast the level of simple exponential smoothing of the closes."""
    from statsmodels.tsa.holtwinters import SimpleExpSmoothing

    train = series.train_closes
    if np.ptp(train) == 0:  # every weight is optimal
        return random_walk(series)
    found = SimpleExpSmoothing(train, initialization_method="estimated").fit().params
    weight = float(found["smoothing_level"])
    return smoothed(float(found["initial_level"]), 1 - weight, weight * series.closes), 2


# --- the size of the next return, in percent


@method(VOLATILITY, "naive", "mean absolute return of the training split")
def training_mean(series: Series) -> Forecast:
    """Forecast the training split's mean."""
    return np.full(len(series.closes), np.abs(100 * series.train_returns).mean()), 1


@method(VOLATILITY, "simple", "today's absolute return")
def yesterday(series: Series) -> Forecast:
    """Forecast the last day's size."""
    return lagged(np.abs(100 * series.returns), 1), 0


@method(VOLATILITY, "classical", "RiskMetrics: variance with a decay of 0.94, normal returns")
def ewma(series: Series) -> Forecast:
    """Forecast the mean size of normal returns from a variance that starts at training's."""
    first = float((100 * series.train_returns).std() ** 2)
    news = (1 - RISKMETRICS_DECAY) * (100 * series.returns) ** 2
    news[0] = (1 - RISKMETRICS_DECAY) * first  # day 0 has no return
    return np.sqrt(smoothed(first, RISKMETRICS_DECAY, news) * 2 / math.pi), 0


@method(VOLATILITY, "classical", "GARCH(1,1) with Student's t (Bollerslev 1987; arch)", "arch")
def garch(series: Series) -> Forecast:
    """Forecast from GARCH(1,1) with zero mean and Student's t (Bollerslev 1987)."""
    from arch import arch_model

    train = 100 * series.train_returns
    if not train.any():  # no variance to model
        return training_mean(series)
    model = arch_model(train, mean="Zero", vol="GARCH", p=1, q=1, dist="t", rescale=False)
    found = model.fit(disp="off")
    omega, alpha, beta, freedom = map(float, found.params)
    first = float(found.conditional_volatility[0]) ** 2
    news = omega + alpha * (100 * series.returns[1:]) ** 2
    variances = np.concatenate([[math.nan], smoothed(first, beta, news)])
    return np.sqrt(variances) * expected_size_of_t(freedom), 4


def expected_size_of_t(freedom: float) -> float:
    """Compute the mean absolute value of Student's t with variance 1."""
    gammas = math.lgamma((freedom + 1) / 2) - math.lgamma(freedom / 2)
    return 2 * math.sqrt((freedom - 2) / math.pi) / (freedom - 1) * math.exp(gammas)


@method(VOLATILITY, "classical", "regression on the last day, week and month (Corsi 2009)")
def har(series: Series) -> Forecast:
    """Regress on the means of the last day, week and month (Corsi 2009), by least squares."""
    import pandas as pd

    sizes = pd.Series(np.abs(100 * series.returns))
    means = [
        lagged(sizes.rolling(days, min_periods=1).mean().to_numpy(float), 1) for days in HORIZONS
    ]
    table = np.stack([np.ones(len(sizes)), *means], axis=1)
    train = slice(2, series.train_end)  # day 2 is the first with a return before it
    weights = np.linalg.lstsq(table[train], sizes.to_numpy(float)[train], rcond=None)[0]
    return table @ weights, len(weights)
