"""Forecast targets: how a series becomes inputs and targets, and how outputs are scored."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import numpy as np
    from torch import Tensor

    Floats = np.ndarray[Any, np.dtype[np.float64]]


class ScoredTarget(ABC):
    """The quantity to forecast; targets (days - 1, columns) are scaled values, ..., values."""

    @abstractmethod
    def predicted(self, outputs: Tensor, targets: Tensor) -> Tensor:
        """Convert outputs (days,) to the metric's unit."""

    @abstractmethod
    def naive_errors(self, targets: Tensor) -> Tensor:
        """Return the errors (days,) of the naive forecast."""

    def sums(self, outputs: Tensor, targets: Tensor) -> dict[str, Tensor]:
        """Return sums of squared errors, also of scaled values and of the naive forecast."""
        scaled = targets[:, 0]
        errors = self.predicted(outputs, targets) - targets[:, -1]
        return {
            "days": errors.new_tensor(len(errors)),
            "scaled_squares": (outputs.to(scaled.dtype) - scaled).square().sum(),
            "squares": errors.square().sum(),
            "naive_squares": self.naive_errors(targets).square().sum(),
        }

    def predictions(self, outputs: Tensor, targets: Tensor) -> dict[str, Tensor]:
        """Return actual and predicted values (days,) in the metric's unit."""
        return {"actual": targets[:, -1], "predicted": self.predicted(outputs, targets)}


RETURN_FEATURES = (
    "of each day two numbers, in this order: r = ln(close / close of the day before) / deviation, "
    "and abs(r)"
)


def return_features(closes: Floats, deviation: float) -> Floats:
    """Compute scaled log returns and their size (days, 2); zeros for day 0, in no window."""
    import numpy as np

    returns = np.diff(np.log(closes)) / deviation
    return np.concatenate([np.zeros((1, 2)), np.stack([returns, np.abs(returns)], axis=1)])


@dataclass(frozen=True)
class CloseObjective(ScoredTarget):
    """The next close in index points, predicted as a log return or as a price."""

    name: str
    mean: float
    deviation: float
    naive_mae: float  # of the random walk in training
    mostly_up: bool  # the more frequent direction of training

    def features(self, closes: Floats) -> Floats:
        """Return scaled returns and their size, or scaled prices."""
        if self.name == "price":
            return ((closes - self.mean) / self.deviation)[:, None]
        return return_features(closes, self.deviation)

    def scaled(self, values: Floats, last: Floats) -> Floats:
        """Return the outputs that forecast closes `values` (days,) after the closes `last`."""
        import numpy as np

        if self.name == "price":
            return (values - self.mean) / self.deviation
        scaled: Floats = np.log(values / last) / self.deviation
        return scaled

    def targets(self, closes: Floats) -> Floats:
        """Return columns of the scaled target, the close before and the close."""
        import numpy as np

        last, close = closes[:-1], closes[1:]
        return np.stack([self.scaled(close, last), last, close], axis=1)

    def predicted(self, outputs: Tensor, targets: Tensor) -> Tensor:
        """Return closes in index points; the inverse of `scaled`."""
        last = targets[:, 1]
        outputs = outputs.to(last.dtype)
        if self.name == "price":
            return outputs * self.deviation + self.mean
        return last * (outputs * self.deviation).exp()

    def naive_errors(self, targets: Tensor) -> Tensor:
        """Return the errors of the random walk, which are the daily changes."""
        return targets[:, 2] - targets[:, 1]

    def sums(self, outputs: Tensor, targets: Tensor) -> dict[str, Tensor]:
        """Return also sums of absolute errors and of correct directions."""
        moves = self.naive_errors(targets)
        errors = self.predicted(outputs, targets) - targets[:, 2]
        predicted_moves = errors + targets[:, 2] - targets[:, 1]
        right = (predicted_moves > 0) == (moves > 0)
        return super().sums(outputs, targets) | {
            "absolutes": errors.abs().sum(),
            "moved": (moves != 0).sum(),
            "right": (right & (moves != 0)).sum(),
            "usual": ((moves > 0) if self.mostly_up else (moves < 0)).sum(),
        }

    def metrics(self, sums: dict[str, float]) -> dict[str, float]:
        """Compute RMSE, MAE, MASE (Hyndman & Koehler 2006) and direction accuracy.

        Days without a change count neither for the direction accuracy nor for its base rate.
        """
        rmse = math.sqrt(sums["squares"] / sums["days"])
        naive = math.sqrt(sums["naive_squares"] / sums["days"])
        mae = sums["absolutes"] / sums["days"]
        metrics = {"rmse": rmse, "rmse_naive": naive, "mae": mae}
        if naive > 0:
            metrics["rmse_over_naive"] = rmse / naive
        if self.naive_mae > 0:
            metrics["mase"] = mae / self.naive_mae
        if sums["moved"] > 0:
            metrics["direction_accuracy"] = sums["right"] / sums["moved"]
            metrics["direction_base_rate"] = sums["usual"] / sums["moved"]
        return metrics

    def predictions(self, outputs: Tensor, targets: Tensor) -> dict[str, Tensor]:
        """Return the close before, the close and the predicted close, in index points."""
        return {"last": targets[:, 1], **super().predictions(outputs, targets)}

    def preprocessing(self, window: int) -> dict[str, Any]:
        """See `Task.preprocessing`; `window` is the number of days of an input."""
        if self.name == "price":
            return {
                "inputs": "of each day one number: (close - mean) / deviation",
                "closes": window,
                "outputs": "next close = outputs * deviation + mean",
                "mean": self.mean,
                "deviation": self.deviation,
            }
        return {
            "inputs": RETURN_FEATURES,
            "closes": window + 1,  # the first return needs the close before it
            "outputs": "next close = last close * exp(outputs * deviation)",
            "deviation": self.deviation,
        }


