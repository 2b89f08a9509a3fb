"""The hidden size that meets a budget, and budgets that none meets."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable
from typing import Any

import pytest
import torch

from benchmarks.config.matching import NoSizeError, common_budget, matched, sizes_around
from benchmarks.config.schema import Config
from models.base import ModelSettings
from models.recurrent import RecurrentSettings
from tests.helpers.budgets import composed
from tests.helpers.composing import CONF

MODELS = sorted(f.stem for f in (CONF / "model").glob("*.yaml") if f.stem != "baseline")
GATES = {"rnn": 1, "gru": 3, "lstm": 4}


def with_model(config: Config, **changes: Any) -> Config:
    return dataclasses.replace(config, model=dataclasses.replace(config.model, **changes))


def parameters_of(model: ModelSettings, input_size: int) -> int:
    return sum(tensor.numel() for tensor in model.build(input_size).state_dict().values())


def flops_of(model: ModelSettings, input_size: int) -> int:
    return model.build(input_size).flops_per_token()


COUNTS = {"parameters": parameters_of, "flops": flops_of}


@pytest.mark.parametrize("kind", COUNTS)
@pytest.mark.parametrize("model", MODELS)
def test_every_encoder_comes_as_near_to_the_budget_as_it_can(
    model: str, kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    budget = 2_000_000
    tried = composed(f"model={model}", f"match={kind}", f"match.budget={budget}")
    # Only how much there is is looked at, and this takes long.
    monkeypatch.setattr(torch.nn.init, "orthogonal_", lambda tensor: tensor)
    for layers in (1, 2, 3):
        for bidirectional in (False, True):
            config = with_model(tried, num_layers=layers, bidirectional=bidirectional)
            found = matched(config, input_size=5)
            size = found.model.hidden_size
            assert found == with_model(config, hidden_size=size)  # nothing else has changed
            off = {
                near: abs(COUNTS[kind](with_model(found, hidden_size=near).model, 5) - budget)
                for near in (size - 1, size, size + 1)
            }
            assert off[size] <= budget / 100, (layers, bidirectional)
            assert min(off, key=lambda near: off[near]) == size, (layers, bidirectional)


@pytest.mark.parametrize("cell", GATES)
@pytest.mark.parametrize("kind", ["parameters", "flops"])
@pytest.mark.parametrize("input_size", [1, 64, 1000])
@pytest.mark.parametrize("budget", [40_000, 250_000, 10_000_000_000])
def test_known_formulas(cell: str, kind: str, input_size: int, budget: int) -> None:
    config = composed(f"model={cell}", f"match={kind}", f"match.budget={budget}")
    scale, more = (GATES[cell], 2) if kind == "parameters" else (2 * GATES[cell], 0)
    b = input_size + more
    # The positive root of scale * h * (h + b) = budget.
    root = (math.sqrt(b * b + 4 * budget / scale) - b) / 2
    off = {h: abs(scale * h * (h + b) - budget) for h in (int(root), int(root) + 1)}
    nearest = min(off, key=lambda h: off[h])
    if off[nearest] > budget / 100:
        with pytest.raises(NoSizeError):
            matched(config, input_size)
    else:
        assert matched(config, input_size).model.hidden_size == nearest


@pytest.mark.parametrize(
    "cost",
    [
        lambda size: size,
        lambda size: 7 * size + 3,
        lambda size: 4 * size * (size + 66),
        lambda size: size**3,
        lambda size: 8 * math.ceil(size / 8) ** 2,
        lambda size: 12,
    ],
)
@pytest.mark.parametrize("budget", [8, 11, 12, 13, 64, 1000, 4099, 99_999])
def test_the_sizes_around_a_budget(cost: Callable[[int], int], budget: int) -> None:
    tried: list[int] = []

    def counted(size: int) -> int:
        tried.append(size)
        return cost(size)

    found = sizes_around(budget, counted)
    if cost(1) > budget:
        assert found == [1]
        return
    low, high = found
    assert high == low + 1
    if cost(10**6) > budget:  # else no size is beyond it
        assert cost(low) <= budget < cost(high)
    assert len(set(tried)) < 40


def test_a_tiny_budget_is_met_where_there_is_a_size_for_it() -> None:
    config = composed("model=rnn", "match=parameters", "match.budget=4")  # an RNN of one unit
    assert matched(config, input_size=1).model.hidden_size == 1


@pytest.mark.parametrize(
    ("model", "budget", "text"),
    [
        (
            "rnn",
            3,
            "match.budget=3: too small for model=rnn on task=sp500: hidden size 1 has 4",
        ),
        ("lstm", 4350, "the nearest are 31 with 4216 and 32 with 4480"),
        ("gru", 4500, "the nearest are 37 with 4440 and 38 with 4674"),
    ],
)
def test_a_budget_that_no_size_meets(model: str, budget: int, text: str) -> None:
    config = composed(f"model={model}", "match=parameters", f"match.budget={budget}")
    with pytest.raises(NoSizeError) as refused:
        matched(config, input_size=1)
    assert text in str(refused.value)
    assert "\n" not in str(refused.value)


def test_a_budget_for_all_is_the_nearest_there_is() -> None:
    match = composed("match=parameters", "match.budget=4480").match
    models = [(RecurrentSettings(cell=cell), 1) for cell in GATES]
    found = common_budget(models, match)

    def suits(budget: int) -> bool:
        return all(
            any(abs(gates * h * (h + 3) - budget) <= budget / 100 for h in range(1, 100))
            for gates in GATES.values()
        )

    assert found is not None
    assert suits(found)
    distance = abs(found - 4480)
    assert not any(suits(budget) for budget in range(4480 - distance + 1, 4480 + distance))


def test_solving_leaves_chance_alone() -> None:
    before = torch.get_rng_state()
    config = composed("model=bilstm", "match=parameters", "match.budget=70000")
    matched(config, input_size=5)
    assert torch.equal(before, torch.get_rng_state())


def test_without_such_a_budget_the_hidden_size_is_as_set() -> None:
    for overrides in (
        ["model=gru"],
        ["model=gru", "match=time", "match.budget_seconds=5"],
        ["model=baseline", "model.baseline=drift", "match=parameters", "match.budget=9"],
    ):
        config = composed("model.hidden_size=13", *overrides)
        assert matched(config, input_size=1) is config
