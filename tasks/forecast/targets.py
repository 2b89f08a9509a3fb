"""What of a day is forecast: how a series becomes inputs and targets, and outputs are scored."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import numpy as np
    from torch import Tensor

    Floats = np.ndarray[Any, np.dtype[np.float64]]


class Objective(ABC):
    """What a net is to forecast, scaled by what the training part shows and nothing later."""

    @abstractmethod
    def features(self, closes: Floats) -> Floats:
        """Inputs (days, features)."""

    @abstractmethod
    def scaled(self, values: Floats, last: Floats) -> Floats:
        """What a net would have to give out.

        Args:
            values: (days,) to forecast, in the metric's unit.
            last: (days,) the closes before.
        """

    @abstractmethod
    def targets(self, closes: Floats) -> Floats:
        """Columns (days - 1, columns) for every day but the first: the scaled target, and then
        what `sums` needs to know.
        """

    @abstractmethod
    def sums(self, outputs: Tensor, targets: Tensor) -> dict[str, Tensor]:
        """Sums over days, `days` and `scaled_squares` among them; see `Task.sums`.

        Args:
            outputs: (days,) of the net.
            targets: (days, columns) as above.
        """

    @abstractmethod
    def metrics(self, sums: dict[str, float]) -> dict[str, float]:
        """See `Task.metrics`; without the loss."""

    @abstractmethod
    def predictions(self, outputs: Tensor, targets: Tensor) -> dict[str, Tensor]:
        """Columns (days,) of what was predicted and what is true, in the metric's unit."""

    @abstractmethod
    def preprocessing(self, window: int) -> dict[str, Any]:
        """See `Task.preprocessing`: how closes become inputs, and outputs a forecast.

        Args:
            window: days of an input.
        """


RETURN_FEATURES = (
    "of each day two numbers, in this order: r = ln(close / close of the day before) / deviation, "
    "and abs(r)"
)
"""What `return_features` gives, for those who have to compute it elsewhere."""


def return_features(closes: Floats, deviation: float) -> Floats:
    """Log returns over their deviation, and their size (days, 2).

    Day 0 has no return and gets zeros; no window reaches it.
    """
    import numpy as np

    returns = np.diff(np.log(closes)) / deviation
    return np.concatenate([np.zeros((1, 2)), np.stack([returns, np.abs(returns)], axis=1)])


@dataclass(frozen=True)
class CloseObjective(Objective):
    """The next close, scored in index points; the net says it as a log return or as a price.

    Attributes:
        name: log_return or price.
        mean, deviation: of the training part's log returns or prices.
        naive_mae: in-sample mean absolute error of the random walk, the denominator of MASE.
        mostly_up: whether training had more days up than down.
    """

    name: str
    mean: float
    deviation: float
    naive_mae: float
    mostly_up: bool

    @staticmethod
    def fitted(name: str, known: Floats) -> CloseObjective:
        """Take what there is to know from the closes of the training part."""
        import numpy as np

        values = np.diff(np.log(known)) if name == "log_return" else known
        moves = np.diff(known)
        return CloseObjective(
            name,
            float(values.mean()),
            float(values.std()) or 1.0,  # a constant series has no deviation to divide by
            naive_mae=float(np.abs(moves).mean()),
            mostly_up=bool((moves > 0).sum() >= (moves < 0).sum()),
        )

    def features(self, closes: Floats) -> Floats:
        """Scaled returns and their size, or scaled prices."""
        if self.name == "price":
            return ((closes - self.mean) / self.deviation)[:, None]
        return return_features(closes, self.deviation)

    def scaled(self, values: Floats, last: Floats) -> Floats:
        """See `Objective.scaled`; values are closes."""
        import numpy as np

        if self.name == "price":
            return (values - self.mean) / self.deviation
        scaled: Floats = np.log(values / last) / self.deviation
        return scaled

    def targets(self, closes: Floats) -> Floats:
        """Scaled target, close before, close."""
        import numpy as np

        last, close = closes[:-1], closes[1:]
        return np.stack([self.scaled(close, last), last, close], axis=1)

    def closes(self, outputs: Tensor, last: Tensor) -> Tensor:
        """Undo `scaled`: closes in index points."""
        outputs = outputs.to(last.dtype)
        if self.name == "price":
            return outputs * self.deviation + self.mean
        return last * (outputs * self.deviation).exp()

    def sums(self, outputs: Tensor, targets: Tensor) -> dict[str, Tensor]:
        """Sums of squared and absolute errors, the random walk's too, and of right directions."""
        scaled, last, close = targets.unbind(1)
        errors = self.closes(outputs, last) - close
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
        """The close before, the close, and what was predicted, in index points."""
        _, last, close = targets.unbind(1)
        return {"last": last, "actual": close, "predicted": self.closes(outputs, last)}

    def preprocessing(self, window: int) -> dict[str, Any]:
        """See `Objective.preprocessing`."""
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
            "closes": window + 1,  # the first day's return needs the close before it
            "outputs": "next close = last close * exp(outputs * deviation)",
            "deviation": self.deviation,
        }


