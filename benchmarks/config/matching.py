"""What the arms of a comparison are given alike: hidden size, parameters, FLOPs or time.

For `match=parameters` and `match=flops` the hidden size is solved for the budget, by building
encoders on torch's meta device, where a tensor has a shape and no memory. Nothing else here imports
torch.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from functools import cache
from typing import TYPE_CHECKING

from benchmarks.errors import UserError
from models.base import ModelSettings
from models.baseline import BaselineSettings

if TYPE_CHECKING:
    from benchmarks.config.schema import Config

TOLERANCE = 0.01
"""How far from the budget an encoder may be, as a part of the budget."""

REACH = 20
"""How many hidden sizes up and down a budget that suits several models is looked for."""

COUNTED = {"parameters": "encoder parameters", "flops": "FLOPs per token"}

BUDGETS = {
    "parameters": ("budget", "encoder parameters that every model gets", 250000),
    "flops": ("budget", "FLOPs per token that every encoder gets, forward", 500000),
    "time": ("budget_seconds", "training seconds that every model gets", 60),
}
"""By kind: the key that its budget is given by, what that is, and an example."""


class NoSizeError(UserError):
    """No hidden size of a model is near enough to the budget."""


@dataclass
class MatchSettings:
    """What all arms of a comparison are given alike; a baseline has no budget and ignores it."""

    kind: str = field(
        default="hidden",
        metadata={
            "choices": ("hidden", "parameters", "flops", "time"),
            "help": "written match=KIND. hidden: model.hidden_size as it is set; "
            "parameters, flops: model.hidden_size is solved for match.budget; "
            "time: training lasts match.budget_seconds",
        },
    )
    budget: int | None = field(
        default=None,
        metadata={
            "minimum": 1,
            "below": 10**15,
            "help": "of match=parameters, the encoder's, or of match=flops, the encoder's FLOPs "
            "per token, forward; met within 1 % or refused",
        },
    )
    budget_seconds: float | None = field(
        default=None,
        metadata={
            "above": 0.0,
            "help": "of training, for match=time; neither train.max_epochs nor train.patience "
            "cuts them short, and the cosine runs over them. How many steps fit into them, and "
            "so the score, differs from run to run, whatever train.deterministic says",
        },
    )

    @property
    def amount(self) -> float | None:
        """The budget in its kind's own unit, if it has one."""
        given = self.budget if self.budget is not None else self.budget_seconds
        return None if given is None else float(given)

    def check(self) -> None:
        """Raise ValueError unless there is the kind's own budget and no other."""
        own, what, example = BUDGETS.get(self.kind, ("", "", 0))
        for name in ("budget", "budget_seconds"):
            value = getattr(self, name)
            if value is not None and name != own:
                takers = [f"match={kind}" for kind, (key, *_) in BUDGETS.items() if key == name]
                raise ValueError(
                    f"match.{name}={value}: goes with {' or '.join(takers)}, "
                    f"not with match={self.kind}"
                )
        if own and getattr(self, own) is None:
            raise ValueError(
                f"match={self.kind}: needs match.{own}, the {what}, as in match.{own}={example}"
            )


def check_match(config: Config) -> None:
    """Check a configuration's match, and that training has no other end under `match=time`.

    Raises:
        UserError: the budget is missing, another's, or contradicted.
    """
    try:
        config.match.check()
    except ValueError as error:
        raise UserError(str(error)) from error
    if config.match.kind != "time":
        return
    bounds = ["max_seconds"] if config.smoke else ["max_seconds", "max_steps"]
    for name in bounds:
        value = getattr(config.train, name)
        if value is not None:
            raise UserError(
                f"train.{name}={value}: under match=time only match.budget_seconds ends the "
                f"training; leave it out"
            )


def decides_size(config: Config) -> bool:
    """Whether the hidden size follows from the budget, and is not what it is set to."""
    return config.match.kind in COUNTED and not isinstance(config.model, BaselineSettings)


def matched(config: Config, input_size: int) -> Config:
    """Return a configuration with the hidden size that its match asks for.

    It is the one whose encoder is nearest to the budget.

    Args:
        config: checked.
        input_size: features per step that the task gives the encoder.

    Raises:
        NoSizeError: none is within 1 % of the budget.
    """
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
            f"match.budget={budget}: too small for {pair}, whose hidden size 1 has {cost(1)} {what}"
        )
    nearest = " and ".join(f"{size} with {cost(size)}" for size in found)
    raise NoSizeError(
        f"match.budget={budget}: no hidden size of {pair} has {what} within 1 % of it; "
        f"the nearest are {nearest}"
    )


def common_budget(models: Iterable[tuple[ModelSettings, int]], match: MatchSettings) -> int | None:
    """Find the budget nearest to a match's own that all models can meet; None if none is near.

    Args:
        models: settings, each with the input size that its task gives it.
        match: whose budget some of them cannot meet.
    """
    budget = match.budget
    assert budget is not None
    costs: list[list[int]] = []
    for model, input_size in models:
        cost = counter(model, match.kind, input_size)
        middle = sizes_around(budget, cost)[0]
        costs.append([cost(size) for size in range(max(1, middle - REACH), middle + REACH + 1)])
    # Each size suits a range of budgets, so the nearest to suit all is at the end of such a range.
    ends = {math.ceil(each / (1 + TOLERANCE)) for model in costs for each in model}
    ends |= {math.floor(each / (1 - TOLERANCE)) for model in costs for each in model}
    for end in sorted(ends, key=lambda end: abs(end - budget)):
        if all(any(is_met(end, each) for each in model) for model in costs):
            return end
    return None


def is_met(budget: int, cost: int) -> bool:
    """Whether a cost is near enough to the budget."""
    return abs(cost - budget) <= TOLERANCE * budget


def sizes_around(budget: int, cost: Callable[[int], int]) -> list[int]:
    """Return the largest hidden size within a budget and the next one; 1 alone if that is beyond.

    Args:
        budget: in the unit of the cost.
        cost: of a hidden size; grows with it.
    """
    if cost(1) > budget:
        return [1]
    low, high = 1, 2
    # A cost grows with the square of the size at most, so that this stride lands below the budget;
    # a cost that never reaches it ends where each unit would be less than 1.
    while cost(high) <= budget and high <= budget:
        low, high = high, max(2 * high, int(high * math.sqrt(budget / cost(high))))
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (middle, high) if cost(middle) <= budget else (low, middle)
    return [low, high]


def counter(model: ModelSettings, kind: str, input_size: int) -> Callable[[int], int]:
    """Return what counts the parameters of a model's encoder by its hidden size, or its FLOPs."""
    import torch

    @cache
    def cost(hidden_size: int) -> int:
        with torch.device("meta"):
            encoder = dataclasses.replace(model, hidden_size=hidden_size).build(input_size)
        if kind == "flops":
            return encoder.flops_per_token()
        return sum(p.numel() for p in encoder.parameters() if p.requires_grad)

    return cost
