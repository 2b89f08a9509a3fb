"""A training that stopped anywhere and goes on ends with the numbers of one that never stopped."""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hydra import compose, initialize_config_dir
from places import ROOT
from torch import Tensor

import benchmarks.training
from benchmarks.cache import DiskCache
from benchmarks.checkpoint import read_checkpoint, write_checkpoint
from benchmarks.config import Config, checked_config, register_schemas
from benchmarks.environment import seed_torch
from benchmarks.interruption import Interruption
from benchmarks.measurement import build_network
from benchmarks.training import Trainer
from tasks.base import Batch, Split, Task

CPU = torch.device("cpu")
STEPS = 4
"""An epoch is cut to so many."""
EPOCHS = 3
EVALUATION_BATCHES = 2
MEASURED = {"train_seconds", "evaluation_seconds", "time_to_best_seconds"}
SMALL = ["model.hidden_size=8", "model.num_layers=2", "model.dropout=0.3", "train.batch_size=16"]

REVIEWS = ["task=imdb", "task.source=bundled", "task.max_length=40", "task.embedding_size=4"]
KINDS = {
    "one output": ["task=sp500", "model=lstm"],
    "state carried on": ["task=shakespeare", "model=gru", "task.chunk_length=16"],
    "variable length": [*REVIEWS, "model=rnn"],
    "both directions": [*REVIEWS, "model=bilstm"],
    "a lower precision": [
        *("task=shakespeare", "model=lstm", "task.chunk_length=16"),
        "train.precision=bfloat16",
    ],
    "another optimiser": [
        *("task=sp500", "model=rnn", "train.optimizer=adamw", "train.weight_decay=0.1"),
        *("train.warmup_steps=5", "train.dtype=float64", "train.clip_norm=null"),
    ],
}

Kept = tuple[dict[str, Tensor], dict[str, Any]]
Load = Callable[[Config], Task]


class Silent:
    def step(self, line: dict[str, float]) -> None:
        pass

    def epoch(self, line: dict[str, float]) -> None:
        pass


@cache
def composed(*overrides: str) -> Config:
    register_schemas(ROOT / "conf")
    with initialize_config_dir(str(ROOT / "conf"), version_base="1.3"):
        bounds = [
            f"train.max_epochs={EPOCHS}",
            f"train.max_evaluation_batches={EVALUATION_BATCHES}",
        ]
        return checked_config(compose("config", overrides=[*SMALL, *bounds, *overrides]))


@pytest.fixture(scope="module")
def load(shared_cache: Path) -> Load:
    @cache
    def load_once(name: str) -> Task:
        config = composed(*next(kind for kind in KINDS.values() if kind[0] == f"task={name}"))
        return shortened(config.task.load(DiskCache(shared_cache)))

    def load(config: Config) -> Task:
        task = load_once(config.task.name)
        task.to(CPU, getattr(torch, config.train.dtype))
        return task

    return load


def shortened(task: Task) -> Task:
    """Cut a task's epochs to a few steps."""
    batches = task.batches

    def few(
        split: Split, batch_size: int, order: np.random.Generator | None = None
    ) -> Iterator[Batch]:
        return itertools.islice(batches(split, batch_size, order), STEPS)

    task.batches = few  # type: ignore[method-assign]
    task.steps_per_epoch = lambda batch_size: STEPS  # type: ignore[method-assign]
    return task


class Process:
    """What a process has of a training: a trainer that begins as the runner lets it begin."""

    def __init__(self, config: Config, task: Task, folder: Path) -> None:
        self.path = folder / "checkpoint.safetensors"
        self.interruption = Interruption()
        network, _ = build_network(config, task, CPU)
        self.writes = 0
        self.trainer = Trainer(
            network,
            task,
            config.task.metric,
            config.train,
            config.train.learning_rate,
            config.seed,
            CPU,
            Silent(),
            self.write,
            self.interruption,
        )
        self.trainer.warm_up()
        seed_torch(config.seed, "dropout")

    def write(self, tensors: dict[str, Tensor], facts: dict[str, Any]) -> None:
        write_checkpoint(self.path, tensors, facts)
        self.writes += 1

    def go_on(self) -> Trainer:
        """Restore what was kept, in a process where chance stands anywhere, and train on."""
        torch.manual_seed(987)
        torch.rand(7)
        self.trainer.restore(*read_checkpoint(self.path))
        self.trainer.fit()
        return self.trainer

    def signal_after(self, step: int) -> None:
        """Let a signal come while a step is being taken, counted from 1."""
        take = self.trainer.optimizer.step

        def take_and_signal(*arguments: Any) -> Any:
            if self.trainer.record.steps == step - 1:
                self.interruption.requested = "SIGTERM"
            return take(*arguments)

        self.trainer.optimizer.step = take_and_signal  # type: ignore[method-assign]

    def stop(self) -> None:
        """Train until the signal comes."""
        with pytest.raises(KeyboardInterrupt, match="SIGTERM"):
            self.trainer.fit()


