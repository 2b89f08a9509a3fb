"""Initialisation of a network, its training batches, and its evaluation."""

from __future__ import annotations

import csv
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor

from benchmarks.config.schema import Config, TrainSettings
from benchmarks.results.store import Store
from benchmarks.runner.run import RunOptions, run
from benchmarks.system.disk_cache import DiskCache
from benchmarks.system.signals import Interruption
from benchmarks.training.evaluation import evaluate
from benchmarks.training.latency import latencies_ms
from benchmarks.training.network import build_network
from benchmarks.training.seeding import SeedStreams
from benchmarks.training.trainer import Trainer
from models.base import ModelSettings
from models.recurrent import RecurrentSettings
from tasks.base import Batch, Split, Task, TaskSettings
from tasks.sp500 import Sp500Settings, Sp500Task
from tests.helpers.toys import CPU, ToyNetwork, ToySettings, ToyTask, run_toy, trainer_of


@pytest.fixture(scope="module")
def sp500(shared_cache: Path) -> Task:
    task = Sp500Settings().load(DiskCache(shared_cache))
    task.to(CPU, torch.float32)
    return task


def inputs_seen(task: Task, model: ModelSettings, seed: int) -> list[Tensor]:
    """Return the inputs of every training step of a model."""
    train = TrainSettings(max_epochs=2, batch_size=200, learning_rate=0.01)
    config = Config(Sp500Settings(), model, train, seed=seed)
    network, _ = build_network(config, task, CPU)
    trainer = trainer_of(config, network, task)
    seen = []
    original = trainer.forward_backward

    def forward_backward(batch: Batch, state: object) -> Any:
        seen.append(batch.inputs.clone())
        return original(batch, state)

    trainer.forward_backward = forward_backward  # type: ignore[method-assign]
    trainer.fit()
    return seen


def test_every_model_sees_the_same_batches_in_the_same_order(sp500: Task) -> None:
    one = inputs_seen(sp500, RecurrentSettings(cell="rnn", hidden_size=4, dropout=0.5), seed=3)
    other = inputs_seen(sp500, RecurrentSettings(hidden_size=5, bidirectional=True), seed=3)
    assert len(one) == len(other) == 2 * sp500.steps_per_epoch(200)
    assert all(map(torch.equal, one, other))
    wanted = [
        batch.inputs
        for epoch in range(2)
        for batch in sp500.batches("train", 200, SeedStreams(3).data_order(epoch))
    ]
    assert all(map(torch.equal, one, wanted))


def test_another_seed_and_another_epoch_see_another_order(sp500: Task) -> None:
    first = inputs_seen(sp500, RecurrentSettings(hidden_size=4), seed=0)
    second = inputs_seen(sp500, RecurrentSettings(hidden_size=4), seed=1)
    epoch = len(first) // 2
    assert not torch.equal(first[0], second[0])
    assert not torch.equal(first[0], first[epoch])


def test_models_of_one_size_get_the_same_head(sp500: Task) -> None:
    def built(cell: str, seed: int) -> tuple[Tensor, Tensor]:
        config = Config(Sp500Settings(), RecurrentSettings(cell=cell, hidden_size=4), seed=seed)
        network, encoder = build_network(config, sp500, CPU)
        return network.head.weight, next(encoder.parameters())  # type: ignore[union-attr, return-value]

    assert torch.equal(built("rnn", 0)[0], built("gru", 0)[0])
    assert not torch.equal(built("rnn", 0)[0], built("rnn", 1)[0])
    assert not torch.equal(built("rnn", 0)[1], built("rnn", 1)[1])


def test_dropout_has_its_own_random_stream(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Random numbers used before, in building and warm-up, have no effect."""
    states = []

    def fit(self: Trainer) -> None:
        states.append(torch.get_rng_state())
        raise KeyboardInterrupt

    monkeypatch.setattr(Trainer, "fit", fit)
    train = TrainSettings(device="cpu", threads=1)
    for seed, hidden_size in ((0, 2), (0, 3), (1, 2)):
        model = RecurrentSettings(hidden_size=hidden_size, dropout=0.5)
        config = Config(Sp500Settings(), model, train, seed=seed)
        run(config, Store(tmp_path), Interruption(), RunOptions())
    assert torch.equal(states[0], states[1])
    assert not torch.equal(states[0], states[2])


@pytest.mark.parametrize(
    ("settings", "definition"), [(ToySettings(), ToyTask), (Sp500Settings(), Sp500Task)]
)
def test_the_test_split_is_read_once_and_last(
    settings: TaskSettings, definition: type[Task], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[str] = []
    original = definition.batches

    def batches(self: Task, split: Split, *arguments: Any) -> Iterator[Batch]:
        asked.append(split)
        return original(self, split, *arguments)

    monkeypatch.setattr(definition, "batches", batches)
    train = TrainSettings(max_epochs=3, device="cpu", threads=1)
    config = Config(settings, RecurrentSettings(hidden_size=2), train)
    run(config, Store(tmp_path), Interruption(), RunOptions())
    assert asked.count("test") == 1
    # Of three epochs, and once after the test, for the predictions that are kept.
    assert asked.count("validation") == 4
    assert asked[asked.index("test") :].count("validation") == 1


def test_the_best_weights_are_tested_not_the_last(tmp_path: Path) -> None:
    row = run_toy(tmp_path)
    folder = tmp_path / "runs" / row.run_id
    with (folder / "history.csv").open(newline="") as file:
        curve = [float(line["validation_rmse"]) for line in csv.DictReader(file)]
    assert curve == sorted(curve)  # worse each epoch
    assert curve[0] < curve[-1]
    assert (row.status, row.epochs, row.best_epoch) == ("ok", 3, 1)
    assert row.val_score == row.test_score == curve[0]
    kept = load_file(folder / "weights.safetensors")["weight"].item()
    assert kept == pytest.approx(curve[0])


@pytest.mark.parametrize("split", ["validation", "test"])
def test_scores_do_not_depend_on_the_batch_size(split: Split, sp500: Task) -> None:
    network, _ = build_network(Config(Sp500Settings(), RecurrentSettings()), sp500, CPU)
    whole, *others = (evaluate(network, sp500, split, size) for size in (1000, 1, 7))
    for other in others:
        assert other == pytest.approx(whole, rel=1e-6)


def test_an_evaluation_can_be_cut_short_and_leaves_no_graph() -> None:
    task = ToyTask()
    network = task.network(RecurrentSettings(hidden_size=2).build(1))
    assert isinstance(network, ToyNetwork)
    evaluate(network.train(), task, "validation", 2, max_batches=3)
    assert len(network.states) == 3
    assert not network.training


def test_latency_is_measured_often_enough_for_its_percentiles() -> None:
    task = ToyTask()
    network = task.network(RecurrentSettings(hidden_size=2).build(1))
    latencies = latencies_ms(network.train(), task, CPU)
    assert len(latencies) >= 100
    assert min(latencies) > 0
    assert not network.training
