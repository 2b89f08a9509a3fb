"""Dynamic evaluation of a small network, against the formulas of Krause et al. (2018)."""

from __future__ import annotations

import copy
import math
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from benchmarks.runner.dynamic.model import DynamicModel
from benchmarks.system.disk_cache import DiskCache
from benchmarks.training.evaluation import evaluate
from benchmarks.training.network import build_network
from benchmarks.training.predictions import Predictions
from tasks.language.task import LanguageTask
from tests.helpers.composing import composed
from tests.helpers.definitions import EXAMPLES

CHUNK = 7


def parts_of(model: str, tmp_path: Path, *words: str) -> tuple[nn.Module, LanguageTask]:
    """Return an untrained network in float64 and its task with shortened splits."""
    data = f"task.data={EXAMPLES['lm']}"
    config = composed(f"model={model}", "task=lm", data, "model.hidden_size=6", *words)
    task = config.task.load(DiskCache(tmp_path))
    assert isinstance(task, LanguageTask)
    for split, text in task.splits.items():
        task.splits[split] = text[: 1500 if split == "train" else 200]
    torch.manual_seed(0)
    network, _ = build_network(config, task, torch.device("cpu"))
    return network.double().eval(), task


def naive_rms(network: nn.Module, ids: Tensor, chunk: int) -> dict[str, Tensor]:
    """Root mean squares of the gradients over chunks of 100 rows, or as many as there are."""
    rows = min(100, (len(ids) - 1) // chunk)
    length = (len(ids) - 1) // rows
    inputs, targets = ids[: rows * length].view(rows, -1), ids[1 : rows * length + 1].view(rows, -1)
    squares = {name: torch.zeros_like(p) for name, p in network.named_parameters()}
    state: Any = None
    for start in range(0, length, chunk):
        network.zero_grad()
        outputs, state = network(inputs[:, start : start + chunk], None, state)
        state = tuple(part.detach() for part in state)
        wanted = targets[:, start : start + chunk].flatten()
        torch.autograd.backward(F.cross_entropy(outputs.flatten(0, 1), wanted))
        for name, parameter in network.named_parameters():
            assert parameter.grad is not None
            squares[name] += parameter.grad**2
    return {name: (total / math.ceil(length / chunk)).sqrt() for name, total in squares.items()}


def naive_nats(
    network: nn.Module, train: Tensor, text: Tensor, rate: float, decay: float
) -> Tensor:
    """The nats of each token, chunk by chunk, with one step after each chunk."""
    network = copy.deepcopy(network)
    rms = naive_rms(network, train, CHUNK)
    average = torch.cat([each.flatten() for each in rms.values()]).mean()
    trained = {name: p.detach().clone() for name, p in network.named_parameters()}
    state: Any = None
    found = []
    for start in range(0, len(text) - 1, CHUNK):
        end = min(start + CHUNK, len(text) - 1)
        network.zero_grad()
        outputs, state = network(text[None, start:end], None, state)
        state = tuple(part.detach() for part in state)
        nats = -outputs[0].log_softmax(-1)[range(end - start), text[start + 1 : end + 1]]
        found.append(nats.detach())
        nats.mean().backward()
        with torch.no_grad():
            for name, weight in network.named_parameters():
                assert weight.grad is not None
                pull = (decay * rms[name] / average).clamp(max=1) * (trained[name] - weight)
                weight.add_(pull - rate * weight.grad / (rms[name] + 0.1 * average))
    return torch.cat(found)


def nats_of(model: DynamicModel, rate: float, decay: float) -> Tensor:
    kept = Predictions()
    model.evaluate("test", rate, decay, kept)
    return kept.in_order()[1]["nats"]


@pytest.mark.parametrize("words", [(), ("task.tied=true", "task.embedding_size=6")])
@pytest.mark.parametrize("model", ["rnn", "lstm", "gru"])
def test_scores_and_updates_are_those_of_the_formula(
    model: str, words: tuple[str, ...], tmp_path: Path
) -> None:
    network, task = parts_of(model, tmp_path, *words)
    expected = naive_nats(network, task.splits["train"], task.splits["test"], 0.001, 0.3)
    dynamic = DynamicModel(network, task, CHUNK)
    kept = Predictions()
    metrics = dynamic.evaluate("test", 0.001, 0.3, kept)
    torch.testing.assert_close(kept.in_order()[1]["nats"], expected.float(), rtol=1e-5, atol=1e-6)
    assert metrics["loss"] == pytest.approx(float(expected.mean()), rel=1e-9)
    static = dynamic.evaluate("test", 0, 0.3)
    assert abs(metrics["loss"] - static["loss"]) > 1e-4


def test_rate_0_is_static_bit_for_bit_after_any_evaluation(tmp_path: Path) -> None:
    network, task = parts_of("gru", tmp_path)
    before = {name: value.clone() for name, value in network.state_dict().items()}
    static = {split: evaluate(network, task, split, 64) for split in ("validation", "test")}
    dynamic = DynamicModel(network, task, CHUNK)
    dynamic.evaluate("validation", 0.01, 0.01)
    assert dynamic.evaluate("validation", 0, 0.5) == static["validation"]
    assert dynamic.evaluate("test", 0, 0) == static["test"]
    assert all(torch.equal(before[name], value) for name, value in network.state_dict().items())
    # The chunks alone change nothing, with a rate too small to matter.
    assert dynamic.evaluate("test", 1e-14, 0.5) == pytest.approx(static["test"], rel=1e-9)


def test_an_evaluation_starts_from_the_trained_weights(tmp_path: Path) -> None:
    dynamic = DynamicModel(*parts_of("lstm", tmp_path), CHUNK)
    first = dynamic.evaluate("test", 0.01, 0.01)
    dynamic.evaluate("validation", 0.1, 0.0)
    assert dynamic.evaluate("test", 0.01, 0.01) == first


def test_a_chunk_is_scored_before_the_weights_follow_it(tmp_path: Path) -> None:
    network, task = parts_of("gru", tmp_path)
    dynamic = DynamicModel(network, task, CHUNK)
    before = nats_of(dynamic, 0.02, 0.01)
    text = task.splits["test"]
    place = 10 * CHUNK + 3  # a token of the chunk from 10 * CHUNK on
    changed = text.clone()
    changed[place + 1 :] = (changed[place + 1 :] + 1) % len(task.vocabulary.tokens)
    task.splits["test"] = changed
    after = nats_of(dynamic, 0.02, 0.01)
    assert torch.equal(before[:place], after[:place])
    assert not torch.equal(before[place:], after[place:])
    # Only the update by a changed target makes the next chunk differ in its weights.
    task.splits["test"] = text.clone()
    task.splits["test"][0] = (text[0] + 1) % len(task.vocabulary.tokens)
    assert not torch.equal(nats_of(dynamic, 0.02, 0.01)[CHUNK:], before[CHUNK:])


def test_the_gradients_are_those_of_the_training_split(tmp_path: Path) -> None:
    network, task = parts_of("gru", tmp_path)
    found = DynamicModel(network, task, CHUNK).rms
    expected = naive_rms(network, task.splits["train"], CHUNK)
    for rms, other in zip(found, expected.values(), strict=True):
        torch.testing.assert_close(rms, other)
    task.splits["validation"] = task.splits["validation"].flip(0)
    task.splits["test"] = task.splits["test"].flip(0)
    for rms, other in zip(found, DynamicModel(network, task, CHUNK).rms, strict=True):
        assert torch.equal(rms, other)
