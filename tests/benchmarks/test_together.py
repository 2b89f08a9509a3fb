"""Seeds trained in one pass come to what each comes to alone, however they stop and go on."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any, cast

import numpy as np
import pytest
import torch
from hydra import compose, initialize_config_dir
from places import ROOT
from torch import Tensor, nn

import benchmarks.together.fitting
from benchmarks.cache import DiskCache
from benchmarks.checkpoint import read_checkpoint, write_checkpoint
from benchmarks.config import Config, checked_config, register_schemas
from benchmarks.environment import seed_torch
from benchmarks.evaluation import NotFiniteError
from benchmarks.interruption import Interruption
from benchmarks.measurement import build_network
from benchmarks.runner import prepare
from benchmarks.together.fitting import Member, fit_all
from benchmarks.together.masks import Masks, calls_of
from benchmarks.together.reasons import why_alone
from benchmarks.together.stack import Stack
from benchmarks.training import Trainer
from models.kernels.library import reason_for_lack
from tasks.base import Batch, Split, Task
from tasks.modules.forecaster import Forecaster

pytestmark = pytest.mark.skipif(reason_for_lack() is not None, reason=str(reason_for_lack()))

CPU = torch.device("cpu")
SEEDS = (0, 1, 2)
STEPS, EPOCHS = 4, 3
MEASURED = {"train_seconds", "evaluation_seconds", "time_to_best_seconds"}
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
    "state carried on": ["task=shakespeare", "model=gru", "task.chunk_length=16"],
}


class Silent:
    def step(self, line: dict[str, float]) -> None:
        pass

    def epoch(self, line: dict[str, float]) -> None:
        pass


@cache
def composed(*overrides: str) -> Config:
    register_schemas(ROOT / "conf")
    with initialize_config_dir(str(ROOT / "conf"), version_base="1.3"):
        return checked_config(compose("config", overrides=[*QUICK, *SMALL, *overrides]))


@cache
def loaded(config_of: tuple[str, ...], cache_dir: Path) -> Task:
    config = composed(*config_of)
    task = config.task.load(DiskCache(cache_dir))
    task.to(CPU, getattr(torch, config.train.dtype))
    return shortened(task)


def shortened(task: Task) -> Task:
    """Cut a task's epochs to a few steps, of which one has a smaller batch."""
    batches = task.batches

    def few(
        split: Split, batch_size: int, order: np.random.Generator | None = None
    ) -> Iterator[Batch]:
        found = itertools.islice(batches(split, batch_size, order), STEPS)
        for number, batch in enumerate(found):
            yield cut(batch) if order is not None and number == STEPS - 2 else batch

    task.batches = few  # type: ignore[method-assign]
    task.steps_per_epoch = lambda batch_size: STEPS  # type: ignore[method-assign]
    return task


def cut(batch: Batch) -> Batch:
    """Take some rows; of a text, whose rows go on, so few steps that the fused kernel has none."""
    if batch.continues:
        inputs, targets = batch.inputs[:, :5], batch.targets[:, :5]
    else:
        inputs, targets = batch.inputs[:5], batch.targets[:5]
    return Batch(
        inputs, targets, inputs.shape[0] * inputs.shape[1], batch.items, None, batch.continues
    )


