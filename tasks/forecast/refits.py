"""Walk-forward refits: the tasks of the calendar years of a test split, joined to one task."""

from __future__ import annotations

import dataclasses
from bisect import bisect_right
from collections.abc import Iterator, Mapping, Sequence
from itertools import accumulate
from typing import TYPE_CHECKING, Any

from tasks.base import Batch, DataDescription, FittedBaseline, SequenceEncoder, Split, Task

if TYPE_CHECKING:
    import numpy as np
    import torch
    from torch import Tensor, nn

Bounds = dict[Split, tuple[int, int]]


def yearly_bounds(days: Sequence[str], bounds: Mapping[Split, tuple[int, int]]) -> list[Bounds]:
    """Return the bounds of one refit per calendar year of the test split.

    The days before the year are training and validation, in the shares of the split, so the first
    refit has the training and validation parts of the split itself.

    Args:
        days: as YYYY-MM-DD.
        bounds: of `split_bounds`.
    """
    train_end, first = bounds["train"][1], bounds["test"][0]
    later = [day for day in range(first + 1, len(days)) if days[day][:4] != days[day - 1][:4]]
    starts = [first, *later]
    found: list[Bounds] = []
    for start, stop in zip(starts, [*later, len(days)], strict=True):
        end = round(start * train_end / first)
        found.append({"train": (0, end), "validation": (end, start), "test": (start, stop)})
    return found


class RefitTask(Task):
    """A task whose test split is that of several tasks in a row, each with a network of its own.

    Training and validation are those of the first, before all test days. A test batch contains
    the number of its task as `Batch.refit`.
    """

    def __init__(self, parts: Sequence[Task], data: DataDescription) -> None:
        self.parts = list(parts)
        self.input_size = self.parts[0].input_size
        years = f"for each of {len(parts)} calendar years" if len(parts) > 1 else "for the year"
        notice = f"walk-forward: trained {years} of the test split, on all days before it"
        self.data = dataclasses.replace(data, notices=(*data.notices, notice))
        sizes = [part.data.test_size for part in self.parts]
        self.firsts = [0, *accumulate(sizes[:-1])]

    def refits(self) -> list[Task]:
        """See `Task.refits`."""
        return self.parts

    def to(self, device: torch.device, dtype: torch.dtype) -> None:
        """See `Task.to`."""
        for part in self.parts:
            part.to(device, dtype)

    def network(self, encoder: SequenceEncoder) -> nn.Module:
        """See `Task.network`."""
        return self.parts[0].network(encoder)

    def steps_per_epoch(self, batch_size: int) -> int:
        """See `Task.steps_per_epoch`."""
        return self.parts[0].steps_per_epoch(batch_size)

    def batches(
        self, split: Split, batch_size: int, order: np.random.Generator | None = None
    ) -> Iterator[Batch]:
        """See `Task.batches`; a batch has items of one refit."""
        if split != "test":
            yield from self.parts[0].batches(split, batch_size, order)
            return
        for number, (part, first) in enumerate(zip(self.parts, self.firsts, strict=True)):
            for batch in part.batches(split, batch_size, order):
                yield dataclasses.replace(batch, items=batch.items + first, refit=number)

    def loss(self, outputs: Tensor, batch: Batch) -> Tensor:
        """See `Task.loss`."""
        return self.parts[batch.refit].loss(outputs, batch)

    def sums(self, outputs: Tensor, batch: Batch) -> dict[str, Tensor]:
        """See `Task.sums`."""
        return self.parts[batch.refit].sums(outputs, batch)

    def metrics(self, sums: dict[str, Any]) -> dict[str, float]:
        """See `Task.metrics`; errors are scaled by the training part of the first refit."""
        return self.parts[0].metrics(sums)

    def predictions(self, outputs: Tensor, batch: Batch) -> dict[str, Tensor]:
        """See `Task.predictions`."""
        return self.parts[batch.refit].predictions(outputs, batch)

    def outputs_of(self, split: Split, items: Tensor, predictions: dict[str, Tensor]) -> Tensor:
        """See `Task.outputs_of`; the items are of one refit."""
        number = number_of(items, self.firsts) if split == "test" else 0
        return self.parts[number].outputs_of(split, items - self.firsts[number], predictions)

    def single_sequences(self, count: int) -> Iterator[Batch]:
        """See `Task.single_sequences`."""
        return self.parts[0].single_sequences(count)

    def items(self, split: Split) -> dict[str, list[str]]:
        """See `Task.items`."""
        found = [part.items(split) for part in (self.parts if split == "test" else self.parts[:1])]
        return {name: [text for each in found for text in each[name]] for name in found[0]}

    def fit_baseline(self, name: str, seed: int) -> FittedBaseline:
        """See `Task.fit_baseline`; it is fitted to the training part of each refit."""
        return RefitBaseline([part.fit_baseline(name, seed) for part in self.parts], self.firsts)


class RefitBaseline(FittedBaseline):
    """A baseline fitted to each refit; `firsts` has the number of each one's first test item."""

    def __init__(self, parts: Sequence[FittedBaseline], firsts: Sequence[int]) -> None:
        self.parts, self.firsts = parts, firsts
        self.parameters = parts[0].parameters

    def outputs(self, split: Split, items: Tensor) -> Tensor:
        """See `FittedBaseline.outputs`."""
        number = number_of(items, self.firsts) if split == "test" else 0
        return self.parts[number].outputs(split, items - self.firsts[number])


def number_of(items: Tensor, firsts: Sequence[int]) -> int:
    """Return the number of the refit that test items of one refit belong to."""
    return bisect_right(firsts, int(items.flatten()[0])) - 1
