"""Forecasts of the next day of the S&P 500 from a window of past days: its close or volatility."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from tasks.base import (
    SPLITS,
    Baseline,
    Batch,
    Cache,
    DataDescription,
    DataError,
    FittedBaseline,
    Metric,
    Split,
    Task,
    TaskSettings,
    setting,
)
from tasks.forecast.closes import fitted
from tasks.forecast.columns import is_close
from tasks.forecast.readers import read_close_file, read_closes
from tasks.forecast.refits import Bounds, RefitTask, yearly_bounds
from tasks.forecast.windows import (
    WindowBaseline,
    WindowTask,
    origins_of,
    split_bounds,
    steps_needed,
)

if TYPE_CHECKING:
    import pandas as pd
    import torch
    from torch import Tensor

DEFAULT_YEARS = 5  # of the bundled series
MINIMUM_DAYS: dict[Split, int] = {"train": 20, "validation": 5, "test": 5}


@dataclass
class Sp500Settings(TaskSettings):
    """Next-day close or volatility of the S&P 500, or of any daily series."""

    name: ClassVar[str] = "sp500"
    version: ClassVar[int] = 2  # 2: the days of validation and test do not depend on the window

    csv: str | None = setting(
        None,
        "path of a table with a day and a close per row, as CSV or Parquet; null for the daily "
        "series 1999-2018 in the arch package",
        identity=False,
        is_path=True,
    )
    column: str | None = setting(
        None, "column of the closes in the CSV file; null for a usual name", identity=False
    )
    start: str | None = setting(
        None,
        "first day, YYYY-MM-DD; null for the first in a CSV file, and for five years before the "
        "last day of the arch package's series",
    )
    years: int | None = setting(
        None,
        "years up to the last day, instead of task.start",
        minimum=1,
        below=1000,
        identity="unless default",
    )
    end: str | None = setting(None, "last day, YYYY-MM-DD; null for the last in the data")
    window: int = setting(30, "past days in an input", minimum=1)
    target: str = setting(
        "log_return",
        "quantity to predict; log_return and price are converted to a close and scored "
        "as such; volatility is the size of the next log return",
        choices=("log_return", "price", "volatility"),
    )
    refit: str | None = setting(
        None,
        "yearly: a network is trained for each calendar year of the test split, on all days "
        "before it; limits of train. and match. hold for each training. null: one training",
        choices=("yearly",),
        identity="unless default",
    )

    @property
    # Depends on the target; in the base class it is a ClassVar.
    def primary_metric(self) -> Metric:  # type: ignore[override]
        """Return the metric of the target."""
        if self.target == "volatility":
            return Metric("volatility_rmse", "percent", False, perfect=0.0, margin="1%")
        unit = self.column if self.column and not is_close(self.column) else "index points"
        return Metric("rmse", unit, False, perfect=0.0, margin="1%")

    def baselines(self) -> dict[str, Baseline]:
        """See `TaskSettings.baselines`."""
        from tasks.forecast.close_baselines import methods

        return {name: method.baseline for name, method in methods(self.target).items()}

    def check(self) -> None:
        """Check the dates, their order and the path of the CSV file."""
        days = {}
        for key in ("start", "end"):
            text = getattr(self, key)
            if text is None:
                continue
            try:
                days[key] = datetime.strptime(text, "%Y-%m-%d")
            except ValueError as error:
                raise ValueError(f"task.{key}={text}: not a date like 2015-12-31") from error
        if len(days) == 2 and days["start"] >= days["end"]:
            raise ValueError(f"task.start={self.start} is not before task.end={self.end}")
        if self.start is not None and self.years is not None:
            raise ValueError(f"task.start={self.start} and task.years={self.years}: set one")
        if self.csv is not None and not Path(self.csv).is_file():
            is_folder = Path(self.csv).is_dir()
            problem = "is a folder (allowed: a CSV file)" if is_folder else "no such file"
            raise DataError(f"task.csv={self.csv}: {problem}")

    def load(self, cache: Cache) -> Task:
        """Read the series; it is too small to need the cache."""
        if self.csv is None:
            closes, title = read_closes(None)
            return self.task_of(*select_span(self, closes, title))
        closes, notices = read_close_file(Path(self.csv), f"task.csv={self.csv}", self.column)
        chosen, title = select_span(self, closes, f"CSV {Path(self.csv).name}")
        return self.task_of(chosen, title, notices)

    def task_of(
        self, closes: pd.Series[float], title: str, notices: tuple[str, ...] = ()
    ) -> Sp500Task | RefitTask:
        """Return the task of closes, with the refits that `refit` requires."""
        whole = Sp500Task(self, closes, title, notices)
        if self.refit is None:
            return whole
        parts = [
            Sp500Task(self, closes[: bounds["test"][1]], title, bounds=bounds)
            for bounds in yearly_bounds(whole.days, split_bounds(len(closes)))
        ]
        return RefitTask(parts, whole.data)


def select_span(
    settings: Sp500Settings, closes: pd.Series[float], title: str
) -> tuple[pd.Series[float], str]:
    """Return the closes from `start` to `end`, and a title."""
    import pandas as pd

    if not len(closes):
        raise DataError(f"{title}: there are no rows")
    end = pd.Timestamp(settings.end) if settings.end else closes.index[-1]
    start = pd.Timestamp(settings.start) if settings.start else closes.index[0]
    years = settings.years or (DEFAULT_YEARS if settings.csv is None else None)
    if settings.start is None and years is not None:
        start = end - pd.DateOffset(years=years) + pd.Timedelta(days=1)
    chosen = closes[start:end]
    if len(chosen):
        title = f"{title} {first_and_last(chosen)}"
    needed = days_needed(settings.window)
    if len(chosen) < needed:
        raise DataError(
            f"{title}: {len(chosen)} days from {start.date()} to {end.date()}, but "
            f"task.window={settings.window} needs {needed}; the data has {first_and_last(closes)}"
        )
    return chosen, title


def first_and_last(closes: pd.Series[float]) -> str:
    """Return the first and the last day as text."""
    return " to ".join(day.date().isoformat() for day in (closes.index[0], closes.index[-1]))


def days_needed(window: int) -> int:
    """Count the days that give every split its minimum."""
    return steps_needed(window, 1, MINIMUM_DAYS)


class Sp500Task(WindowTask):
    """Windows over one series of closes; an item is the day after its origin.

    `bounds` are those of the splits; None for the shares of `split_bounds`.
    """

    def __init__(
        self,
        settings: Sp500Settings,
        closes: pd.Series[float],
        title: str,
        notices: tuple[str, ...] = (),
        bounds: Bounds | None = None,
    ) -> None:
        import numpy as np
        import torch

        self.settings = settings
        self.closes = np.array(closes, dtype=np.float64)
        self.days = [day.date().isoformat() for day in closes.index]
        pairs = zip(self.days, self.closes.tolist(), strict=True)
        content = "".join(f"{day},{close!r}\n" for day, close in pairs)
        bounds = bounds or split_bounds(len(self.closes))
        self.train_end = bounds["train"][1]
        self.objective = fitted(settings.target, self.closes[: self.train_end])
        features = torch.from_numpy(self.objective.features(self.closes))
        origins = {split: origins_of(bounds[split], settings.window, 1) for split in SPLITS}
        super().__init__(features, settings.window, 1, origins)
        # Row i contains what follows day i.
        self.targets = torch.from_numpy(self.objective.targets(self.closes))
        train, validation, test = (len(origins[split]) for split in SPLITS)
        self.data = DataDescription(
            name=title,
            sha256=hashlib.sha256(content.encode()).hexdigest(),
            split="70/15/15 in order of time",
            train_size=train,
            validation_size=validation,
            test_size=test,
            unit="days",
            notices=notices,
        )

    def targets_to(self, device: torch.device, dtype: torch.dtype) -> None:
        """See `WindowTask.targets_to`."""
        self.targets = self.targets.to(device, dtype)

    def targets_of(self, origins: Tensor) -> Tensor:
        """Return columns of scaled targets, ..., values (batch, columns)."""
        return self.targets[origins]

    def loss(self, outputs: Tensor, batch: Batch) -> Tensor:
        """Return the mean squared error of the scaled target."""
        from torch.nn import functional as F

        return F.mse_loss(outputs, batch.targets[:, 0].to(outputs.dtype))

    def sums(self, outputs: Tensor, batch: Batch) -> dict[str, Tensor]:
        """See `Task.sums`."""
        return self.objective.sums(outputs, batch.targets)

    def metrics(self, sums: dict[str, float]) -> dict[str, float]:
        """See `Task.metrics`."""
        loss = sums["scaled_squares"] / sums["days"]
        return {"loss": loss, **self.objective.metrics(sums)}

    def predictions(self, outputs: Tensor, batch: Batch) -> dict[str, Tensor]:
        """See `Task.predictions`."""
        return self.objective.predictions(outputs, batch.targets)

    def outputs_of(self, split: Split, items: Tensor, predictions: dict[str, Tensor]) -> Tensor:
        """See `Task.outputs_of`."""
        import torch

        last = self.closes[self.origins[split][items].cpu().numpy()]
        forecasts = predictions["predicted"].double().cpu().numpy()
        return torch.from_numpy(self.objective.scaled(forecasts, last)).to(self.targets)

    def preprocessing(self) -> tuple[dict[str, Any], dict[str, str]]:
        """See `Task.preprocessing`."""
        window = self.settings.window
        record = self.objective.preprocessing(window)
        days = f"the {window} days before the forecast, in order; needs {record['closes']} closes"
        return record | {"window": window, "days": days}, {}

    def items(self, split: Split) -> dict[str, list[str]]:
        """Return the days of a split."""
        return {"day": [self.days[origin + 1] for origin in self.origins[split].tolist()]}

    def fit_baseline(self, name: str, seed: int) -> FittedBaseline:
        """See `Task.fit_baseline`."""
        import torch

        from tasks.forecast.close_baselines import Series, methods

        method = methods(self.settings.target)[name]
        forecasts, parameters = method.fit(Series(self.closes, self.train_end))
        scaled = torch.from_numpy(self.objective.scaled(forecasts[1:], self.closes[:-1]))
        scaled = scaled.to(self.targets)
        outputs = {split: scaled[origins] for split, origins in self.origins.items()}
        return WindowBaseline(outputs, parameters)
