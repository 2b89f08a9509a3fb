"""Hidden sizes that meet a budget of parameters or FLOPs."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Iterable
from functools import cache

from benchmarks.config.schema import Config, MatchSettings
from benchmarks.errors import UserError
from models.base import ModelSettings
from models.baseline import BaselineSettings

TOLERANCE = 0.01  # allowed relative distance of an encoder from the budget
REACH = 20  # hidden sizes on either side of the solution that `common_budget` tries

COUNTED = {"parameters": "encoder parameters", "flops": "FLOPs per token"}


class NoSizeError(UserError):
    """No hidden size of a model meets the budget."""


def decides_size(config: Config) -> bool:
    """Return True if the hidden size is solved for a budget."""
    return config.match.kind in COUNTED and not isinstance(config.model, BaselineSettings)


def matched(config: Config, input_size: int) -> Config:
    """Return the configuration with the hidden size nearest to the budget, or raise NoSizeError."""
    if not decides_size(config):
        return config
    model, budget = config.model, config.match.budget
    assert budget is not None
    cost = counter(model, config.match.kind, input_size)
    found = sizes_around(budget, cost)
    best = min(found, key=lambda hidden_size: abs(cost(hidden_size) - budget))
    if is_met(budget, cost(best)):
        return dataclasses.replace(config, model=dataclasses.replace(model, hidden_size=best))
    pair, what = f"model={model.label} on task={config.task.name}", COUNTED[config.match.kind]
    if cost(1) > budget:
        raise NoSizeError(
            f"match.budget={budget}: too small for {pair}: hidden size 1 has {cost(1)} {what}"
        )
    nearest = " and ".join(f"{size} with {cost(size)}" for size in found)
    raise NoSizeError(
        f"match.budget={budget}: no hidden size of {pair} has {what} within 1 % of it; "
        f"the nearest are {nearest}"
    )


def check_factor(config: Config, size: int) -> None:
    """Raise UserError if the hidden size of a budget is far above the one that is set."""
    if config.smoke or not decides_size(config):  # a smoke test sets a tiny size
        return
    model, match = config.model, config.match
    factor = size / model.hidden_size
    if factor > match.max_factor:
        raise UserError(
            f"match.budget={match.budget}: gives model={model.label} on task={config.task.name} "
            f"{size:,} units, {factor:.1f} times model.hidden_size={model.hidden_size}; choose a "
            f"smaller budget, or accept it with match.max_factor={math.ceil(factor)}"
        )


def common_budget(models: Iterable[tuple[ModelSettings, int]], match: MatchSettings) -> int | None:
    """Return the nearest budget that all models can meet, or None if none is near."""
    budget = match.budget
    assert budget is not None
    costs: list[list[int]] = []
    for model, input_size in models:
        cost = counter(model, match.kind, input_size)
        middle = sizes_around(budget, cost)[0]
        costs.append([cost(size) for size in range(max(1, middle - REACH), middle + REACH + 1)])
    # Each size meets a range of budgets, so the nearest common one is at an end of a range.
    ends = {math.ceil(each / (1 + TOLERANCE)) for model in costs for each in model}
    ends |= {math.floor(each / (1 - TOLERANCE)) for model in costs for each in model}
    ordered = sorted(ends, key=lambda end: abs(end - budget))
    met = (e for e in ordered if all(any(is_met(e, each) for each in model) for model in costs))
    return next(met, None)


def is_met(budget: int, cost: int) -> bool:
    """Return True if a cost is within the tolerance of the budget."""
    return abs(cost - budget) <= TOLERANCE * budget


def sizes_around(budget: int, cost: Callable[[int], int]) -> list[int]:
    """Return the largest hidden size within a budget and the next one; [1] if 1 exceeds it."""
    if cost(1) > budget:
        return [1]
    low, high = 1, 2
    # A cost grows at most with the square of the size, so this step lands below the budget.
    # The second condition ends the search for a cost that never reaches the budget.
    while cost(high) <= budget and high <= budget:
        low, high = high, max(2 * high, int(high * math.sqrt(budget / cost(high))))
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (middle, high) if cost(middle) <= budget else (low, middle)
    return [low, high]


def counter(model: ModelSettings, kind: str, input_size: int) -> Callable[[int], int]:
    """Return a function from hidden size to the parameters or FLOPs of a model's encoder."""
    import torch

    @cache
    def cost(hidden_size: int) -> int:
        with torch.device("meta"):  # where tensors have a shape and no memory
            encoder = dataclasses.replace(model, hidden_size=hidden_size).build(input_size)
        if kind == "flops":
            return encoder.flops_per_token()
        return sum(p.numel() for p in encoder.parameters())

    return cost
