"""What every task must do, with every model it admits; a new task's YAML brings it here."""

from __future__ import annotations

import math
from collections.abc import Callable

import pytest
import torch
from found import PAIRS, TASKS, composed

from benchmarks.config import Config
from benchmarks.environment import stream
from benchmarks.evaluation import evaluate
from benchmarks.measurement import build_network
from benchmarks.results import COLUMNS
from tasks.base import Batch, Task

Loader = Callable[[str], Task]
SPLITS = ("train", "validation", "test")
CPU = torch.device("cpu")


def small(model: str, task: str) -> Config:
    return composed(model, task, "model.hidden_size=8")


@pytest.mark.parametrize("name", TASKS)
def test_description_is_complete(name: str, loaded: Loader) -> None:
    data = loaded(name).data
    assert data.name
    assert data.unit
    assert data.split
    assert len(data.sha256) == 64
    assert min(data.train_size, data.validation_size, data.test_size) > 0
    assert data.train_size > data.test_size or name == "imdb"


@pytest.mark.parametrize("name", TASKS)
def test_name_and_metric_have_their_place_in_the_row(name: str) -> None:
    settings = composed("lstm", name).task
    assert settings.name == name
    assert settings.metric.unit
    assert settings.version >= 1


@pytest.mark.parametrize("name", TASKS)
@pytest.mark.parametrize("split", SPLITS)
@pytest.mark.parametrize("batch_size", [7, 64])
def test_evaluation_batches_are_fixed(
    name: str, split: str, batch_size: int, loaded: Loader
) -> None:
    task = loaded(name)
    first, second = ([*task.batches(split, batch_size)] for _ in range(2))  # type: ignore[arg-type]
    assert len(first) == len(second) > 0
    assert all(torch.equal(a.inputs, b.inputs) for a, b in zip(first, second, strict=True))
    assert not first[0].continues


@pytest.mark.parametrize("name", TASKS)
def test_training_order_depends_on_its_stream_alone(name: str, loaded: Loader) -> None:
    task = loaded(name)

    def epoch(seed: int, number: int) -> list[Batch]:
        return [*task.batches("train", 32, stream(seed, "data order", number))]

    def same(one: list[Batch], other: list[Batch]) -> bool:
        return len(one) == len(other) and all(
            torch.equal(a.inputs, b.inputs) and torch.equal(a.targets, b.targets)
            for a, b in zip(one, other, strict=True)
        )

    assert same(epoch(0, 0), epoch(0, 0))
    assert not same(epoch(0, 0), epoch(0, 1))
    assert not same(epoch(0, 0), epoch(1, 0))
    expected = task.steps_per_epoch(32)
    assert expected - 1 <= len(epoch(0, 0)) <= expected


@pytest.mark.parametrize("name", TASKS)
@pytest.mark.parametrize("split", SPLITS)
def test_tokens_count_the_valid_steps(name: str, split: str, loaded: Loader) -> None:
    for batch in loaded(name).batches(split, 64):  # type: ignore[arg-type]
        if batch.lengths is None:
            assert batch.tokens == batch.inputs.shape[0] * batch.inputs.shape[1]
        else:
            assert batch.tokens == int(batch.lengths.sum())
            assert batch.lengths.min() >= 1
            assert int(batch.lengths.max()) == batch.inputs.shape[1]


@pytest.mark.parametrize("name", TASKS)
def test_single_sequences_are_single(name: str, loaded: Loader) -> None:
    batches = [*loaded(name).single_sequences(5)]
    assert len(batches) == 5
    assert all(batch.inputs.shape[0] == 1 and not batch.continues for batch in batches)


@pytest.mark.parametrize("name", TASKS)
def test_scores_do_not_depend_on_the_batch_size(name: str, loaded: Loader) -> None:
    config, task = small("gru", name), loaded(name)
    network, _ = build_network(config, task, CPU)
    first = evaluate(network, task, "validation", 16)
    second = evaluate(network, task, "validation", 201)
    assert first == pytest.approx(second, rel=1e-5)


@pytest.mark.parametrize(("model", "name"), PAIRS)
def test_every_pair_computes_metrics_and_gradients(model: str, name: str, loaded: Loader) -> None:
    config, task = small(model, name), loaded(name)
    network, encoder = build_network(config, task, CPU)
    assert network.encoder is encoder
    batch = next(task.batches("train", 8, stream(0, "data order", 0)))
    outputs, _ = network(batch.inputs, batch.lengths, None)
    task.loss(outputs, batch).backward()
    for parameter_name, parameter in network.named_parameters():
        assert parameter.grad is not None, parameter_name
        assert parameter.grad.isfinite().all(), parameter_name
    sums = {key: float(value) for key, value in task.sums(outputs.detach(), batch).items()}
    metrics = task.metrics(sums)
    assert config.task.metric.name in metrics
    assert "loss" in metrics
    assert all(math.isfinite(value) for value in metrics.values())
    assert config.task.metric.name in COLUMNS or name not in ("imdb", "shakespeare", "sp500")


@pytest.mark.parametrize(("model", "name"), PAIRS)
def test_every_pair_learns_one_batch(model: str, name: str, loaded: Loader) -> None:
    config, task = composed(model, name, "model.hidden_size=16", "model.dropout=0"), loaded(name)
    network, _ = build_network(config, task, CPU)
    network.eval()  # without the task's own dropout
    batch = next(task.batches("train", 8, stream(0, "data order", 0)))
    optimizer = torch.optim.Adam(network.parameters(), lr=1e-2)
    losses = []
    for _ in range(15):
        optimizer.zero_grad()
        outputs, _ = network(batch.inputs, batch.lengths, None)
        loss = task.loss(outputs, batch)
        loss.backward()
        optimizer.step()
        losses.append(float(loss.detach()))
    assert losses[-1] < 0.95 * losses[0]


@pytest.mark.parametrize("name", TASKS)
def test_the_tasks_own_layers_begin_alike_for_every_model(name: str, loaded: Loader) -> None:
    """Pairing by seed means that models of one size differ in the encoder alone."""
    task = loaded(name)
    networks = [build_network(small(m, name), task, CPU)[0] for m in ("rnn", "lstm", "gru")]
    outside = [
        {n: p for n, p in network.named_parameters() if not n.startswith("encoder.")}
        for network in networks
    ]
    for other in outside[1:]:
        assert all(torch.equal(outside[0][n], other[n]) for n in outside[0])


@pytest.mark.parametrize("name", TASKS)
def test_showcase_is_seeded(name: str, loaded: Loader) -> None:
    config, task = small("rnn", name), loaded(name)
    network, _ = build_network(config, task, CPU)
    assert task.showcase(network, 0) == task.showcase(network, 0)
