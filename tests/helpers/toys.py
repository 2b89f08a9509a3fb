"""A task and a network small enough to check by hand, their trainer, and injected events."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from benchmarks.config.schema import Config, TrainSettings
from benchmarks.results.row import Row
from benchmarks.results.store import Store
from benchmarks.runner.run import RunOptions, run
from benchmarks.system.signals import Interruption
from benchmarks.training.trainer import Trainer
from models.recurrent import RecurrentSettings
from tasks.base import (
    Batch,
    Cache,
    DataDescription,
    Metric,
    SequenceEncoder,
    Split,
    Task,
    TaskSettings,
)

CPU = torch.device("cpu")
RMSE = Metric("rmse", "points", higher_is_better=False, perfect=0.0)
ACCURACY = Metric("accuracy", "share", higher_is_better=True, perfect=1.0)
ITEMS = 8
TARGETS = {"train": 1.0, "validation": 0.0, "test": 0.0}


class ToyNetwork(nn.Module):
    """One parameter, and a state that counts the batches it was carried over."""

    def __init__(self, encoder: SequenceEncoder) -> None:
        super().__init__()
        self.encoder = encoder
        self.weight = nn.Parameter(torch.zeros(()))
        self.states: list[tuple[Tensor, ...] | None] = []

    def forward(
        self, inputs: Tensor, lengths: Tensor | None, state: tuple[Tensor, ...] | None
    ) -> tuple[Tensor, tuple[Tensor, ...]]:
        self.states.append(state)
        counted = state[0] if state else torch.zeros(())
        return self.weight.expand(len(inputs)), (counted + 1 + 0 * self.weight,)


class ToyTask(Task):
    """The training target is 1, the target of validation and test 0."""

    def __init__(self, continues: bool = False) -> None:
        self.data = DataDescription("toy", "ab" * 32, "none", ITEMS, ITEMS, ITEMS, "numbers")
        self.input_size = 1
        self.continues = continues

    def to(self, device: torch.device, dtype: torch.dtype) -> None:
        pass

    def network(self, encoder: SequenceEncoder) -> nn.Module:
        return ToyNetwork(encoder)

    def steps_per_epoch(self, batch_size: int) -> int:
        return math.ceil(ITEMS / batch_size)

    def batches(
        self, split: Split, batch_size: int, order: np.random.Generator | None = None
    ) -> Iterator[Batch]:
        items = np.arange(ITEMS) if order is None else order.permutation(ITEMS)
        for start in range(0, ITEMS, batch_size):
            inputs = torch.from_numpy(items[start : start + batch_size]).float().view(-1, 1, 1)
            targets = torch.full((len(inputs),), TARGETS[split])
            continues = self.continues and start > 0
            yield Batch(inputs, targets, len(inputs), inputs.flatten().long(), continues=continues)

    def loss(self, outputs: Tensor, batch: Batch) -> Tensor:
        return (outputs - batch.targets).square().mean()

    def sums(self, outputs: Tensor, batch: Batch) -> dict[str, Tensor]:
        squares = (outputs - batch.targets).square().sum()
        return {"squares": squares, "count": squares.new_tensor(len(outputs))}

    def metrics(self, sums: dict[str, float]) -> dict[str, float]:
        loss = sums["squares"] / sums["count"]
        return {"loss": loss, "rmse": math.sqrt(loss)}

    def single_sequences(self, count: int) -> Iterator[Batch]:
        first = torch.zeros(1).long()
        return (Batch(torch.zeros(1, 1, 1), torch.zeros(1), 1, first) for _ in range(count))

    def predictions(self, outputs: Tensor, batch: Batch) -> dict[str, Tensor]:
        return {"actual": batch.targets, "predicted": outputs}


class ToySettings(TaskSettings):
    name: ClassVar[str] = "toy"
    primary_metric: ClassVar[Metric] = RMSE

    def load(self, cache: Cache) -> Task:
        return ToyTask()


class Listener:
    """Record the lines of epochs."""

    def __init__(self) -> None:
        self.epochs: list[dict[str, float]] = []

    def step(self, line: dict[str, float]) -> None:
        assert math.isfinite(line["train_loss"])

    def epoch(self, line: dict[str, float]) -> None:
        self.epochs.append(line)


def trainer_of(config: Config, network: nn.Module, task: Task) -> Trainer:
    """Return a trainer whose checkpoints are dropped."""
    save, interruption = lambda tensors, facts: None, Interruption()
    return Trainer(config, network, task, CPU, Listener(), save, interruption)


def toy_trainer(metric: Metric = RMSE, task: Task | None = None, **settings: Any) -> Trainer:
    """Return a trainer with two steps per epoch, unless the settings differ."""

    class Settings(ToySettings):
        pass

    Settings.primary_metric = metric
    task = task or ToyTask()
    network = task.network(RecurrentSettings(hidden_size=2).build(1))
    train = TrainSettings(**({"learning_rate": 0.1, "batch_size": ITEMS // 2} | settings))
    return trainer_of(Config(Settings(), RecurrentSettings(), train), network, task)


def run_toy(folder: Path) -> Row:
    train = TrainSettings(
        learning_rate=0.1, batch_size=ITEMS // 2, max_epochs=3, device="cpu", threads=1
    )
    config = Config(ToySettings(), RecurrentSettings(hidden_size=2), train, cache_dir=str(folder))
    store = Store(folder)
    try:
        return run(config, store, Interruption(), RunOptions())
    finally:
        store.view().update()


def at_step(
    monkeypatch: pytest.MonkeyPatch, step: int | None, event: Callable[[Trainer], None]
) -> None:
    """Call a function after the gradients of a step, counted from 0, or of every step."""
    original = Trainer.forward_backward

    def forward_backward(self: Trainer, batch: Batch, state: object) -> Any:
        result = original(self, batch, state)
        if step in (None, self.state.steps):
            event(self)
        return result

    monkeypatch.setattr(Trainer, "forward_backward", forward_backward)


def weight_of(trainer: Trainer) -> Tensor:
    weight = trainer.network.weight
    assert isinstance(weight, Tensor)
    return weight
