"""How far a training has come: all of it, and the epoch in progress."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Protocol

import torch
from torch import Tensor

from tasks.base import Metric

Weights = dict[str, Tensor]


@dataclass
class TrainingRecord:
    """What training has come to, also when it is cut short.

    Attributes:
        together: most seeds that were trained together with this one, itself among them; 0 if it
            was always alone. Its clock then was not its own.
    """

    epochs: int = 0
    stopped_by: str | None = None
    steps: int = 0
    tokens: int = 0
    best_epoch: int | None = None
    best_metrics: dict[str, float] = field(default_factory=dict)
    best_weights: Weights | None = None
    time_to_best_seconds: float | None = None
    train_seconds: float = 0.0
    evaluation_seconds: float = 0.0
    history: list[dict[str, float]] = field(default_factory=list)
    together: int = 0

    def is_best(self, metrics: dict[str, float], metric: Metric) -> bool:
        """Compare with the best so far; a tie, common with accuracies, goes to the lower loss."""
        best, sign = self.best_metrics, -1.0 if metric.higher_is_better else 1.0
        return not best or (sign * metrics[metric.name], metrics["loss"]) < (
            sign * best[metric.name],
            best["loss"],
        )


@dataclass
class EpochInProgress:
    """A pass over the training split, as far as it has come.

    Attributes:
        number: counted from 1.
        steps: done in it.
        loss_sum, norm_sum: over those steps, where the network is.
        state: of the encoder, to carry into a batch that continues the last.
    """

    number: int = 1
    steps: int = 0
    loss_sum: Tensor = field(default_factory=lambda: torch.zeros(()))
    norm_sum: Tensor = field(default_factory=lambda: torch.zeros(()))
    state: object = None


class Progress(Protocol):
    """Where the loop tells how far it is."""

    def step(self, line: dict[str, float]) -> None:
        """Tell of the epoch's line in the learning curve, as far as it has come."""

    def epoch(self, line: dict[str, float]) -> None:
        """Tell of an epoch's line, validation included."""
