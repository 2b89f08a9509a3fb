"""Seeds trained in one pass come to what each comes to alone, however they stop and go on."""

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
from benchmarks.runner.multiseed.dropout import DropoutMasks, calls_of
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
    assert_alike,
    bits_of,
    composed,
    loaded,
    stepping_until,
    with_a_smaller_batch,
)
from tests.helpers.short_trainings import CPU, EPOCHS, STEPS, shortened

pytestmark = pytest.mark.skipif(unavailable_reason() is not None, reason=str(unavailable_reason()))


@pytest.mark.parametrize("at_once", [2, 3])
@pytest.mark.parametrize("kind", KINDS)
def test_each_seed_comes_to_what_it_comes_to_alone(
    kind: str, at_once: int, shared_cache: Path, tmp_path: Path
) -> None:
    config = composed(*KINDS[kind])
    task = loaded(tuple(KINDS[kind]), shared_cache)
    (tmp_path / "alone").mkdir()
    alone = Process(config, task, tmp_path / "alone", SEEDS).alone()
    process = Process(config, task, tmp_path, SEEDS)
    process.at_once = at_once
    together = process.together()
    for found, expected, member in zip(together, alone, process.members, strict=True):
        assert_alike(found, expected)
        assert found.record.together == len(SEEDS)
        assert expected.record.together == 0
        assert not any("train_seconds" in line for line in found.record.history)
        # Dropout was drawn as often as alone, from the same place.
        with_chance = read_checkpoint(tmp_path / f"{found.seed}.safetensors")[0]["random.cpu"]
        after = read_checkpoint(tmp_path / "alone" / f"{found.seed}.safetensors")[0]["random.cpu"]
        assert torch.equal(with_chance, after)
        assert torch.equal(member.generator.get_state(), after)
    assert len({trainer.record.best_metrics["loss"] for trainer in together}) == len(SEEDS)


def test_seeds_stop_early_each_at_its_own_epoch(shared_cache: Path, tmp_path: Path) -> None:
    kind = ("task=sp500", "model=rnn", "train.max_epochs=12", "train.patience=1")
    kind = (*kind, "train.learning_rate=0.02")
    config, task, seeds = composed(*kind), loaded(kind, shared_cache), tuple(range(6))
    (tmp_path / "alone").mkdir()
    alone = Process(config, task, tmp_path / "alone", seeds).alone()
    process = Process(config, task, tmp_path, seeds)
    together = process.together()
    assert len({trainer.record.epochs for trainer in alone}) > 2, "they should differ"
    for found, expected in zip(together, alone, strict=True):
        assert_alike(found, expected)
    assert all(process.writes.values()), "the end of each training is kept"


def test_whoever_diverges_does_so_alone(shared_cache: Path, tmp_path: Path) -> None:
    kind = tuple(KINDS["rnn"])
    config, task = composed(*kind), loaded(kind, shared_cache)
    (tmp_path / "alone").mkdir()
    alone = Process(config, task, tmp_path / "alone", SEEDS).alone()
    process = Process(config, task, tmp_path, SEEDS)
    with torch.no_grad():
        process.members[1].trainer.parameters[0].fill_(torch.nan)
    process.together()
    assert isinstance(process.members[1].error, NotFiniteError)
    assert process.members[1].trainer.record.epochs == 0
    for place in (0, 2):
        assert process.members[place].error is None
        assert_alike(process.trainers[place], alone[place])


@pytest.mark.parametrize("kind", ["lstm, two layers", "state carried on"])
@pytest.mark.parametrize("way", ["together", "alone"])
@pytest.mark.parametrize("step", [1, STEPS, STEPS + 2, EPOCHS * STEPS])
def test_after_a_signal_they_go_on_together_or_alone(
    kind: str, way: str, step: int, shared_cache: Path, tmp_path: Path
) -> None:
    config = composed(*KINDS[kind])
    task = loaded(tuple(KINDS[kind]), shared_cache)
    (tmp_path / "whole").mkdir()
    whole = Process(config, task, tmp_path / "whole", SEEDS).together()
    first = Process(config, task, tmp_path, SEEDS)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(StackedTrainers, "step", stepping_until(step, first.interruption))
        with pytest.raises(KeyboardInterrupt, match="SIGTERM"):
            first.together()
    assert {trainer.record.steps for trainer in first.trainers} == {step}
    second = Process(config, task, tmp_path, SEEDS)
    went_on = second.together() if way == "together" else second.alone()
    for found, expected in zip(went_on, whole, strict=True):
        assert_alike(found, expected)
        if way == "together":
            assert bits_of(found) == bits_of(expected)
        assert found.record.together == len(SEEDS)
        assert not any("train_seconds" in line for line in found.record.history)


