"""Multi-seed training equals single trainings, also after interruptions."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

import benchmarks.runner.multiseed.trainer
from benchmarks.runner.multiseed.dropout import DropoutMasks, dropout_calls
from benchmarks.runner.multiseed.stacked import StackedTrainers, detach
from benchmarks.runner.multiseed.trainer import SeedGroup
from benchmarks.system.disk_cache import DiskCache
from benchmarks.training.checkpoint import read_checkpoint
from benchmarks.training.evaluation import NotFiniteError
from models.kernels.compiler import unavailable_reason
from tasks.base import Batch, Split
from tests.helpers.several_trainings import (
    KINDS,
    SEEDS,
    Process,
    assert_equal,
    bits_of,
    composed,
    loaded,
    stepping_until,
    with_a_smaller_batch,
)
from tests.helpers.short_trainings import CPU, EPOCHS, STEPS, shortened

pytestmark = pytest.mark.skipif(unavailable_reason() is not None, reason=str(unavailable_reason()))


@pytest.mark.parametrize("seeds_per_step", [2, 3])
@pytest.mark.parametrize("kind", KINDS)
def test_each_seed_equals_its_single_training(
    kind: str, seeds_per_step: int, shared_cache: Path, tmp_path: Path
) -> None:
    config = composed(*KINDS[kind])
    task = loaded(tuple(KINDS[kind]), shared_cache)
    (tmp_path / "alone").mkdir()
    alone = Process(config, task, tmp_path / "alone", SEEDS).alone()
    process = Process(config, task, tmp_path, SEEDS)
    process.seeds_per_step = seeds_per_step
    together = process.multiseed()
    for found, expected, each in zip(together, alone, process.seed_trainers, strict=True):
        assert_equal(found, expected)
        assert found.state.trained_together == len(SEEDS)
        assert expected.state.trained_together == 0
        assert not any("train_seconds" in line for line in found.state.history)
        # Dropout used the same random numbers as alone.
        with_chance = read_checkpoint(tmp_path / f"{found.streams.seed}.safetensors")[0][
            "random.cpu"
        ]
        after = read_checkpoint(tmp_path / "alone" / f"{found.streams.seed}.safetensors")[0][
            "random.cpu"
        ]
        assert torch.equal(with_chance, after)
        assert torch.equal(each.generator.get_state(), after)
    assert len({trainer.state.best_metrics["loss"] for trainer in together}) == len(SEEDS)


def test_each_seed_stops_at_its_own_epoch(shared_cache: Path, tmp_path: Path) -> None:
    kind = ("task=sp500", "model=rnn", "train.max_epochs=12", "train.patience=1")
    kind = (*kind, "train.learning_rate=0.02")
    config, task, seeds = composed(*kind), loaded(kind, shared_cache), tuple(range(6))
    (tmp_path / "alone").mkdir()
    alone = Process(config, task, tmp_path / "alone", seeds).alone()
    process = Process(config, task, tmp_path, seeds)
    together = process.multiseed()
    assert len({trainer.state.epochs for trainer in alone}) > 2, "they should differ"
    for found, expected in zip(together, alone, strict=True):
        assert_equal(found, expected)
    assert all(process.writes.values()), "each training saves a checkpoint at its end"


def test_a_diverged_seed_does_not_affect_the_others(shared_cache: Path, tmp_path: Path) -> None:
    kind = tuple(KINDS["rnn"])
    config, task = composed(*kind), loaded(kind, shared_cache)
    (tmp_path / "alone").mkdir()
    alone = Process(config, task, tmp_path / "alone", SEEDS).alone()
    process = Process(config, task, tmp_path, SEEDS)
    with torch.no_grad():
        process.seed_trainers[1].trainer.parameters[0].fill_(torch.nan)
    process.multiseed()
    assert isinstance(process.seed_trainers[1].error, NotFiniteError)
    assert process.seed_trainers[1].trainer.state.epochs == 0
    for place in (0, 2):
        assert process.seed_trainers[place].error is None
        assert_equal(process.trainers[place], alone[place])


@pytest.mark.parametrize("kind", ["lstm, two layers", "state carried on"])
@pytest.mark.parametrize("way", ["multiseed", "alone"])
@pytest.mark.parametrize("step", [1, STEPS, STEPS + 2, EPOCHS * STEPS])
def test_seeds_resume_after_a_signal_in_a_group_or_alone(
    kind: str, way: str, step: int, shared_cache: Path, tmp_path: Path
) -> None:
    config = composed(*KINDS[kind])
    task = loaded(tuple(KINDS[kind]), shared_cache)
    (tmp_path / "whole").mkdir()
    whole = Process(config, task, tmp_path / "whole", SEEDS).multiseed()
    first = Process(config, task, tmp_path, SEEDS)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(StackedTrainers, "step", stepping_until(step, first.interruption))
        with pytest.raises(KeyboardInterrupt, match="SIGTERM"):
            first.multiseed()
    assert {trainer.state.steps for trainer in first.trainers} == {step}
    second = Process(config, task, tmp_path, SEEDS)
    went_on = second.multiseed() if way == "multiseed" else second.alone()
    for found, expected in zip(went_on, whole, strict=True):
        assert_equal(found, expected)
        if way == "multiseed":
            assert bits_of(found) == bits_of(expected)
        assert found.state.trained_together == len(SEEDS)
        assert not any("train_seconds" in line for line in found.state.history)


@pytest.mark.parametrize("epoch", [1, 2])
def test_a_signal_between_two_validations_loses_no_step(
    epoch: int, shared_cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Some seeds have begun the next epoch then, and others have not."""
    kind = tuple(KINDS["rnn"])
    config, task = composed(*kind), loaded(kind, shared_cache)
    (tmp_path / "whole").mkdir()
    whole = Process(config, task, tmp_path / "whole", SEEDS).multiseed()
    first = Process(config, task, tmp_path, SEEDS)
    second_one = first.trainers[1]
    validate = second_one._validate

    def interrupted() -> None:
        if second_one.epoch.number == epoch:
            first.interruption.requested = "SIGTERM"
        validate()

    monkeypatch.setattr(second_one, "_validate", interrupted)
    with pytest.raises(KeyboardInterrupt):
        first.multiseed()
    assert [trainer.epoch.number - epoch for trainer in first.trainers] == [1, 0, 0]
    for found, expected in zip(
        Process(config, task, tmp_path, SEEDS).multiseed(), whole, strict=True
    ):
        assert_equal(found, expected)


