"""The contract of tasks, checked for every task with a YAML file and every model it allows."""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from dataclasses import replace
from functools import cache
from importlib.util import find_spec
from typing import Any

import pytest
import torch
from torch import Tensor

from benchmarks.config.schema import Config
from benchmarks.results.row import COLUMNS
from benchmarks.training.evaluation import evaluate
from benchmarks.training.network import build_network
from benchmarks.training.predictions import Predictions
from benchmarks.training.seeding import SeedStreams
from tasks.base import SPLITS, Baseline, Batch, FittedBaseline, Split, Task
from tests.helpers.definitions import MODELS, PAIRS, TASKS, composed

Loader = Callable[[str], Task]
Fitter = Callable[[str, str], FittedBaseline]
CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def fitted(loaded: Loader) -> Fitter:
    """Fit a task's baseline once."""

    @cache
    def fit(task: str, name: str) -> FittedBaseline:
        return loaded(task).fit_baseline(name, seed=0)

    return fit


def baselines(task: str) -> dict[str, Baseline]:
    return composed("lstm", task).task.baselines()


def with_reason(task: str, name: str) -> Any:
    """Return the parameters of a baseline; it is skipped if its optional packages are missing."""
    baseline = baselines(task)[name]
    packages = [module.partition(".")[0] for module in baseline.needs if baseline.extra]
    missing = [package for package in packages if find_spec(package) is None]
    reason = f"requires {', '.join(missing)}: pip install -e '.[{baseline.extra}]'"
    return pytest.param(task, name, marks=pytest.mark.skipif(bool(missing), reason=reason))


BASELINES = [with_reason(task, name) for task in TASKS for name in baselines(task)]


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


@pytest.mark.parametrize("name", TASKS)
def test_name_and_metric_are_complete(name: str) -> None:
    settings = composed("lstm", name).task
    assert settings.name == name
    assert settings.primary_metric.unit
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
def test_training_order_depends_on_its_random_stream_only(name: str, loaded: Loader) -> None:
    task = loaded(name)

    def epoch(seed: int, number: int) -> list[Batch]:
        return [*task.batches("train", 32, SeedStreams(seed).data_order(number))]

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
    batch = next(task.batches("train", 8, SeedStreams(0).data_order(0)))
    outputs, _ = network(batch.inputs, batch.lengths, None)
    task.loss(outputs, batch).backward()
    for parameter_name, parameter in network.named_parameters():
        assert parameter.grad is not None, parameter_name
        assert parameter.grad.isfinite().all(), parameter_name
    sums = task.sums(outputs.detach(), batch)
    metrics = task.metrics({k: value if value.dim() else float(value) for k, value in sums.items()})
    assert config.task.primary_metric.name in metrics
    assert "loss" in metrics
    assert all(math.isfinite(value) for value in metrics.values())
    assert config.task.primary_metric.name in COLUMNS or name not in (
        "imdb",
        "shakespeare",
        "sp500",
    )


def shortened(batch: Batch, steps: int = 20) -> Batch:
    """Cut texts to their first steps, as all steps use the same device."""
    inputs = batch.inputs[:, :steps]
    if batch.lengths is not None:
        return replace(batch, inputs=inputs, lengths=batch.lengths.clamp(max=steps))
    if batch.targets.shape != batch.inputs.shape:
        return batch
    targets, items = batch.targets[:, :steps], batch.items[:, :steps]
    return replace(batch, inputs=inputs, targets=targets, items=items)


@pytest.mark.parametrize(("model", "name"), PAIRS)
def test_a_step_of_every_pair_uses_the_device_of_its_batch(
    model: str, name: str, loaded: Loader
) -> None:
    """On the meta device mixed devices raise, as on a GPU."""
    task = loaded(name)
    network, _ = build_network(small(model, name), task, torch.device("meta"))
    batch = shortened(next(task.batches("train", 8, SeedStreams(0).data_order(0))))
    batch = replace(
        batch,
        inputs=batch.inputs.to("meta"),
        targets=batch.targets.to("meta"),
        items=batch.items.to("meta"),
        lengths=None if batch.lengths is None else batch.lengths.to("meta"),
    )
    outputs, state = network(batch.inputs, batch.lengths, None)
    task.loss(outputs, batch).backward()
    assert all(p.grad is not None and p.grad.is_meta for p in network.parameters())
    assert all(value.is_meta for value in task.sums(outputs.detach(), batch).values())
    if state is not None:
        network(batch.inputs, batch.lengths, tuple(part.detach() for part in state))


@pytest.mark.parametrize(("model", "name"), PAIRS)
def test_every_pair_learns_one_batch(model: str, name: str, loaded: Loader) -> None:
    config, task = composed(model, name, "model.hidden_size=16", "model.dropout=0"), loaded(name)
    network, _ = build_network(config, task, CPU)
    network.eval()  # without the task's own dropout
    batch = next(task.batches("train", 8, SeedStreams(0).data_order(0)))
    optimizer = torch.optim.Adam(network.parameters(), lr=1e-2)
    losses = []
    for _ in range(30):
        optimizer.zero_grad()
        outputs, _ = network(batch.inputs, batch.lengths, None)
        loss = task.loss(outputs, batch)
        loss.backward()
        optimizer.step()
        losses.append(float(loss.detach()))
    assert losses[-1] < 0.95 * losses[0]


@pytest.mark.parametrize("name", TASKS)
def test_the_tasks_own_layers_start_equal_for_every_model(name: str, loaded: Loader) -> None:
    """With pairing by seed, models of one size differ in the encoder only."""
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


# --- items, predictions and baselines, which comparisons by item use


