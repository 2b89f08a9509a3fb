"""Trainings of a few steps, of one seed or several."""

from __future__ import annotations

import itertools
from collections.abc import Iterator

import numpy as np
import torch
from torch import Tensor

from tasks.base import Batch, Split, Task

CPU = torch.device("cpu")
STEPS, EPOCHS = 4, 3
"""Steps of a shortened epoch, and epochs of a training."""

MEASURED = {"train_seconds", "train_joules", "evaluation_seconds", "time_to_best_seconds"}


class Silent:
    """Ignore progress."""

    def step(self, line: dict[str, float]) -> None:
        pass

    def epoch(self, line: dict[str, float]) -> None:
        pass


def shortened(task: Task) -> Task:
    """Shorten the epochs of a task to a few steps."""
    batches = task.batches

    def few(
        split: Split, batch_size: int, order: np.random.Generator | None = None
    ) -> Iterator[Batch]:
        return itertools.islice(batches(split, batch_size, order), STEPS)

    task.batches = few  # type: ignore[method-assign]
    task.steps_per_epoch = lambda batch_size: STEPS  # type: ignore[method-assign]
    return task


def bits(tensors: dict[str, Tensor]) -> dict[str, bytes]:
    flat = {name: t.detach().contiguous().flatten() for name, t in tensors.items()}
    return {name: t.view(torch.uint8).numpy().tobytes() for name, t in flat.items()}
