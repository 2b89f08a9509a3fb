"""The first phase of a run with `train.pretrain`: the task's own text without labels."""

from __future__ import annotations

import dataclasses
import sys
from typing import Any

import torch
from torch import Tensor

from benchmarks.config.schema import Config, MatchSettings
from benchmarks.system.signals import Interruption
from benchmarks.training.network import encoder_of
from benchmarks.training.precision import in_precision
from benchmarks.training.trainer import SaveCheckpoint, Saved, Trainer
from tasks.base import Task

PHASE = "pretraining"  # key in the checkpoint of this phase


class Pretrainer(Trainer):
    """Train without an evaluation; the last weights are the result."""

    def _validate(self) -> None:
        self.state.epochs = self.epoch.number
        self.state.history.append(self.line())
        self.progress.epoch(self.state.history[-1])


class PretrainingDisplay:
    """Print a line per epoch."""

    def __init__(self, epochs: int) -> None:
        self.epochs = epochs

    def step(self, line: dict[str, float]) -> None:
        """Ignore a report within an epoch."""

    def epoch(self, line: dict[str, float]) -> None:
        """Show the loss of an epoch."""
        print(
            f"pretraining epoch {line['epoch']:.0f}/{self.epochs}  loss {line['train_loss']:.4f}  "
            f"{line['train_seconds']:.1f} s",
            file=sys.stderr,
            flush=True,
        )


def is_of_pretraining(saved: Saved | None) -> bool:
    """Return True if a run has no checkpoint of a later phase."""
    return saved is None or PHASE in saved[1]


def phase_config(config: Config) -> Config:
    """Return the configuration of the phase: its own epochs, all other limits as they are."""
    train = dataclasses.replace(
        config.train,
        max_epochs=config.train.pretrain_epochs,
        max_seconds=config.match.budget_seconds or config.train.max_seconds,
        patience=None,
    )
    return dataclasses.replace(config, train=train, match=MatchSettings())


def pretrain(
    trainer: Trainer,
    config: Config,
    task: Task,
    save_checkpoint: SaveCheckpoint,
    interruption: Interruption,
    saved: Saved | None,
) -> list[dict[str, float]]:
    """Pretrain the network of a trainer at its first step; return one line per epoch.

    The trainer's clock goes on from the seconds of this phase.
    """
    network, device = trainer.network, trainer.training_timer.device
    phase = task.pretraining(network, config.model.bidirectional)
    assert phase is not None
    trainer.streams.seed_task()
    model = phase.network(encoder_of(network)).to(device, getattr(torch, config.train.dtype))
    model = in_precision(model, config.train.precision, device)

    def save(tensors: dict[str, Tensor], metadata: dict[str, Any]) -> None:
        save_checkpoint(tensors, metadata | {PHASE: True})

    display = PretrainingDisplay(config.train.pretrain_epochs)
    first = Pretrainer(phase_config(config), model, phase, device, display, save, interruption)
    first.warm_up()
    first.streams.seed_dropout()
    if saved is not None:
        first.restore(*saved)
        print(f"resuming the pretraining from step {first.state.steps} of {first.total_steps}")
    first.fit()
    trainer.state.pretrain_seconds = first.state.train_seconds
    trainer.state.pretrain_sha256 = phase.data.sha256
    trainer.training_timer.start_from(first.state.train_seconds, first.state.train_joules)
    trainer.streams.seed_dropout()
    return first.state.history