def bits(tensors: dict[str, Tensor]) -> dict[str, bytes]:
    flat = {name: t.detach().contiguous().flatten() for name, t in tensors.items()}
    return {name: t.view(torch.uint8).numpy().tobytes() for name, t in flat.items()}


def results(trainer: Trainer) -> dict[str, Any]:
    """Everything that a training came to, but the time it took."""
    tensors, facts = trainer.state()
    record = {k: v for k, v in facts["record"].items() if k not in MEASURED}
    record["history"] = [
        {name: value for name, value in line.items() if name not in MEASURED}
        for line in trainer.record.history
    ]
    return {"tensors": bits(tensors), "record": record, "waited": trainer.waited}


@pytest.fixture(scope="module")
def whole(load: Load, tmp_path_factory: pytest.TempPathFactory) -> Callable[..., dict[str, Any]]:
    """What an undisturbed training comes to, with no checkpoint before its end."""

    @cache
    def train(*overrides: str) -> dict[str, Any]:
        config = composed(*overrides, "train.checkpoint_seconds=null")
        process = Process(config, load(config), tmp_path_factory.mktemp("whole"))
        process.trainer.fit()
        assert process.writes == 1
        return results(process.trainer)

    return train


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("step", [1, 2, STEPS, STEPS + 1, 2 * STEPS + 3, EPOCHS * STEPS])
def test_a_signal_after_any_step_changes_no_bit(
    kind: str, step: int, load: Load, whole: Callable[..., dict[str, Any]], tmp_path: Path
) -> None:
    config = composed(*KINDS[kind])
    first = Process(config, load(config), tmp_path)
    first.signal_after(step)
    first.stop()
    assert first.trainer.record.steps == step
    assert results(Process(config, load(config), tmp_path).go_on()) == whole(*KINDS[kind])


@pytest.mark.parametrize("kind", KINDS)
def test_a_process_killed_after_each_step_ends_with_the_same_bits(
    kind: str, load: Load, whole: Callable[..., dict[str, Any]], tmp_path: Path
) -> None:
    """Each lives for one step and one checkpoint; what it does after that is lost."""
    config = composed(*KINDS[kind], "train.checkpoint_seconds=0")
    reached = []
    for number in itertools.count():
        process = Process(config, load(config), tmp_path)
        write = process.write

        def write_and_die(
            tensors: dict[str, Tensor], facts: dict[str, Any], w: Any = write
        ) -> None:
            w(tensors, facts)
            if facts["record"]["stopped_by"] is None:
                raise SystemExit("killed")

        process.trainer.keep = write_and_die
        if number:
            process.trainer.restore(*read_checkpoint(process.path))
        try:
            process.trainer.fit()
        except SystemExit:
            reached.append(process.trainer.record.steps)
        else:
            break
    assert reached == list(range(1, EPOCHS * STEPS + 1))
    assert results(process.trainer) == whole(*KINDS[kind])
    # And the last, killed before its row: nothing is trained again.
    again = Process(config, load(config), tmp_path)
    assert results(again.go_on()) == whole(*KINDS[kind])


