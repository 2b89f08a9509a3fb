"""Forecasting the next day's close of the S&P 500 from a window of past days.

The score is the RMSE in index points, beside that of the random walk (tomorrow = today) on the same
days: the only number that says whether anything was learnt.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from tasks.base import (
    Batch,
    Cache,
    DataDescription,
    DataError,
    Metric,
    SequenceEncoder,
    Split,
    Task,
    TaskSettings,
)
from tasks.closes import read_closes

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd
    import torch
    from torch import Tensor, nn

PARTS = {"train": (0.0, 0.70), "validation": (0.70, 0.85), "test": (0.85, 1.0)}
"""Chronological split of the days to predict."""

DEFAULT_YEARS = 5
MINIMUM_DAYS = {"train": 20, "validation": 5, "test": 5}


@dataclass
class Sp500Settings(TaskSettings):
    """Next-day close of the S&P 500, or of any daily series."""

    name: ClassVar[str] = "sp500"
    metric: ClassVar[Metric] = Metric("rmse", "index points", higher_is_better=False)

    csv: str | None = field(
        default=None,
        metadata={
            "identity": False,
            "help": "path of a CSV with the columns date and close; null for the daily series "
            "1999-2018 that the arch package carries",
        },
    )
    start: str | None = field(
        default=None,
        metadata={"help": "first day, YYYY-MM-DD; null for five years before the last day"},
    )
    end: str | None = field(
        default=None, metadata={"help": "last day, YYYY-MM-DD; null for the last there is"}
    )
    window: int = field(default=30, metadata={"minimum": 1, "help": "past days the model sees"})
    target: str = field(
        default="log_return",
        metadata={
            "choices": ("log_return", "price"),
            "help": "what the net predicts; either is turned into a close before it is scored",
        },
    )

    def check(self) -> None:
        """Refuse dates that are none, a span that ends before it starts, a CSV that is no file."""
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
            raise DataError(f"task.csv={self.csv}: there is no such file")

    def load(self, cache: Cache) -> Task:
        """Read the series; it is small enough to need no cache."""
        return Sp500Task(self, *select_span(self, read_closes(self.csv)))


def select_span(
    settings: Sp500Settings, series: tuple[pd.Series[float], str]
) -> tuple[pd.Series[float], str]:
    """Cut the closes to the span the settings ask for.

    Raises:
        DataError: too few days remain for the window and the three parts.
    """
    import pandas as pd

    closes, title = series
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
        first, last = (day.date().isoformat() for day in (chosen.index[0], chosen.index[-1]))
        title = f"{title} {first} to {last}"
    needed = days_needed(settings.window)
    if len(chosen) < needed:
        first, last = (day.date().isoformat() for day in (closes.index[0], closes.index[-1]))
        raise DataError(
            f"{title}: {len(chosen)} days from {start.date()} to {end.date()}, but "
            f"task.window={settings.window} needs {needed}; the data has {first} to {last}"
        )
    return chosen, title


def days_needed(window: int) -> int:
    """Count the days that give every part of the split its minimum."""
    parts = (MINIMUM_DAYS[name] / (stop - start) for name, (start, stop) in PARTS.items())
    # A window of returns reaches one day further back than one of prices.
    return math.ceil(max(parts)) + window + 1


class Sp500Task(Task):
    """Windows over one series of closes, scaled by what the training part shows.

    A day's window may reach back into the part before its own: by then those days are past. No
    target of a later part is ever seen in training, and nothing is scaled by later days.
    """

    def __init__(self, settings: Sp500Settings, closes: pd.Series[float], title: str) -> None:
        import numpy as np
        import torch

        self.settings = settings
        prices = closes.to_numpy(float)
        days = [day.date().isoformat() for day in closes.index]
        content = "".join(f"{d},{c!r}\n" for d, c in zip(days, prices.tolist(), strict=True))
        first_target = settings.window + 1
        count = len(prices) - first_target
        self.bounds = {
            name: (first_target + round(start * count), first_target + round(stop * count))
            for name, (start, stop) in PARTS.items()
        }
        train_end = self.bounds["train"][1]
        self.scale = Scale.fitted(settings.target, prices[:train_end])
        features = self.scale.features(prices)
        self.input_size = features.shape[1]
        self.features = torch.from_numpy(features)
        # The window for day d is the days d - window to d - 1.
        self.lags = torch.arange(-settings.window, 0)
        last = prices[:-1]
        scaled = self.scale.target(last, prices[1:])
        self.targets = torch.from_numpy(np.stack([scaled, last, prices[1:]], axis=1))
        # In-sample mean absolute error of the random walk: the denominator of MASE.
        training_moves = np.diff(prices[:train_end])
        self.naive_mae = float(np.abs(training_moves).mean())
        self.mostly_up = bool((training_moves > 0).sum() >= (training_moves < 0).sum())
        sizes = {name: stop - start for name, (start, stop) in self.bounds.items()}
        self.data = DataDescription(
            name=title,
            sha256=hashlib.sha256(content.encode()).hexdigest(),
            split="70/15/15 in order of time",
            train_size=sizes["train"],
            validation_size=sizes["validation"],
            test_size=sizes["test"],
            unit="days",
        )

    def to(self, device: torch.device, dtype: torch.dtype) -> None:
        """See `Task.to`. Prices stay in float64 where the device has it."""
        import torch

        exact = torch.float32 if device.type == "mps" else torch.float64
        self.features = self.features.to(device, dtype)
        self.lags = self.lags.to(device)
        self.targets = self.targets.to(device, exact)

    def network(self, encoder: SequenceEncoder) -> nn.Module:
        """See `Task.network`."""
        from tasks.modules.forecaster import Forecaster

        return Forecaster(encoder)

    def steps_per_epoch(self, batch_size: int) -> int:
        """See `Task.steps_per_epoch`."""
        start, stop = self.bounds["train"]
        return math.ceil((stop - start) / batch_size)

    def batches(
        self, split: Split, batch_size: int, order: np.random.Generator | None = None
    ) -> Iterator[Batch]:
        """Give the windows of the days of a split, shuffled if an order is given."""
        import torch

        start, stop = self.bounds[split]
        days = torch.arange(start, stop)
        if order is not None:
            days = days[torch.from_numpy(order.permutation(stop - start))]
        days = days.to(self.features.device)
        for first in range(0, len(days), batch_size):
            yield self._batch(days[first : first + batch_size])

    def loss(self, outputs: Tensor, batch: Batch) -> Tensor:
        """Mean squared error of the scaled target."""
        from torch.nn import functional as F

        return F.mse_loss(outputs, batch.targets[:, 0].to(outputs.dtype))

    def predicted_closes(self, outputs: Tensor, batch: Batch) -> Tensor:
        """Turn scaled outputs (batch,) into closes in index points."""
        return self.scale.closes(outputs.to(batch.targets.dtype), batch.targets[:, 1])

    def sums(self, outputs: Tensor, batch: Batch) -> dict[str, Tensor]:
        """Sums of squared and absolute errors, the random walk's too, and of right directions."""
        scaled, last, close = batch.targets.unbind(1)
        errors = self.predicted_closes(outputs, batch) - close
        moves, predicted_moves = close - last, errors + close - last
        moved = moves != 0
        right = (predicted_moves > 0) == (moves > 0)
        usual = (moves > 0) if self.mostly_up else (moves < 0)
        return {
            "days": errors.new_tensor(len(errors)),
            "scaled_squares": (outputs.to(scaled.dtype) - scaled).square().sum(),
            "squares": errors.square().sum(),
            "absolutes": errors.abs().sum(),
            "naive_squares": moves.square().sum(),
            "moved": moved.sum(),
            "right": (right & moved).sum(),
            "usual": (usual & moved).sum(),
        }

    def metrics(self, sums: dict[str, float]) -> dict[str, float]:
        """RMSE, MAE, MASE, RMSE over the random walk's, and direction accuracy with its base rate.

        MASE divides by the mean absolute daily change of the training part (Hyndman & Koehler
        2006). The base rate is what one scores by always saying the direction that training had
        more often. Days on which the close did not move count for neither.
        """
        rmse = math.sqrt(sums["squares"] / sums["days"])
        naive = math.sqrt(sums["naive_squares"] / sums["days"])
        mae = sums["absolutes"] / sums["days"]
        metrics = {
            "loss": sums["scaled_squares"] / sums["days"],
            "rmse": rmse,
            "rmse_naive": naive,
            "mae": mae,
        }
        if naive > 0:
            metrics["rmse_over_naive"] = rmse / naive
        if self.naive_mae > 0:
            metrics["mase"] = mae / self.naive_mae
        if sums["moved"] > 0:
            metrics["direction_accuracy"] = sums["right"] / sums["moved"]
            metrics["direction_base_rate"] = sums["usual"] / sums["moved"]
        return metrics

    def single_sequences(self, count: int) -> Iterator[Batch]:
        """Give single windows of the validation part, over and over."""
        import torch

        start, stop = self.bounds["validation"]
        for i in range(count):
            day = start + i % (stop - start)
            yield self._batch(torch.tensor([day], device=self.features.device))

    def _batch(self, days: Tensor) -> Batch:
        inputs = self.features[days.unsqueeze(1) + self.lags]
        return Batch(inputs, self.targets[days - 1], tokens=inputs.shape[0] * inputs.shape[1])


