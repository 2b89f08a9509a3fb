"""Checks of a composed configuration; every mistake is a UserError of one line."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping
from importlib.util import find_spec
from typing import Any

from omegaconf import Container, DictConfig, MissingMandatoryValue, OmegaConf

from benchmarks.config.help import options, recipes
from benchmarks.config.matching import decides_size
from benchmarks.config.overrides import check_seeds, format_seeds
from benchmarks.config.paths import expand_paths
from benchmarks.config.schema import Config, MatchSettings, TrainSettings
from benchmarks.errors import UserError, nearest
from models.base import ModelSettings
from models.baseline import BaselineSettings
from tasks.base import Baseline, TaskSettings

BUDGETS = {  # by kind of match: the key of its budget, the meaning, and an example
    "parameters": ("budget", "number of encoder parameters of every model", 250000),
    "flops": ("budget", "forward FLOPs per token of every encoder", 500000),
    "time": ("budget_seconds", "training time of every model in seconds", 60),
}


class ImpossiblePairError(UserError):
    """A model and a task that do not fit; a sweep leaves such cells out."""


def checked_config(composed: DictConfig) -> Config:
    """Return the typed, checked configuration, or raise UserError or DataError."""
    config = typed_config(composed)
    expand_paths(config)
    check_ranges(config)
    check_combinations(config)
    return config


def typed_config(composed: DictConfig) -> Config:
    """Convert what Hydra composed into dataclasses without checking the values."""
    try:
        config = OmegaConf.to_object(composed)
    except MissingMandatoryValue as error:
        key = str(error.full_key)
        text = no_option_text(key) if key in ("task", "model") else f"{key}: a value is required"
        raise UserError(text) from error
    assert isinstance(config, Config)
    for name, base in (("model", ModelSettings), ("task", TaskSettings)):
        settings = getattr(config, name)
        if not isinstance(settings, base) or type(settings) is base:
            raise UserError(no_option_text(name))
    check_keys(composed, config)
    return config


def no_option_text(group: str) -> str:
    """Return the message for a group without an option."""
    allowed = options(group)
    listed = ", ".join(allowed)
    return f"{group}: no option is set; choose one, as in {group}={allowed[0]} (allowed: {listed})"


def check_keys(composed: DictConfig, settings: Any, prefix: str = "") -> None:
    """Raise UserError for a key without a field, which Hydra accepts as `+key=value`."""
    known = {entry.name for entry in dataclasses.fields(settings)}
    for name in map(str, composed):
        if name not in known:
            allowed = f" (allowed: {', '.join(sorted(known))}){nearest(name, known)}"
            value = composed[name]
            given = "" if isinstance(value, Container) else f"={value}"
            raise UserError(f"{prefix}{name}{given}: there is no such key{allowed}")
        child = getattr(settings, name)
        if dataclasses.is_dataclass(child):
            check_keys(composed[name], child, f"{prefix}{name}.")


def check_ranges(settings: Any, prefix: str = "") -> None:
    """Raise UserError for a value that its field's metadata refuses, also in nested dataclasses."""
    for entry in dataclasses.fields(settings):
        key, value = f"{prefix}{entry.name}", getattr(settings, entry.name)
        if dataclasses.is_dataclass(value):
            check_ranges(value, f"{key}.")
        elif isinstance(value, str) and not value.strip() and value != entry.default:
            raise UserError(f"{key}={value}: is empty; give a value, or leave it out")
        elif value is not None and not is_allowed(value, entry.metadata):
            limits = entry.metadata
            hint = nearest(str(value), limits.get("choices", ()), limits.get("known_as", {}))
            allowed = allowed_text(limits)
            if isinstance(value, float) and math.isinf(value) and "finite" not in allowed:
                allowed = f"finite and {allowed}"
            raise UserError(f"{key}={value}: must be {allowed}{hint}")


def is_allowed(value: Any, limits: Any) -> bool:
    """Return True if a value, or every value of a list, satisfies a field's metadata."""
    if isinstance(value, list):
        return all(is_allowed(each, limits) for each in value)
    if isinstance(value, float) and not math.isfinite(value):
        return False
    return (
        ("choices" not in limits or value in limits["choices"])
        and ("minimum" not in limits or value >= limits["minimum"])
        and ("above" not in limits or value > limits["above"])
        and ("below" not in limits or value < limits["below"])
    )


def allowed_text(limits: Any) -> str:
    """Describe what a field's metadata allows, for example "at least 0 and below 1"."""
    if "choices" in limits:
        return "one of " + ", ".join(limits["choices"])
    words = {"minimum": "at least", "above": "above", "below": "below"}
    bounds = [f"{word} {limits[key]}" for key, word in words.items() if key in limits]
    return " and ".join(bounds) or "a finite number"


def check_combinations(config: Config) -> None:
    """Raise UserError for settings that do not fit each other."""
    for part in (config.model, config.task):
        try:
            part.check()
        except ValueError as error:
            raise UserError(str(error)) from error
    check_seeds(config.seeds)
    check_streams(config)
    check_budget(config.match)
    check_time_limits(config)
    check_pretraining(config)
    check_table(config)
    train = config.train
    if train.precision != "highest" and train.dtype != "float32":
        raise UserError(
            f"train.precision={train.precision}: requires train.dtype=float32, not {train.dtype}"
        )
    if config.log.tensorboard and find_spec("tensorboard") is None:
        raise UserError(
            "log.tensorboard=true: requires TensorBoard: pip install -e '.[tensorboard]'"
        )
    check_pair(config)


