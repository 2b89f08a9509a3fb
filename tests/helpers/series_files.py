"""Tables of series as files, and forecasting tasks of them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from benchmarks.system.disk_cache import DiskCache
from tasks.base import Split
from tasks.forecast.task import ForecastSettings, ForecastTask
from tests.helpers.definitions import EXAMPLES
from tests.helpers.paths import ROOT

SPLITS: tuple[Split, ...] = ("train", "validation", "test")
AIRLINE = EXAMPLES["forecast"]
Floats = np.ndarray[Any, np.dtype[np.float64]]


def airline() -> Floats:
    """Return the monthly passengers of Box and Jenkins."""
    return pd.read_csv(AIRLINE)["Passengers"].to_numpy(np.float64)


def write_series(folder: Path, values: Any, frequency: str = "MS", **columns: Any) -> Path:
    """Write a table with the columns time and y, and further ones."""
    times = pd.date_range("2001-01-01", periods=len(values), freq=frequency)
    path = folder / "series.csv"
    frame = pd.DataFrame({"time": times, "y": values, **columns})
    frame.to_csv(path, index=False)
    return path


def load(data: Path, **settings: Any) -> ForecastTask:
    """Load a task without a cache."""
    chosen = ForecastSettings(data=str(data), **settings)
    chosen.check()
    task = chosen.load(DiskCache(ROOT / "unused"))
    assert isinstance(task, ForecastTask)
    return task


def whole(task: ForecastTask, split: Split) -> Any:
    """Return all items of a split in one batch."""
    (batch,) = task.batches(split, 100_000)
    return batch


def score(task: ForecastTask, split: Split, outputs: Tensor) -> dict[str, float]:
    """Return the metrics of outputs for all items of a split."""
    sums = task.sums(outputs, whole(task, split))
    return task.metrics({name: value.cpu() for name, value in sums.items()})


def random_outputs(task: ForecastTask, split: Split, seed: int = 0) -> Tensor:
    """Return random outputs (items, horizon)."""
    shape = (len(task.origins[split]), task.horizon)
    return torch.from_numpy(np.random.default_rng(seed).normal(size=shape))
