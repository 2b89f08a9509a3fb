"""Windows over one series: the part of a forecasting task that does not depend on its target."""

from __future__ import annotations

import bisect
import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from tasks.base import (
    SPLITS,
    Batch,
    FittedBaseline,
    SequenceEncoder,
    Split,
    Task,
    exact_dtype,
)

if TYPE_CHECKING:
    import numpy as np
    import torch
    from torch import Tensor, nn

    Mask = np.ndarray[Any, np.dtype[np.bool_]]
    Integers = np.ndarray[Any, np.dtype[np.int64]]

TRAIN_SHARE, VALIDATION_SHARE = 0.70, 0.15


def split_bounds(steps: int) -> dict[Split, tuple[int, int]]:
    """Return the first step of each split and the one after its last, in order of time."""
    first = round(TRAIN_SHARE * steps)
    second = round((TRAIN_SHARE + VALIDATION_SHARE) * steps)
    return {"train": (0, first), "validation": (first, second), "test": (second, steps)}


def origins_of(
    bounds: tuple[int, int], window: int, horizon: int, is_known: Mask | None = None
) -> Integers:
    """Return the forecast origins of a split: the last observed step of each item.

    All targets of an item are steps of the split; its window may reach back into earlier splits.

    Args:
        bounds: of `split_bounds`.
        window: steps of an input; one more step lies before it, for the first difference.
        horizon: steps to forecast.
        is_known: (steps,) False for steps without a value, which are no targets; None if all have.
    """
    import numpy as np

    start, stop = bounds
    origins = np.arange(max(start - 1, window), max(start - 1, window, stop - horizon))
    if is_known is None or not len(origins):
        return origins
    ahead = origins[:, None] + np.arange(1, horizon + 1)
    chosen: Integers = origins[is_known[ahead].all(axis=1)]
    return chosen


def repeated(
    values: np.ndarray[Any, Any], origins: Mapping[Split, Tensor], window: int, horizon: int
) -> int:
    """Return the number of test items whose values are those of a training or validation item."""

    def contents(split: Split) -> list[int]:
        ends = origins[split].tolist()
        return [hash(values[end - window + 1 : end + horizon + 1].tobytes()) for end in ends]

    seen = {*contents("train"), *contents("validation")}
    return sum(each in seen for each in contents("test"))


def has_items(steps: int, window: int, horizon: int, minimum: Mapping[Split, int]) -> bool:
    """Return True if a number of steps gives every split its minimum of items."""
    return all(
        len(origins_of(bounds, window, horizon)) >= minimum[split]
        for split, bounds in split_bounds(steps).items()
    )


def steps_needed(window: int, horizon: int, minimum: Mapping[Split, int]) -> int:
    """Return the fewest steps that give every split its minimum of items."""
    steps = window + horizon
    while not has_items(steps, window, horizon, minimum):
        steps += 1
    return steps


def largest_horizon(steps: int, window: int, minimum: Mapping[Split, int]) -> int:
    """Return the largest horizon for which every split has its minimum of items; 0 without one."""
    horizons = range(1, steps + 1)
    return bisect.bisect(horizons, 0, key=lambda h: not has_items(steps, window, h, minimum))


class WindowTask(Task):
    """Forecasts from windows of one series; an item is a forecast origin.

    Several steps ahead, an item is one step of one origin, in the order of the origins. Windows of
    validation and test may reach back into the split before.

    Args:
        features: inputs of each step (steps, features).
        window: steps of an input, up to the origin.
        horizon: steps to forecast.
        origins: of each split, in order of time.
    """

    def __init__(
        self, features: Tensor, window: int, horizon: int, origins: dict[Split, Integers]
    ) -> None:
        import torch

        self.features = features
        self.horizon = horizon
        self.input_size = features.shape[1]
        self.origins = {split: torch.from_numpy(origins[split]) for split in SPLITS}
        self.lags = torch.arange(1 - window, 1)

    def to(self, device: torch.device, dtype: torch.dtype) -> None:
        """See `Task.to`. Targets stay in float64 if the device supports it."""
        self.features = self.features.to(device, dtype)
        self.lags = self.lags.to(device)
        self.origins = {split: origins.to(device) for split, origins in self.origins.items()}
        self.targets_to(device, exact_dtype(device))

    def targets_to(self, device: torch.device, dtype: torch.dtype) -> None:
        """Move what `targets_of` uses."""
        raise NotImplementedError

    def targets_of(self, origins: Tensor) -> Tensor:
        """Return the targets (batch, ...) of forecast origins (batch,)."""
        raise NotImplementedError

    def inputs_of(self, origins: Tensor) -> Tensor:
        """Return the windows (batch, window, features) up to forecast origins (batch,)."""
        return self.features[origins.unsqueeze(1) + self.lags]

    def network(self, encoder: SequenceEncoder) -> nn.Module:
        """See `Task.network`: the last step's state, and one output per step of the horizon."""
        from tasks.modules.network import SequenceNetwork

        return SequenceNetwork(encoder, None if self.horizon == 1 else self.horizon, "last")

    def steps_per_epoch(self, batch_size: int) -> int:
        """See `Task.steps_per_epoch`."""
        return math.ceil(len(self.origins["train"]) / batch_size)

    def batches(
        self, split: Split, batch_size: int, order: np.random.Generator | None = None
    ) -> Iterator[Batch]:
        """Yield the windows of a split, shuffled if an order is given."""
        import torch

        count = len(self.origins[split])
        numbers = (
            torch.arange(count) if order is None else torch.from_numpy(order.permutation(count))
        )
        numbers = numbers.to(self.features.device)
        for first in range(0, count, batch_size):
            yield self.batch_of(split, numbers[first : first + batch_size])

    def single_sequences(self, count: int) -> Iterator[Batch]:
        """Yield single windows of the validation split, repeated if there are too few."""
        import torch

        for i in range(count):
            number = torch.tensor([i % len(self.origins["validation"])])
            yield self.batch_of("validation", number.to(self.features.device))

    def batch_of(self, split: Split, numbers: Tensor) -> Batch:
        """Return the batch of some numbers (batch,) of a split's origins."""
        import torch

        origins = self.origins[split][numbers]
        inputs = self.inputs_of(origins)
        items = numbers
        if self.horizon > 1:
            ahead = torch.arange(self.horizon, device=numbers.device)
            items = numbers.unsqueeze(1) * self.horizon + ahead
        return Batch(
            inputs,
            self.targets_of(origins),
            tokens=inputs.shape[0] * inputs.shape[1],
            items=items,
        )


@dataclass
class WindowBaseline(FittedBaseline):
    """The outputs of a method for all origins of each split: (origins, ...)."""

    all_outputs: dict[Split, Tensor]
    parameters: int

    def outputs(self, split: Split, items: Tensor) -> Tensor:
        """Return outputs (batch, ...) for items (batch,) or (batch, horizon)."""
        known = self.all_outputs[split]
        return known[items if items.dim() == 1 else items[:, 0] // items.shape[1]]