class Process:
    """What a process has of several seeds' trainings, begun as the runner begins them."""

    def __init__(self, config: Config, task: Task, folder: Path, seeds: tuple[int, ...]) -> None:
        self.interruption = Interruption()
        self.folder = folder
        self.at_once = 2
        self.writes = dict.fromkeys(seeds, 0)
        self.members = [self.member(config, task, seed) for seed in seeds]

    def member(self, config: Config, task: Task, seed: int) -> Member:
        path = self.folder / f"{seed}.safetensors"

        def keep(tensors: dict[str, Tensor], facts: dict[str, Any]) -> None:
            write_checkpoint(path, tensors, facts)
            self.writes[seed] += 1

        seeded = Config(**{**vars(config), "seed": seed})
        network, _ = build_network(seeded, task, CPU)
        rate = config.train.learning_rate
        of_task = (network, task, config.task.metric, config.train, rate, seed, CPU, Silent(), keep)
        trainer = Trainer(*of_task, self.interruption)
        trainer.warm_up()
        seed_torch(seed, "dropout")
        if path.exists():
            trainer.restore(*read_checkpoint(path))
        return Member(trainer, torch.Generator().set_state(torch.get_rng_state()))

    def together(self) -> list[Trainer]:
        torch.manual_seed(987)  # chance stands anywhere
        fit_all(self.members, self.interruption, self.at_once)
        return self.trainers

    def alone(self) -> list[Trainer]:
        for member in self.members:
            torch.set_rng_state(member.generator.get_state())
            member.trainer.fit()
        return self.trainers

    @property
    def trainers(self) -> list[Trainer]:
        return [member.trainer for member in self.members]


def numbers(trainer: Trainer) -> dict[str, Any]:
    """Everything a training came to, but times and weights."""
    facts = trainer.state()[1]
    left_out = {*MEASURED, "together", "history", "best_metrics"}
    return {k: v for k, v in facts["record"].items() if k not in left_out}


def assert_alike(found: Trainer, expected: Trainer) -> None:
    """Equal but for rounding; a place of chance has none."""
    assert numbers(found) == numbers(expected)
    tolerance = 1e-4 if found.parameters[0].dtype == torch.float32 else 1e-9
    ours, theirs = found.state()[0], expected.state()[0]
    assert ours.keys() == theirs.keys()
    for name in ours.keys() - {"random.cpu"}:
        torch.testing.assert_close(ours[name], theirs[name], rtol=tolerance, atol=tolerance)
    for line, other in zip(found.record.history, expected.record.history, strict=True):
        assert line.keys() - MEASURED == other.keys() - MEASURED
        for name in line.keys() - MEASURED:
            assert line[name] == pytest.approx(other[name], rel=tolerance), name


def bits(trainer: Trainer) -> dict[str, bytes]:
    tensors = {k: t for k, t in trainer.state()[0].items() if k != "random.cpu"}
    flat = {name: t.detach().contiguous().flatten() for name, t in tensors.items()}
    return {name: t.view(torch.uint8).numpy().tobytes() for name, t in flat.items()}


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
        patch.setattr(Stack, "step", stepping_until(step, first.interruption))
        with pytest.raises(KeyboardInterrupt, match="SIGTERM"):
            first.together()
    assert {trainer.record.steps for trainer in first.trainers} == {step}
    second = Process(config, task, tmp_path, SEEDS)
    went_on = second.together() if way == "together" else second.alone()
    for found, expected in zip(went_on, whole, strict=True):
        assert_alike(found, expected)
        if way == "together":
            assert bits(found) == bits(expected)
        assert found.record.together == len(SEEDS)
        assert not any("train_seconds" in line for line in found.record.history)


def stepping_until(last: int, interruption: Interruption) -> Any:
    """A stack's step with a signal in one of them, counted from 1."""
    take, taken = Stack.step, itertools.count(1)

    def step(self: Stack, batches: Any) -> None:
        if next(taken) == last:
            interruption.requested = "SIGTERM"
        take(self, batches)

    return step


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
            patch.setattr(Stack, "step", stepping_until(stop, process.interruption))
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
    task = shortened(config.task.load(DiskCache(shared_cache)))
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
        assert bits(found) == bits(expected)


