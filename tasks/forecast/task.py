"""Forecasts of the next day of the S&P 500 from a window of past days: its close or volatility."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from tasks.base import (
    Baseline,
    Batch,
    Cache,
    DataDescription,
    DataError,
    FittedBaseline,
    Metric,
    SequenceEncoder,
    Split,
    Task,
    TaskSettings,
    exact_dtype,
    setting,
)
from tasks.forecast.readers import read_closes
from tasks.forecast.targets import fitted

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd
    import torch
    from torch import Tensor, nn

SPLIT_BOUNDS: dict[Split, tuple[float, float]] = {
    "train": (0.0, 0.70),
    "validation": (0.70, 0.85),
    "test": (0.85, 1.0),
}

DEFAULT_YEARS = 5
MINIMUM_DAYS = {"train": 20, "validation": 5, "test": 5}


@dataclass
class Sp500Settings(TaskSettings):
    """Next-day close or volatility of the S&P 500, or of any daily series."""

    name: ClassVar[str] = "sp500"

    csv: str | None = setting(
        None,
        "path of a CSV file with the columns date and close; null for the daily series "
        "1999-2018 in the arch package",
        identity=False,
        is_path=True,
    )
    start: str | None = setting(
        None, "first day, YYYY-MM-DD; null for five years before the last day"
    )
    end: str | None = setting(None, "last day, YYYY-MM-DD; null for the last in the data")
    window: int = setting(30, "past days in an input", minimum=1)
    target: str = setting(
        "log_return",
        "quantity to predict; log_return and price are converted to a close and scored "
        "as such; volatility is the size of the next log return",
        choices=("log_return", "price", "volatility"),
    )

    @property
    # Depends on the target; in the base class it is a ClassVar.
    def primary_metric(self) -> Metric:  # type: ignore[override]
        """Return the metric of the target."""
        if self.target == "volatility":
            return Metric("volatility_rmse", "percent", False, perfect=0.0, margin="1%")
        return Metric("rmse", "index points", False, perfect=0.0, margin="1%")

    def baselines(self) -> dict[str, Baseline]:
        """See `TaskSettings.baselines`."""
        from tasks.forecast.baselines import methods

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
        if self.csv is not None and not Path(self.csv).is_file():
            is_folder = Path(self.csv).is_dir()
            problem = "is a folder (allowed: a CSV file)" if is_folder else "no such file"
            raise DataError(f"task.csv={self.csv}: {problem}")

    def load(self, cache: Cache) -> Task:
        """Read the series; it is too small to need the cache."""
        closes, title = read_closes(self.csv)
        chosen, span = select_span(self, closes, title)
        return Sp500Task(self, chosen, span, notice_of_cut(self, chosen, closes))


def select_span(
    settings: Sp500Settings, closes: pd.Series[float], title: str
) -> tuple[pd.Series[float], str]:
    """Return the closes from `start` to `end`, and a title."""
    import pandas as pd

    if not len(closes):
        raise DataError(f"{title}: there are no rows")
    end = pd.Timestamp(settings.end) if settings.end else closes.index[-1]
    start = (
        pd.Timestamp(settings.start)
        if settings.start
        else end - pd.DateOffset(years=DEFAULT_YEARS) + pd.Timedelta(days=1)
    )
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


def notice_of_cut(
    settings: Sp500Settings, chosen: pd.Series[float], closes: pd.Series[float]
) -> str:
    """Return a notice if the default of `task.start` leaves out the beginning of own data."""
    if settings.csv is None or settings.start is not None or chosen.index[0] == closes.index[0]:
        return ""
    return (
        f"task.csv={settings.csv}: of {len(closes):,} days ({first_and_last(closes)}), the last "
        f"{DEFAULT_YEARS} years are used ({first_and_last(chosen)}); "
        f"task.start={closes.index[0].date()} uses all"
    )


def first_and_last(closes: pd.Series[float]) -> str:
    """Return the first and the last day as text."""
    return " to ".join(day.date().isoformat() for day in (closes.index[0], closes.index[-1]))


def days_needed(window: int) -> int:
    """Count the days that give every split its minimum."""
    needed = (MINIMUM_DAYS[name] / (stop - start) for name, (start, stop) in SPLIT_BOUNDS.items())
    # A window of returns needs one day more than one of prices.
    return math.ceil(max(needed)) + window + 1


class Sp500Task(Task):
    """Windows over one series of closes; they may contain days of the split before."""

    def __init__(
        self, settings: Sp500Settings, closes: pd.Series[float], title: str, notice: str = ""
    ) -> None:
        import numpy as np
        import torch

        self.settings = settings
        self.closes = np.array(closes, dtype=np.float64)
        self.days = [day.date().isoformat() for day in closes.index]
        pairs = zip(self.days, self.closes.tolist(), strict=True)
        content = "".join(f"{day},{close!r}\n" for day, close in pairs)
        first_target = settings.window + 1
        count = len(self.closes) - first_target
        self.bounds: dict[Split, tuple[int, int]] = {
            name: (first_target + round(start * count), first_target + round(stop * count))
            for name, (start, stop) in SPLIT_BOUNDS.items()
        }
        self.objective = fitted(settings.target, self.closes[: self.bounds["train"][1]])
        features = self.objective.features(self.closes)
        self.input_size = features.shape[1]
        self.features = torch.from_numpy(features)
        # The window for day d contains the days d - window to d - 1; day 0 has no target.
        self.lags = torch.arange(-settings.window, 0)
        self.targets = torch.from_numpy(self.objective.targets(self.closes))
        sizes = {name: stop - start for name, (start, stop) in self.bounds.items()}
        self.data = DataDescription(
            name=title,
            sha256=hashlib.sha256(content.encode()).hexdigest(),
            split="70/15/15 in order of time",
            train_size=sizes["train"],
            validation_size=sizes["validation"],
            test_size=sizes["test"],
            unit="days",
            notices=(notice,) if notice else (),
        )

    def to(self, device: torch.device, dtype: torch.dtype) -> None:
        """See `Task.to`. Targets stay in float64 if the device supports it."""
        self.features = self.features.to(device, dtype)
        self.lags = self.lags.to(device)
        self.targets = self.targets.to(device, exact_dtype(device))

    def network(self, encoder: SequenceEncoder) -> nn.Module:
        """See `Task.network`."""
        from tasks.modules.network import SequenceNetwork

        return SequenceNetwork(encoder, None, "last")

    def steps_per_epoch(self, batch_size: int) -> int:
        """See `Task.steps_per_epoch`."""
        return math.ceil(self.data.train_size / batch_size)

    def batches(
        self, split: Split, batch_size: int, order: np.random.Generator | None = None
    ) -> Iterator[Batch]:
        """Yield the windows of the days of a split, shuffled if an order is given."""
        import torch

        start, stop = self.bounds[split]
        days = torch.arange(start, stop)
        if order is not None:
            days = days[torch.from_numpy(order.permutation(stop - start))]
        days = days.to(self.features.device)
        for first in range(0, len(days), batch_size):
            yield self._batch(days[first : first + batch_size], split)

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

    def preprocessing(self) -> tuple[dict[str, Any], dict[str, str]]:
        """See `Task.preprocessing`."""
        window = self.settings.window
        record = self.objective.preprocessing(window)
        days = f"the {window} days before the forecast, in order; needs {record['closes']} closes"
        return record | {"window": window, "days": days}, {}

    def items(self, split: Split) -> dict[str, list[str]]:
        """Return the days of a split."""
        start, stop = self.bounds[split]
        return {"day": self.days[start:stop]}

    def fit_baseline(self, name: str, seed: int) -> FittedBaseline:
        """See `Task.fit_baseline`."""
        import torch

        from tasks.forecast.baselines import ForecastBaseline, Series, methods

        method = methods(self.settings.target)[name]
        forecasts, parameters = method.fit(Series(self.closes, self.bounds["train"][1]))
        scaled = torch.from_numpy(self.objective.scaled(forecasts[1:], self.closes[:-1]))
        starts = {split: start - 1 for split, (start, _) in self.bounds.items()}
        return ForecastBaseline(scaled.to(self.targets), starts, parameters)

    def single_sequences(self, count: int) -> Iterator[Batch]:
        """Yield single windows of the validation split, repeated if there are too few."""
        import torch

        start, stop = self.bounds["validation"]
        for i in range(count):
            day = start + i % (stop - start)
            yield self._batch(torch.tensor([day], device=self.features.device), "validation")

    def _batch(self, days: Tensor, split: Split) -> Batch:
        inputs = self.features[days.unsqueeze(1) + self.lags]
        return Batch(
            inputs,
            self.targets[days - 1],
            tokens=inputs.shape[0] * inputs.shape[1],
            items=days - self.bounds[split][0],
        )