def test_seeds_killed_at_different_steps_resume(shared_cache: Path, tmp_path: Path) -> None:
    """The process is killed between two of their checkpoints."""
    kind = tuple(KINDS["state carried on"])
    config, task, seeds = composed(*kind), loaded(kind, shared_cache), (0, 1, 2, 3)
    (tmp_path / "alone").mkdir()
    alone = Process(config, task, tmp_path / "alone", seeds).alone()
    for stop, some in ((2, seeds), (3, seeds[2:])):
        process = Process(config, task, tmp_path, some)
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(StackedTrainers, "step", stepping_until(stop, process.interruption))
            with pytest.raises(KeyboardInterrupt):
                process.multiseed()
    last = Process(config, task, tmp_path, seeds)
    assert [trainer.state.steps for trainer in last.trainers] == [2, 2, 5, 5]
    for found, expected in zip(last.multiseed(), alone, strict=True):
        assert_equal(found, expected)


def test_a_seed_with_a_longer_epoch_is_dropped_and_finishes(
    shared_cache: Path, tmp_path: Path
) -> None:
    """Epochs of a text may differ by a step, because they start at a random position."""
    kind = ("task=sp500", "model=gru", "train.max_epochs=2")
    config = composed(*kind)
    task = with_a_smaller_batch(shortened(config.task.load(DiskCache(shared_cache))))
    task.to(CPU, torch.float32)
    cutting = task.batches

    def uneven(
        split: Split, batch_size: int, order: np.random.Generator | None = None
    ) -> Iterator[Batch]:
        whole = cutting(split, batch_size, order)
        return whole if order is None else itertools.islice(whole, 2 + int(order.integers(2)))

    task.batches = uneven  # type: ignore[method-assign]
    (tmp_path / "alone").mkdir()
    seeds = tuple(range(5))
    alone = Process(config, task, tmp_path / "alone", seeds).alone()
    assert len({trainer.state.steps for trainer in alone}) > 1
    for found, expected in zip(
        Process(config, task, tmp_path, seeds).multiseed(), alone, strict=True
    ):
        assert_equal(found, expected)


