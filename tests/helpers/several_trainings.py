"""Multi-seed trainings, and comparisons of their results with single trainings."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from benchmarks.config.schema import Config
from benchmarks.runner.multiseed.stacked import StackedTrainers
from benchmarks.runner.multiseed.trainer import SeedTrainer, fit_seeds
from benchmarks.system.disk_cache import DiskCache
from benchmarks.system.signals import Interruption
from benchmarks.training.checkpoint import read_checkpoint, write_checkpoint
from benchmarks.training.network import build_network
from benchmarks.training.seeding import SeedStreams
from benchmarks.training.trainer import Trainer
from tasks.base import Batch, Split, Task
from tests.helpers import composing
from tests.helpers.short_trainings import CPU, EPOCHS, MEASURED, STEPS, Silent, bits, shortened

SEEDS = (0, 1, 2)
SMALL = ["model.hidden_size=8", "model.dropout=0.3", f"train.max_epochs={EPOCHS}"]
QUICK = ["train.max_evaluation_batches=1", "train.batch_size=16", "train.device=cpu"]
KINDS = {
    "rnn": ["task=sp500", "model=rnn", "train.patience=null"],
    "lstm, two layers": ["task=sp500", "model=lstm", "model.num_layers=2"],
    "gru, both directions": ["task=sp500", "model=bigru", "model.num_layers=2"],
    "another optimiser": [
        *("task=sp500", "model=lstm", "train.optimizer=adam", "train.weight_decay=0.1"),
        *("train.warmup_steps=5", "train.dtype=float64", "train.clip_norm=null"),
    ],
    "averaged weights": ["task=sp500", "model=gru", "train.ema=0.9"],
    "other dropout": [
        *("task=shakespeare", "model=lstm", "task.chunk_length=16", "model.num_layers=2"),
        *("task.embedding_dropout=0.3", "task.tied=true", "task.embedding_size=8"),
        *(
            "model.residual=true",
            "model.variational_dropout=true",
            "model.output_dropout=0.2",
            "model.weight_dropout=0.2",
        ),
    ],
    "state carried on": ["task=shakespeare", "model=gru", "task.chunk_length=16"],
}


def composed(*overrides: str) -> Config:
    return composing.composed(*QUICK, *SMALL, *overrides)


@cache
def loaded(config_of: tuple[str, ...], cache_dir: Path) -> Task:
    config = composed(*config_of)
    task = config.task.load(DiskCache(cache_dir))
    task.to(CPU, getattr(torch, config.train.dtype))
    return with_a_smaller_batch(shortened(task))


def with_a_smaller_batch(task: Task) -> Task:
    """Make one training batch per epoch of a shortened task smaller than the others."""
    batches = task.batches

    def uneven(
        split: Split, batch_size: int, order: np.random.Generator | None = None
    ) -> Iterator[Batch]:
        for number, batch in enumerate(batches(split, batch_size, order)):
            yield cut(batch) if order is not None and number == STEPS - 2 else batch

    task.batches = uneven  # type: ignore[method-assign]
    return task


def cut(batch: Batch) -> Batch:
    """Return some rows; of a text, too few time steps for the fused kernel."""
    if batch.continues:
        inputs, targets = batch.inputs[:, :5], batch.targets[:, :5]
    else:
        inputs, targets = batch.inputs[:5], batch.targets[:5]
    return Batch(
        inputs, targets, inputs.shape[0] * inputs.shape[1], batch.items, None, batch.continues
    )


class Process:
    """The trainings of several seeds in one process, begun like the runner does."""

    def __init__(self, config: Config, task: Task, folder: Path, seeds: tuple[int, ...]) -> None:
        self.interruption = Interruption()
        self.folder = folder
        self.seeds_per_step = 2
        self.writes = dict.fromkeys(seeds, 0)
        self.seed_trainers = [self.seed_trainer(config, task, seed) for seed in seeds]

    def seed_trainer(self, config: Config, task: Task, seed: int) -> SeedTrainer:
        path = self.folder / f"{seed}.safetensors"

        def save(tensors: dict[str, Tensor], facts: dict[str, Any]) -> None:
            write_checkpoint(path, tensors, facts)
            self.writes[seed] += 1

        seeded = Config(**{**vars(config), "seed": seed})
        network, _ = build_network(seeded, task, CPU)
        trainer = Trainer(seeded, network, task, CPU, Silent(), save, self.interruption)
        trainer.warm_up()
        SeedStreams(seed).seed_dropout()
        if path.exists():
            trainer.restore(*read_checkpoint(path))
        return SeedTrainer(trainer, torch.Generator().set_state(torch.get_rng_state()))

    def multiseed(self) -> list[Trainer]:
        torch.manual_seed(987)  # any state of the generator
        fit_seeds(self.seed_trainers, self.interruption, self.seeds_per_step)
        return self.trainers

    def alone(self) -> list[Trainer]:
        for each in self.seed_trainers:
            torch.set_rng_state(each.generator.get_state())
            each.trainer.fit()
        return self.trainers

    @property
    def trainers(self) -> list[Trainer]:
        return [each.trainer for each in self.seed_trainers]


def numbers(trainer: Trainer) -> dict[str, Any]:
    """Return the results of a training without times and weights."""
    facts = trainer.checkpoint()[1]
    left_out = {*MEASURED, "trained_together", "history", "best_metrics"}
    return {k: v for k, v in facts["state"].items() if k not in left_out}


def assert_equal(found: Trainer, expected: Trainer) -> None:
    """Check that results are equal up to rounding, without the random states."""
    assert numbers(found) == numbers(expected)
    tolerance = 1e-4 if found.parameters[0].dtype == torch.float32 else 1e-9
    ours, theirs = found.checkpoint()[0], expected.checkpoint()[0]
    assert ours.keys() == theirs.keys()
    for name in ours.keys() - {"random.cpu"}:
        torch.testing.assert_close(ours[name], theirs[name], rtol=tolerance, atol=tolerance)
    for line, other in zip(found.state.history, expected.state.history, strict=True):
        assert line.keys() - MEASURED == other.keys() - MEASURED
        for name in line.keys() - MEASURED:
            assert line[name] == pytest.approx(other[name], rel=tolerance), name


def bits_of(trainer: Trainer) -> dict[str, bytes]:
    """Return the bits of all results of a training except random states."""
    return bits({k: t for k, t in trainer.checkpoint()[0].items() if k != "random.cpu"})


def stepping_until(last: int, interruption: Interruption) -> Any:
    """Return a step of stacked trainers that requests an interruption at one, counted from 1."""
    original, taken = StackedTrainers.step, itertools.count(1)

    def step(self: StackedTrainers, batches: Any) -> None:
        if next(taken) == last:
            interruption.requested = "SIGTERM"
        original(self, batches)

    return step