def check_streams(config: Config) -> None:
    """Raise UserError if a seed is given although the random streams do not depend on it."""
    train = config.train
    is_free = train.init_seed is None or train.order_seed is None
    if is_free or isinstance(config.model, BaselineSettings):
        return
    if config.seed or config.seeds is not None:
        given = f"seed={config.seed}" if config.seeds is None else format_seeds(config.seeds)
        raise UserError(
            f"{given}: has no effect, because train.init_seed and train.order_seed seed all "
            f"random streams; set at most two of the three"
        )


def check_budget(match: MatchSettings) -> None:
    """Raise UserError unless the budget of the kind of match is set, and no other."""
    own, meaning, example = BUDGETS.get(match.kind, ("", "", 0))
    for name in ("budget", "budget_seconds"):
        value = getattr(match, name)
        if value is not None and name != own:
            kinds = [f"match={kind}" for kind, (key, *_) in BUDGETS.items() if key == name]
            raise UserError(
                f"match.{name}={value}: requires {' or '.join(kinds)}, not match={match.kind}"
            )
    if own and getattr(match, own) is None:
        raise UserError(
            f"match={match.kind}: requires match.{own} (the {meaning}, as in match.{own}={example})"
        )


def check_time_limits(config: Config) -> None:
    """Raise UserError if `match=time` is combined with another limit on the training."""
    if config.match.kind != "time":
        return
    for name in ["max_seconds"] if config.smoke else ["max_seconds", "max_steps"]:
        value = getattr(config.train, name)
        if value is not None:
            raise UserError(
                f"train.{name}={value}: under match=time only match.budget_seconds limits the "
                f"training; leave it out"
            )


def check_pretraining(config: Config) -> None:
    """Raise UserError if `train.pretrain` does not fit task or model."""
    train, model = config.train, config.model
    if train.pretrain is None:
        if train.pretrain_epochs != TrainSettings.pretrain_epochs:
            raise UserError(
                f"train.pretrain_epochs={train.pretrain_epochs}: has no effect without "
                f"train.pretrain=self"
            )
        return
    if not config.task.can_pretrain:
        raise UserError(
            f"train.pretrain={train.pretrain}: task={config.task.name} has no text to pretrain on; "
            f"tasks of documents have, such as imdb and text"
        )
    if model.bidirectional and model.num_layers > 1:
        raise UserError(
            f"train.pretrain={train.pretrain}: a second bidirectional layer would see the token "
            f"that it predicts; set model.num_layers=1 or model.bidirectional=false"
        )
    if model.bidirectional and not model.separates_directions:
        raise UserError(
            f"train.pretrain={train.pretrain}: outputs of model={model.label} combine both "
            f"directions, and would see the token that they predict; set model.bidirectional=false"
        )


def check_table(config: Config) -> None:
    """Raise UserError if `model.table` does not fit the task."""
    task = config.task
    if not config.model.needs_tokens:
        return
    if not task.has_tokens:
        raise ImpossiblePairError(
            f"model.table=true: requires token ids, and the inputs of task={task.name} are numbers"
        )
    if getattr(task, "tied", False):
        raise UserError(
            "model.table=true: the head cannot have the weights of the table; set task.tied=false"
        )


def requirement_of(baseline: Baseline) -> str:
    """Return what to install for a baseline; empty if all is there."""
    packages = dict.fromkeys(module.partition(".")[0] for module in baseline.needs)
    missing = [package for package in packages if find_spec(package) is None]
    extra = f": pip install -e '.[{baseline.extra}]'" if baseline.extra else ", not installed"
    return f"requires {', '.join(missing)}{extra}" if missing else ""


def missing_baselines(baselines: Mapping[str, Baseline]) -> list[str]:
    """Return a sentence per requirement that is not installed, with its baselines."""
    names: dict[str, list[str]] = {}
    for name, baseline in baselines.items():
        names.setdefault(requirement_of(baseline), []).append(name)
    return [f"left out: model.baseline={','.join(each)}: {r}" for r, each in names.items() if r]


def check_pair(config: Config) -> None:
    """Raise ImpossiblePairError for a pair that cannot run, UserError for the size of its model."""
    task, model = config.task, config.model
    if config.recipe is None:
        found = [f"recipe={name} is for {', '.join(tasks)}" for name, tasks in recipes().items()]
        raise ImpossiblePairError(
            f"recipe: task={task.name} has only recipe=default ({'; '.join(found)})"
        )
    if isinstance(model, BaselineSettings):
        known = task.baselines()
        if not known:
            raise ImpossiblePairError(f"model=baseline: task={task.name} has no baselines")
        if model.baseline is not None and model.baseline not in known:
            raise ImpossiblePairError(
                f"model.baseline={model.baseline}: task={task.name} has no such baseline "
                f"(allowed: {', '.join(known)}){nearest(model.baseline, known)}"
            )
        if model.baseline is not None:
            requirement = requirement_of(known[model.baseline])
            if requirement:
                raise ImpossiblePairError(f"model.baseline={model.baseline}: {requirement}")
    elif task.causal and model.bidirectional:
        raise ImpossiblePairError(
            f"model={model.label}: a bidirectional model would see the steps that "
            f"task={task.name} predicts; choose one with model.bidirectional=false"
        )
    else:
        try:
            task.check_encoder(None if decides_size(config) else model.output_size)
        except ValueError as error:
            raise UserError(str(error)) from error