def test_checkpoints_are_saved_during_training(
    shared_cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    kind = (*KINDS["rnn"], "train.checkpoint_seconds=0")
    config, task = composed(*kind), loaded(tuple(KINDS["rnn"]), shared_cache)
    process = Process(config, task, tmp_path, SEEDS)
    process.multiseed()
    assert set(process.writes.values()) == {EPOCHS * STEPS + 1}
    (tmp_path / "whole").mkdir()
    seldom = composed(*KINDS["rnn"])
    whole = Process(seldom, task, tmp_path / "whole", SEEDS).multiseed()
    for found, expected in zip(process.trainers, whole, strict=True):
        assert bits_of(found) == bits_of(expected)


def test_a_bug_ends_all_seeds_of_the_group(
    shared_cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    kind = tuple(KINDS["rnn"])
    process = Process(composed(*kind), loaded(kind, shared_cache), tmp_path, SEEDS)

    def broken(self: StackedTrainers, batches: Any) -> None:
        raise ZeroDivisionError("a bug")

    monkeypatch.setattr(benchmarks.runner.multiseed.trainer.StackedTrainers, "step", broken)
    process.multiseed()
    assert [str(each.error) for each in process.seed_trainers] == ["a bug"] * 3


def test_a_dropped_seed_is_not_affected_by_later_errors(
    shared_cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    kind = tuple(KINDS["rnn"])
    process = Process(composed(*kind), loaded(kind, shared_cache), tmp_path, SEEDS)

    def fit(self: SeedGroup) -> None:
        for each in self.active:
            detach(each.trainer)
        self.active = self.active[1:]
        raise ZeroDivisionError("a bug")

    monkeypatch.setattr(SeedGroup, "fit", fit)
    process.multiseed()
    first, *others = process.seed_trainers
    assert first.error is None
    assert first.trainer.state.stopped_by is not None
    assert [str(each.error) for each in others] == ["a bug"] * 2


def test_masks_equal_those_of_dropout() -> None:
    network = nn.Sequential(nn.Dropout(0.3), nn.Flatten(0, 1), nn.Dropout(0.0), nn.Dropout(0.6))
    inputs = torch.ones(4, 5, 8)
    before = torch.get_rng_state()
    calls = dropout_calls(network, lambda: network(inputs))
    assert torch.equal(torch.get_rng_state(), before)
    assert [call.shape for call in calls] == [(4, 5, 8), (20, 8)]
    generators = [torch.Generator().manual_seed(seed) for seed in (3, 4)]
    masks = DropoutMasks(calls, 2, torch.float32)
    for _ in range(2):  # the second time over the first
        drawn = masks.draw(generators)
    for place, seed in enumerate((3, 4)):
        torch.manual_seed(seed)
        network(inputs)
        first = network[0](inputs)
        assert torch.equal(drawn[0][place], first)
        assert torch.equal(drawn[1][place], network[3](inputs.flatten(0, 1)))
        assert torch.equal(torch.get_rng_state(), generators[place].get_state())