@pytest.mark.parametrize("epoch", [1, 2])
def test_a_signal_between_two_validations_loses_nothing(
    epoch: int, shared_cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Some have turned to the next epoch then, and others have not."""
    kind = tuple(KINDS["rnn"])
    config, task = composed(*kind), loaded(kind, shared_cache)
    (tmp_path / "whole").mkdir()
    whole = Process(config, task, tmp_path / "whole", SEEDS).together()
    first = Process(config, task, tmp_path, SEEDS)
    second_one = first.trainers[1]
    validate = second_one._validate

    def interrupted() -> None:
        if second_one.epoch.number == epoch:
            first.interruption.requested = "SIGTERM"
        validate()

    monkeypatch.setattr(second_one, "_validate", interrupted)
    with pytest.raises(KeyboardInterrupt):
        first.together()
    assert [trainer.epoch.number - epoch for trainer in first.trainers] == [1, 0, 0]
    for found, expected in zip(
        Process(config, task, tmp_path, SEEDS).together(), whole, strict=True
    ):
        assert_alike(found, expected)


def test_seeds_that_were_killed_at_different_steps_go_on(
    shared_cache: Path, tmp_path: Path
) -> None:
    """As after a kill between two of their checkpoints."""
    kind = tuple(KINDS["state carried on"])
    config, task, seeds = composed(*kind), loaded(kind, shared_cache), (0, 1, 2, 3)
    (tmp_path / "alone").mkdir()
    alone = Process(config, task, tmp_path / "alone", seeds).alone()
    for stop, some in ((2, seeds), (3, seeds[2:])):
        process = Process(config, task, tmp_path, some)
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(StackedTrainers, "step", stepping_until(stop, process.interruption))
            with pytest.raises(KeyboardInterrupt):
                process.together()
    last = Process(config, task, tmp_path, seeds)
    assert [trainer.record.steps for trainer in last.trainers] == [2, 2, 5, 5]
    for found, expected in zip(last.together(), alone, strict=True):
        assert_alike(found, expected)


def test_whoever_has_a_longer_epoch_leaves_and_goes_on(shared_cache: Path, tmp_path: Path) -> None:
    """Epochs of a text may differ by a step, as they begin at a place drawn by chance."""
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
    assert len({trainer.record.steps for trainer in alone}) > 1
    for found, expected in zip(
        Process(config, task, tmp_path, seeds).together(), alone, strict=True
    ):
        assert_alike(found, expected)


def test_checkpoints_are_kept_on_the_way(
    shared_cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    kind = (*KINDS["rnn"], "train.checkpoint_seconds=0")
    config, task = composed(*kind), loaded(tuple(KINDS["rnn"]), shared_cache)
    process = Process(config, task, tmp_path, SEEDS)
    process.together()
    assert set(process.writes.values()) == {EPOCHS * STEPS + 1}
    (tmp_path / "whole").mkdir()
    seldom = composed(*KINDS["rnn"])
    whole = Process(seldom, task, tmp_path / "whole", SEEDS).together()
    for found, expected in zip(process.trainers, whole, strict=True):
        assert bits_of(found) == bits_of(expected)


def test_a_bug_is_that_of_all_who_were_at_it(
    shared_cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    kind = tuple(KINDS["rnn"])
    process = Process(composed(*kind), loaded(kind, shared_cache), tmp_path, SEEDS)

    def broken(self: StackedTrainers, batches: Any) -> None:
        raise ZeroDivisionError("a bug")

    monkeypatch.setattr(benchmarks.runner.multiseed.trainer.StackedTrainers, "step", broken)
    process.together()
    assert [str(member.error) for member in process.members] == ["a bug"] * 3


def test_who_has_left_has_no_part_in_what_ends_the_others(
    shared_cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    kind = tuple(KINDS["rnn"])
    process = Process(composed(*kind), loaded(kind, shared_cache), tmp_path, SEEDS)

    def fit(self: SeedGroup) -> None:
        for member in self.members:
            detach(member.trainer)
        self.members = self.members[1:]
        raise ZeroDivisionError("a bug")

    monkeypatch.setattr(SeedGroup, "fit", fit)
    process.together()
    first, *others = process.members
    assert first.error is None
    assert first.trainer.record.stopped_by is not None
    assert [str(member.error) for member in others] == ["a bug"] * 2


def test_masks_are_those_that_dropout_draws() -> None:
    network = nn.Sequential(nn.Dropout(0.3), nn.Flatten(0, 1), nn.Dropout(0.0), nn.Dropout(0.6))
    inputs = torch.ones(4, 5, 8)
    before = torch.get_rng_state()
    calls = calls_of(network, lambda: network(inputs))
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
