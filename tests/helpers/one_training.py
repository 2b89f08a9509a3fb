"""A training that is interrupted and resumed in another process."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from benchmarks.config.schema import Config
from benchmarks.system.disk_cache import DiskCache
from benchmarks.system.signals import Interruption
from benchmarks.training.checkpoint import read_checkpoint, write_checkpoint
from benchmarks.training.network import build_network
from benchmarks.training.seeding import SeedStreams
from benchmarks.training.trainer import Trainer
from tasks.base import Task, TaskSettings
from tests.helpers import composing
from tests.helpers.short_trainings import CPU, EPOCHS, MEASURED, Silent, bits, shortened

EVALUATION_BATCHES = 2
SMALL = ["model.hidden_size=8", "model.num_layers=2", "model.dropout=0.3", "train.batch_size=16"]
REVIEWS = ["task=imdb", "task.source=bundled", "task.max_length=40", "task.embedding_size=4"]
KINDS = {
    "one output": ["task=sp500", "model=lstm"],
    "state carried on": ["task=shakespeare", "model=gru", "task.chunk_length=16"],
    "variable length": [*REVIEWS, "model=rnn"],
    "both directions": [*REVIEWS, "model=bilstm"],
    "averaged weights": ["task=sp500", "model=gru", "train.ema=0.9"],
    "ingredients": [
        *("task=shakespeare", "model=lstm", "model.variational_dropout=true", "train.ema=0.99"),
        *("model.weight_dropout=0.2", "model.output_dropout=0.1", "model.residual=true"),
        *("task.chunk_length=16", "task.chunk_jitter=0.3", "task.embedding_dropout=0.2"),
        *("task.tied=true", "task.embedding_size=8"),
    ],
    "momentum": ["task=sp500", "model=gru", "train.optimizer=sgd", "train.weight_decay=0.1"],
    "a lower precision": [
        *("task=shakespeare", "model=lstm", "task.chunk_length=16"),
        "train.precision=bfloat16",
    ],
    "another optimiser": [
        *("task=sp500", "model=rnn", "train.optimizer=adamw", "train.weight_decay=0.1"),
        *("train.warmup_steps=5", "train.dtype=float64", "train.clip_norm=null"),
    ],
}
Load = Callable[[Config], Task]
LOADED: dict[str, Task] = {}


def composed(*overrides: str) -> Config:
    bounds = [f"train.max_epochs={EPOCHS}", f"train.max_evaluation_batches={EVALUATION_BATCHES}"]
    return composing.composed(*SMALL, *bounds, *overrides)


def loaded(settings: TaskSettings, cache_dir: Path) -> Task:
    """Return the task of settings, shortened and loaded once."""
    key = repr(settings)
    if key not in LOADED:
        LOADED[key] = shortened(settings.load(DiskCache(cache_dir)))
    return LOADED[key]


class Process:
    """A process with a trainer, begun like the runner does."""

    def __init__(self, config: Config, task: Task, folder: Path) -> None:
        self.path = folder / "checkpoint.safetensors"
        self.interruption = Interruption()
        network, _ = build_network(config, task, CPU)
        self.writes = 0
        self.trainer = Trainer(config, network, task, CPU, Silent(), self.write, self.interruption)
        self.trainer.warm_up()
        SeedStreams(config.seed).seed_dropout()

    def write(self, tensors: dict[str, Tensor], facts: dict[str, Any]) -> None:
        write_checkpoint(self.path, tensors, facts)
        self.writes += 1

    def resume(self) -> Trainer:
        """Restore the checkpoint, in a process with another RNG state, and train to the end."""
        torch.manual_seed(987)
        torch.rand(7)
        self.trainer.restore(*read_checkpoint(self.path))
        self.trainer.fit()
        return self.trainer

    def signal_after(self, step: int) -> None:
        """Send a signal during a step, counted from 1."""
        original = self.trainer.optimizer.step

        def step_and_signal(*arguments: Any) -> Any:
            if self.trainer.state.steps == step - 1:
                self.interruption.requested = "SIGTERM"
            return original(*arguments)

        self.trainer.optimizer.step = step_and_signal  # type: ignore[method-assign]

    def stop(self) -> None:
        """Train until the signal comes."""
        with pytest.raises(KeyboardInterrupt, match="SIGTERM"):
            self.trainer.fit()


def results(trainer: Trainer) -> dict[str, Any]:
    """Return all results of a training except times."""
    tensors, facts = trainer.checkpoint()
    state = {k: v for k, v in facts["state"].items() if k not in MEASURED}
    state["history"] = [
        {name: value for name, value in line.items() if name not in MEASURED}
        for line in trainer.state.history
    ]
    return {
        "tensors": bits(tensors),
        "state": state,
        "epochs_since_best": trainer.epochs_since_best,
    }
