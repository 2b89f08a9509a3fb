"""How far a training has come: all of it, and the epoch in progress."""

from __future__ import annotations

from dataclasses import dataclass, field

import torch
from torch import Tensor

Weights = dict[str, Tensor]


@dataclass
class TrainingRecord:
    """What training has come to, also when it is cut short."""

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