@dataclass(frozen=True)
class VolatilityObjective(Objective):
    """The size of the next day's log return, in percent.

    The target is standardised by training's mean and deviation, so that a net that gives out 0
    says the naive forecast, and its loss, the squared error, is the metric's square up to a factor:
    what is trained and what is scored agree, and both ask for the expected size. A forecast below
    zero is scored as it is.

    Attributes:
        mean, deviation: of the training part's absolute log returns, in percent.
        return_deviation: of its log returns, which scales the inputs.
    """

    mean: float
    deviation: float
    return_deviation: float

    @staticmethod
    def fitted(known: Floats) -> VolatilityObjective:
        """Take what there is to know from the closes of the training part."""
        import numpy as np

        sizes = absolute_returns(known)
        return VolatilityObjective(
            float(sizes.mean()),
            float(sizes.std()) or 1.0,
            return_deviation=float(np.diff(np.log(known)).std()) or 1.0,
        )

    def features(self, closes: Floats) -> Floats:
        """Scaled returns and their size."""
        return return_features(closes, self.return_deviation)

    def scaled(self, values: Floats, last: Floats) -> Floats:
        """See `Objective.scaled`; values are absolute returns in percent."""
        return (values - self.mean) / self.deviation

    def targets(self, closes: Floats) -> Floats:
        """Scaled target, absolute return in percent."""
        import numpy as np

        sizes = absolute_returns(closes)
        return np.stack([self.scaled(sizes, closes[:-1]), sizes], axis=1)

    def sums(self, outputs: Tensor, targets: Tensor) -> dict[str, Tensor]:
        """Sums of squared errors, those of always saying training's mean too."""
        scaled, actual = targets.unbind(1)
        errors = self._percent(outputs, targets) - actual
        return {
            "days": errors.new_tensor(len(errors)),
            "scaled_squares": (outputs.to(scaled.dtype) - scaled).square().sum(),
            "squares": errors.square().sum(),
            "naive_squares": (actual - self.mean).square().sum(),
        }

    def metrics(self, sums: dict[str, float]) -> dict[str, float]:
        """RMSE of the absolute return, and that of always saying training's mean, in percent."""
        return {
            "volatility_rmse": math.sqrt(sums["squares"] / sums["days"]),
            "volatility_rmse_naive": math.sqrt(sums["naive_squares"] / sums["days"]),
        }

    def predictions(self, outputs: Tensor, targets: Tensor) -> dict[str, Tensor]:
        """The absolute return and what was predicted, in percent."""
        return {"actual": targets[:, 1], "predicted": self._percent(outputs, targets)}

    def preprocessing(self, window: int) -> dict[str, Any]:
        """See `Objective.preprocessing`."""
        return {
            "inputs": RETURN_FEATURES,
            "closes": window + 1,
            "deviation": self.return_deviation,
            "outputs": "size of the next log return in percent = "
            "outputs * size_deviation + size_mean",
            "size_deviation": self.deviation,
            "size_mean": self.mean,
        }

    def _percent(self, outputs: Tensor, targets: Tensor) -> Tensor:
        return outputs.to(targets.dtype) * self.deviation + self.mean


def absolute_returns(closes: Floats) -> Floats:
    """Sizes of the log returns (days - 1,) in percent."""
    import numpy as np

    sizes: Floats = 100 * np.abs(np.diff(np.log(closes)))
    return sizes


def fitted(target: str, known: Floats) -> Objective:
    """Fit the objective of `task.target` to the closes of the training part."""
    if target == "volatility":
        return VolatilityObjective.fitted(known)
    return CloseObjective.fitted(target, known)
