"""Synthetic closes, S&P 500 tasks of them, and forecasts without a network."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from benchmarks.system.disk_cache import DiskCache
from tasks.base import Batch, Split
from tasks.sp500 import Sp500Settings, Sp500Task
from tests.helpers.paths import ROOT

SPLITS: tuple[Split, ...] = ("train", "validation", "test")
CLOSES = ["log_return", "price"]
TARGETS = [*CLOSES, "volatility"]
Floats = np.ndarray[Any, np.dtype[np.float64]]
Forecast = Callable[[Batch], Tensor]


def load(settings: Sp500Settings) -> Sp500Task:
    task = settings.load(DiskCache(ROOT / "unused"))
    assert isinstance(task, Sp500Task)
    return task


def random_walk(days: int = 300, seed: int = 0) -> Floats:
    """Return different closes."""
    steps = np.random.default_rng(seed).normal(3e-4, 0.01, size=days)
    closes: Floats = 2000 * np.exp(np.cumsum(steps))
    assert len(set(closes.tolist())) == days
    return closes


def make_task(closes: Floats, target: str = "log_return", window: int = 5) -> Sp500Task:
    days = pd.bdate_range("2001-01-01", periods=len(closes))
    series = pd.Series(closes, index=days, dtype=float)
    return Sp500Task(Sp500Settings(window=window, target=target), series, "synthetic")


def predicted_days(task: Sp500Task, closes: Floats, split: Split) -> list[int]:
    """Return the days that a split predicts, identified by their true values."""
    known = absolute_returns(closes) if task.settings.target == "volatility" else closes
    number = {value: day for day, value in enumerate(known.tolist())}
    return [number[float(t)] for batch in task.batches(split, 16) for t in batch.targets[:, -1]]


def absolute_returns(closes: Floats) -> Floats:
    """Compute absolute returns in percent; day 0 is NaN."""
    return 100 * np.abs(np.diff(np.log(closes), prepend=math.nan))


def predicted_closes(task: Sp500Task, outputs: Tensor, batch: Batch) -> Tensor:
    return task.predictions(outputs, batch)["predicted"]


def score(task: Sp500Task, split: Split, forecast: Forecast, size: int = 16) -> dict[str, float]:
    sums: Counter[str] = Counter()
    for batch in task.batches(split, size):
        sums.update({k: float(v) for k, v in task.sums(forecast(batch), batch).items()})
    return task.metrics(dict(sums))


def perfect(batch: Batch) -> Tensor:
    return batch.targets[:, 0]


def no_change(batch: Batch) -> Tensor:
    return torch.zeros(len(batch.targets))


def closes_of(task: Sp500Task) -> Floats:
    """Return the first close and all closes to predict."""
    return torch.cat([task.targets[:1, 1], task.targets[:, 2]]).numpy()