def test_a_bug_is_that_of_all_who_were_at_it(
    shared_cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    kind = tuple(KINDS["rnn"])
    process = Process(composed(*kind), loaded(kind, shared_cache), tmp_path, SEEDS)

    def broken(self: Stack, batches: Any) -> None:
        raise ZeroDivisionError("a bug")

    monkeypatch.setattr(benchmarks.together.fitting.Stack, "step", broken)
    process.together()
    assert [str(member.error) for member in process.members] == ["a bug"] * 3


def test_masks_are_those_that_dropout_draws() -> None:
    network = nn.Sequential(nn.Dropout(0.3), nn.Flatten(0, 1), nn.Dropout(0.0), nn.Dropout(0.6))
    inputs = torch.ones(4, 5, 8)
    before = torch.get_rng_state()
    calls = calls_of(network, lambda: network(inputs))
    assert torch.equal(torch.get_rng_state(), before)
    assert [call.shape for call in calls] == [(4, 5, 8), (20, 8)]
    generators = [torch.Generator().manual_seed(seed) for seed in (3, 4)]
    masks = Masks(calls, 2, torch.float32)
    for _ in range(2):  # the second time over the first
        drawn = masks.draw(generators)
    for place, seed in enumerate((3, 4)):
        torch.manual_seed(seed)
        network(inputs)
        first = network[0](inputs)
        assert torch.equal(drawn[0][place], first)
        assert torch.equal(drawn[1][place], network[3](inputs.flatten(0, 1)))
        assert torch.equal(torch.get_rng_state(), generators[place].get_state())


SP500 = ("task=sp500", "model=lstm")


@pytest.mark.parametrize(
    ("overrides", "reason"),
    [
        (SP500, None),
        (("task=shakespeare", "model=gru"), None),
        ((*SP500, "match=time", "match.budget_seconds=1"), "a clock ends the training"),
        ((*SP500, "train.max_seconds=1"), "a clock ends the training"),
        ((*SP500, "train.precision=bfloat16"), "train.precision is bfloat16"),
        ((*SP500, "model.kernel=torch"), "by the kernel torch"),
        ((*SP500, "model.hidden_size=512"), "enough to compute"),
        (("task=sp500", "model=baseline", "model.baseline=ar"), "a baseline trains no network"),
        (("task=imdb", "task.source=bundled", "model=rnn"), "different lengths"),
    ],
)
def test_why_seeds_are_not_trained_together(
    overrides: tuple[str, ...], reason: str | None, shared_cache: Path
) -> None:
    ready = prepare(composed(*overrides, f"cache_dir='{shared_cache}'", "train.threads=1"))
    found = why_alone(ready, SEEDS)
    assert found is reason is None or reason in cast(str, found)


def test_one_seed_is_not_trained_together(shared_cache: Path) -> None:
    ready = prepare(composed(*SP500, f"cache_dir='{shared_cache}'", "train.threads=1"))
    assert why_alone(ready, [3]) == "there is one"


class Noisy(Forecaster):
    def forward(self, inputs: Tensor, lengths: None = None, state: None = None) -> Any:
        return super().forward(inputs + 0.1 * torch.rand_like(inputs))


class Normalised(Forecaster):
    def __init__(self, encoder: Any) -> None:
        super().__init__(encoder)
        self.norm = nn.LayerNorm(2)

    def forward(self, inputs: Tensor, lengths: None = None, state: None = None) -> Any:
        return super().forward(self.norm(inputs))


class Centred(Forecaster):
    """Each row sees the others of its batch."""

    def forward(self, inputs: Tensor, lengths: None = None, state: None = None) -> Any:
        return super().forward(inputs - 3 * inputs.mean(0))


@pytest.mark.parametrize(
    ("network", "reason"),
    [
        (Noisy, "chance in it that is not dropout"),
        (Normalised, "a layer that only does one at a time: LayerNorm"),
        (Centred, "computes something else then"),
    ],
)
def test_a_network_that_cannot_be_trained_together_is_found_out(
    network: type, reason: str, shared_cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tasks.modules.forecaster.Forecaster", network)
    ready = prepare(composed(*SP500, f"cache_dir='{shared_cache}'", "train.threads=1"))
    assert reason in cast(str, why_alone(ready, SEEDS))