@pytest.mark.parametrize("name", TASKS)
@pytest.mark.parametrize("split", SPLITS)
def test_items_number_a_split_for_every_batch_size(name: str, split: Split, loaded: Loader) -> None:
    counts = set()
    for batch_size in (1000, 64, 7):
        batches = [*loaded(name).batches(split, batch_size)]
        for batch in batches:
            assert batch.items.shape[0] == len(batch.inputs)
            assert batch.items.dim() <= 2
        items = torch.cat([batch.items.flatten() for batch in batches])
        assert torch.equal(items.sort().values, torch.arange(len(items)))
        counts.add(len(items))
    assert len(counts) == 1


@pytest.mark.parametrize("name", TASKS)
def test_training_batches_draw_from_the_same_items(name: str, loaded: Loader) -> None:
    task = loaded(name)
    count = sum(batch.items.numel() for batch in task.batches("train", 64))
    epoch = [
        batch.items.flatten() for batch in task.batches("train", 64, SeedStreams(0).data_order(0))
    ]
    items = torch.cat(epoch)
    assert len(items.unique()) == len(items)
    assert 0 <= int(items.min()) <= int(items.max()) < count


@pytest.mark.parametrize("name", TASKS)
def test_predictions_belong_to_their_items_for_every_batch_size(name: str, loaded: Loader) -> None:
    config, task = small("gru", name), loaded(name)
    network, _ = build_network(config, task, CPU)
    first, second = Predictions(), Predictions()
    evaluate(network, task, "validation", 16, predictions=first)
    evaluate(network, task, "validation", 201, predictions=second)
    same_predictions(first, second)
    items, _ = first.in_order()
    for column in task.items("validation").values():
        assert len(column) == len(items)
        assert all(isinstance(text, str) for text in column)


def same_predictions(first: Predictions, second: Predictions) -> None:
    """Check that both hold columns of one length, with the same values in the order of items."""
    (items, columns), (other_items, other_columns) = first.in_order(), second.in_order()
    assert torch.equal(items, other_items)
    assert columns.keys() == other_columns.keys() != set()
    for name, column in columns.items():
        assert column.shape == items.shape, name
        torch.testing.assert_close(column, other_columns[name], rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("name", TASKS)
@pytest.mark.parametrize("split", SPLITS[1:])
def test_outputs_with_the_stored_predictions_have_the_same_metrics(
    name: str, split: Split, loaded: Loader
) -> None:
    config, task = small("gru", name), loaded(name)
    network, _ = build_network(config, task, CPU)
    stored, again = Predictions(), Predictions()
    expected = evaluate(network, task, split, 64, predictions=stored)
    items, columns = stored.in_order()
    assert torch.equal(items, torch.arange(len(items)))

    class Stored(FittedBaseline):
        def outputs(self, split: Split, items: Tensor) -> Tensor:
            kept = {name: column[items.flatten()] for name, column in columns.items()}
            return task.outputs_of(split, items, kept)

    # Of another batch size, and forecasts of several steps: items are (batch, steps).
    assert evaluate(Stored(), task, split, 17, predictions=again) == pytest.approx(
        expected, rel=1e-5
    )
    same_predictions(stored, again)


@pytest.mark.parametrize("name", TASKS)
def test_excerpts_contain_only_predicted_items(name: str, loaded: Loader) -> None:
    config, task = small("gru", name), loaded(name)
    network, _ = build_network(config, task, CPU)
    predictions = Predictions()
    evaluate(network, task, "test", 8, max_batches=4, predictions=predictions)
    items, columns = predictions.in_order()
    numbers = [excerpt["item"] for excerpt in task.excerpts("test", items, columns)]
    assert len(set(numbers)) == len(numbers)
    assert set(numbers) <= set(items.tolist())


@pytest.mark.parametrize("task", TASKS)
def test_baselines_have_names_and_only_the_first_is_naive(task: str) -> None:
    known = baselines(task)
    are_naive = [baseline.kind == "naive" for baseline in known.values()]
    assert are_naive == [n == 0 for n in range(len(known))]
    assert not known.keys() & {*MODELS, "baseline"}
    for name, baseline in known.items():
        assert re.fullmatch("[a-z][a-z0-9_]*", name)
        assert baseline.kind in ("naive", "simple", "classical")
        assert baseline.help


@pytest.mark.parametrize(("task", "name"), BASELINES)
def test_every_baseline_gives_finite_metrics(
    task: str, name: str, loaded: Loader, fitted: Fitter
) -> None:
    baseline = fitted(task, name)
    assert isinstance(baseline.parameters, int)
    assert baseline.parameters >= 0
    for split in SPLITS[1:]:
        metrics = evaluate(baseline, loaded(task), split, 64, max_batches=4)
        assert composed("lstm", task).task.primary_metric.name in metrics
        assert all(math.isfinite(value) for value in metrics.values())


@pytest.mark.parametrize(("task", "name"), BASELINES)
def test_the_outputs_of_a_baseline_depend_on_the_item_only(
    task: str, name: str, loaded: Loader, fitted: Fitter
) -> None:
    first, second, single = Predictions(), Predictions(), Predictions()
    baseline, data = fitted(task, name), loaded(task)
    evaluate(baseline, data, "validation", 16, predictions=first)
    evaluate(baseline, data, "validation", 201, predictions=second)
    same_predictions(first, second)
    _, columns = first.in_order()
    batch = next(data.single_sequences(1))
    outputs = baseline.outputs("validation", batch.items)
    single.add(batch.items, data.predictions(outputs, batch))
    items, alone = single.in_order()
    for column, values in alone.items():
        torch.testing.assert_close(values, columns[column][items], rtol=1e-4, atol=1e-5)
