"""The state of a training and of its current epoch."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Protocol

import torch
from torch import Tensor

from tasks.base import Metric


@dataclass
class TrainingState:
    """Progress and results of a training so far.

    Attributes:
        history: one line per epoch, as in `history.csv`.
        trained_together: largest number of seeds trained in the same step, this one included; 0 if
            always trained alone. Above 0 the training has no times of its own.
        train_seconds, train_joules: of all training steps, those of a pretraining included.
        pretrain_seconds, pretrain_sha256: time of the pretraining, and hash of its text.
    """

    epochs: int = 0
    stopped_by: str | None = None
    steps: int = 0
    tokens: int = 0
    best_epoch: int | None = None
    best_metrics: dict[str, float] = field(default_factory=dict)
    best_weights: dict[str, Tensor] | None = None
    time_to_best_seconds: float | None = None
    train_seconds: float = 0.0
    train_joules: float | None = None
    evaluation_seconds: float = 0.0
    history: list[dict[str, float]] = field(default_factory=list)
    trained_together: int = 0
    pretrain_seconds: float | None = None
    pretrain_sha256: str | None = None

    def is_best(self, metrics: dict[str, float], metric: Metric) -> bool:
        """Return True for a new best; the lower loss decides a tie, common with accuracies."""
        best, sign = self.best_metrics, -1.0 if metric.higher_is_better else 1.0
        return not best or (sign * metrics[metric.name], metrics["loss"]) < (
            sign * best[metric.name],
            best["loss"],
        )


def joined(states: Sequence[TrainingState]) -> TrainingState:
    """Return the results of the refits of a run as those of one training.

    Steps, tokens and times are sums, the weights those of the last. Everything else is that of the
    first, whose validation part precedes the whole test split.
    """
    to_best = added([state.time_to_best_seconds for state in states])
    return replace(
        states[0],
        steps=sum(state.steps for state in states),
        tokens=sum(state.tokens for state in states),
        train_seconds=sum(state.train_seconds for state in states),
        evaluation_seconds=sum(state.evaluation_seconds for state in states),
        train_joules=added([state.train_joules for state in states]),
        time_to_best_seconds=to_best,
        best_weights=states[-1].best_weights,
    )


def added(values: Sequence[float | None]) -> float | None:
    """Return the sum of values, or None if one is missing."""
    known = [value for value in values if value is not None]
    return sum(known) if len(known) == len(values) else None


@dataclass
class EpochState:
    """State of an epoch in progress.

    Attributes:
        number: counted from 1.
        steps: steps done in this epoch.
        items: training items of those steps.
        loss_sum: sum of the items' losses, on the network's device.
        norm_sum: sum of the steps' gradient norms.
        encoder_state: carried into a batch that continues the last.
    """

    number: int = 1
    steps: int = 0
    items: int = 0
    loss_sum: Tensor = field(default_factory=lambda: torch.zeros(()))
    norm_sum: Tensor = field(default_factory=lambda: torch.zeros(()))
    encoder_state: object = None


class Progress(Protocol):
    """Receiver of a training's progress."""

    def step(self, line: dict[str, float]) -> None:
        """Receive the line of the current epoch so far."""

    def epoch(self, line: dict[str, float]) -> None:
        """Receive the line of a finished epoch, validation included."""