@dataclass(frozen=True)
class VolatilityObjective(ScoredTarget):
    """The size of the next day's log return, in percent, standardised by the training split's."""

    mean: float
    deviation: float
    return_deviation: float

    def features(self, closes: Floats) -> Floats:
        """Return scaled returns and their size."""
        return return_features(closes, self.return_deviation)

    def scaled(self, values: Floats, last: Floats) -> Floats:
        """Return the outputs that forecast absolute returns `values` (days,) in percent."""
        return (values - self.mean) / self.deviation

    def targets(self, closes: Floats) -> Floats:
        """Return columns of the scaled target and the absolute return in percent."""
        import numpy as np

        sizes = absolute_returns(closes)
        return np.stack([self.scaled(sizes, closes[:-1]), sizes], axis=1)

    def predicted(self, outputs: Tensor, targets: Tensor) -> Tensor:
        """Return absolute returns in percent."""
        return outputs.to(targets.dtype) * self.deviation + self.mean

    def naive_errors(self, targets: Tensor) -> Tensor:
        """Return the errors of the training split's mean."""
        return targets[:, 1] - self.mean

    def metrics(self, sums: dict[str, float]) -> dict[str, float]:
        """Compute the RMSE of the absolute return and that of the naive forecast, in percent."""
        return {
            "volatility_rmse": math.sqrt(sums["squares"] / sums["days"]),
            "volatility_rmse_naive": math.sqrt(sums["naive_squares"] / sums["days"]),
        }

    def preprocessing(self, window: int) -> dict[str, Any]:
        """See `Task.preprocessing`; `window` is the number of days of an input."""
        return {
            "inputs": RETURN_FEATURES,
            "closes": window + 1,
            "deviation": self.return_deviation,
            "outputs": "size of the next log return in percent = "
            "outputs * size_deviation + size_mean",
            "size_deviation": self.deviation,
            "size_mean": self.mean,
        }


Objective = CloseObjective | VolatilityObjective


def absolute_returns(closes: Floats) -> Floats:
    """Compute the sizes of the log returns (days - 1,) in percent."""
    import numpy as np

    sizes: Floats = 100 * np.abs(np.diff(np.log(closes)))
    return sizes


def fitted(target: str, train: Floats) -> Objective:
    """Fit the objective of `task.target` to closes of training; a constant is scaled by 1."""
    import numpy as np

    returns = np.diff(np.log(train))
    if target == "volatility":
        sizes = absolute_returns(train)
        return VolatilityObjective(
            mean=float(sizes.mean()),
            deviation=float(sizes.std()) or 1.0,
            return_deviation=float(returns.std()) or 1.0,
        )
    values, moves = returns if target == "log_return" else train, np.diff(train)
    return CloseObjective(
        target,
        mean=float(values.mean()),
        deviation=float(values.std()) or 1.0,
        naive_mae=float(np.abs(moves).mean()),
        mostly_up=bool((moves > 0).sum() >= (moves < 0).sum()),
    )