@pytest.mark.parametrize("kind", ["one output", "state carried on", "both directions"])
@pytest.mark.parametrize("epoch", [1, EPOCHS])
def test_a_signal_during_a_validation_changes_no_bit(
    kind: str,
    epoch: int,
    load: Load,
    whole: Callable[..., dict[str, Any]],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    config = composed(*KINDS[kind])
    task = load(config)
    first = Process(config, task, tmp_path)
    sums = task.sums

    def sums_and_signal(outputs: Tensor, batch: Batch) -> dict[str, Tensor]:
        if first.trainer.record.epochs == epoch - 1:
            first.interruption.handle(15, None)
        return sums(outputs, batch)

    with monkeypatch.context() as patch:
        patch.setattr(task, "sums", sums_and_signal)
        first.stop()
    assert first.trainer.record.epochs == epoch - 1
    assert results(Process(config, task, tmp_path).go_on()) == whole(*KINDS[kind])


def test_a_signal_between_two_epochs_changes_no_bit(
    load: Load, whole: Callable[..., dict[str, Any]], tmp_path: Path
) -> None:
    kind = KINDS["state carried on"]
    config = composed(*kind)
    first = Process(config, load(config), tmp_path)

    class Signals(Silent):
        def epoch(self, record: dict[str, float]) -> None:
            if record["epoch"] == 2:
                first.interruption.requested = "SIGTERM"

    first.trainer.progress = Signals()
    first.stop()
    assert first.trainer.record.epochs == 2
    assert results(Process(config, load(config), tmp_path).go_on()) == whole(*kind)


@pytest.mark.parametrize("max_steps", [STEPS + 2, 2 * STEPS])
@pytest.mark.parametrize("step", [STEPS + 1, STEPS + 2])
def test_a_bound_on_steps_counts_those_of_all_starts(
    max_steps: int,
    step: int,
    load: Load,
    whole: Callable[..., dict[str, Any]],
    tmp_path: Path,
) -> None:
    overrides = [*KINDS["one output"], f"train.max_steps={max_steps}"]
    config = composed(*overrides)
    first = Process(config, load(config), tmp_path)
    first.signal_after(step)
    first.stop()
    trainer = Process(config, load(config), tmp_path).go_on()
    assert results(trainer) == whole(*overrides)
    assert (trainer.record.steps, trainer.record.stopped_by) == (max_steps, "steps")


@pytest.mark.parametrize("step", [STEPS, 2 * STEPS + 1, 3 * STEPS, 3 * STEPS + 1])
def test_patience_counts_the_epochs_of_all_starts(
    step: int, load: Load, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = composed(*KINDS["one output"], "train.patience=2", "train.max_epochs=9")
    scores = iter([3.0, 2.0, 2.5, 2.4, 1.0])
    monkeypatch.setattr(
        benchmarks.training,
        "evaluate",
        lambda *arguments: dict.fromkeys(("rmse", "loss"), next(scores)),
    )
    first = Process(config, load(config), tmp_path)
    first.signal_after(step)
    first.stop()
    trainer = Process(config, load(config), tmp_path).go_on()
    record = trainer.record
    assert (record.epochs, record.best_epoch, record.stopped_by) == (4, 2, "patience")
    assert [line["validation_rmse"] for line in record.history] == [3.0, 2.0, 2.5, 2.4]


def test_seconds_add_up_over_the_starts(load: Load, tmp_path: Path) -> None:
    config = composed(*KINDS["one output"])
    first = Process(config, load(config), tmp_path)
    first.signal_after(STEPS + 1)
    first.stop()
    before = dataclasses.replace(first.trainer.record)
    assert before.train_seconds > 0 < before.evaluation_seconds
    trainer = Process(config, load(config), tmp_path).go_on()
    assert trainer.record.history[0] == before.history[0]
    assert trainer.record.train_seconds > before.train_seconds
    assert trainer.record.evaluation_seconds > before.evaluation_seconds
    seconds = [line["train_seconds"] for line in trainer.record.history]
    assert seconds == sorted(seconds)


def test_a_second_ctrl_c_in_a_step_keeps_no_half_step(load: Load, tmp_path: Path) -> None:
    config = composed(*KINDS["one output"], "train.checkpoint_seconds=0")
    process = Process(config, load(config), tmp_path)
    take = process.trainer.optimizer.step

    def impatient(*arguments: Any) -> Any:
        if process.trainer.record.steps == 2:
            process.interruption.handle(15, None)
            process.interruption.handle(2, None)
        return take(*arguments)

    process.trainer.optimizer.step = impatient  # type: ignore[method-assign]
    with pytest.raises(KeyboardInterrupt, match="SIGINT"):
        process.trainer.fit()
    assert process.writes == 2
    assert read_checkpoint(process.path)[1]["record"]["steps"] == 2


@pytest.mark.parametrize(
    ("seconds", "writes"), [("null", 1), ("0", EPOCHS * STEPS + 1), ("1e9", 1)]
)
def test_checkpoints_are_as_old_as_wished(
    seconds: str, writes: int, load: Load, tmp_path: Path
) -> None:
    config = composed(*KINDS["one output"], f"train.checkpoint_seconds={seconds}")
    process = Process(config, load(config), tmp_path)
    process.trainer.fit()
    assert process.writes == writes