@dataclass(frozen=True)
class Scale:
    """How prices become the net's inputs and target and how its outputs become prices again."""

    target_name: str
    mean: float
    deviation: float

    @staticmethod
    def fitted(target_name: str, training_prices: np.ndarray[Any, Any]) -> Scale:
        """Take mean and standard deviation from the training part alone."""
        import numpy as np

        values = (
            np.diff(np.log(training_prices)) if target_name == "log_return" else training_prices
        )
        # A constant series has no deviation to divide by.
        return Scale(target_name, float(values.mean()), float(values.std()) or 1.0)

    def features(self, prices: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
        """Inputs (days, features): scaled returns and their size, or scaled prices.

        Day 0 has no return and gets zeros; no window reaches it.
        """
        import numpy as np

        if self.target_name == "price":
            return ((prices - self.mean) / self.deviation)[:, None]
        returns = np.diff(np.log(prices)) / self.deviation
        return np.concatenate([np.zeros((1, 2)), np.stack([returns, np.abs(returns)], axis=1)])

    def target(
        self, last: np.ndarray[Any, Any], close: np.ndarray[Any, Any]
    ) -> np.ndarray[Any, Any]:
        """What the net is to predict, from the last known closes and the next."""
        import numpy as np

        if self.target_name == "price":
            scaled: np.ndarray[Any, Any] = (close - self.mean) / self.deviation
        else:
            scaled = np.log(close / last) / self.deviation
        return scaled

    def closes(self, outputs: Tensor, last: Tensor) -> Tensor:
        """Undo `target`: closes in index points."""
        if self.target_name == "price":
            return outputs * self.deviation + self.mean
        return last * (outputs * self.deviation).exp()
