"""The typed schema behind every YAML, and the one-line answers to mistakes in it.

Settings of tasks and models are dataclasses that live with their definitions; the harness finds
them, gives them to Hydra as schemas and enforces the ranges in their field metadata: `minimum`,
`above`, `below` and `choices` (`known_as`: other names of them). Nothing here imports torch.
"""

from __future__ import annotations

import dataclasses
import importlib
import importlib.util
import inspect
import math
import pkgutil
from dataclasses import dataclass, field
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from hydra.core.config_store import ConfigStore
from omegaconf import DictConfig, MissingMandatoryValue, OmegaConf

import models
import tasks
from benchmarks.config.help import help_text, options
from benchmarks.config.launchers import LAUNCHERS
from benchmarks.config.matching import MatchSettings, check_match
from benchmarks.config.overrides import BELOW, check_seeds
from benchmarks.config.search import TuneSettings
from benchmarks.errors import UserError, nearest
from models.base import ModelSettings
from models.baseline import BaselineSettings
from tasks.base import TaskSettings


class ImpossiblePairError(UserError):
    """A model and a task that cannot go together; a sweep leaves such cells out."""


@dataclass
class LogSettings:
    """Further logs of the training; the numbers of a run do not depend on them."""

    tensorboard: bool = field(
        default=False,
        metadata={
            "identity": False,
            "help": "event files in runs/<run_id>/tensorboard/; needs the extra tensorboard",
        },
    )

    def check(self) -> None:
        """Raise UserError if TensorBoard is requested and not installed."""
        if self.tensorboard and find_spec("tensorboard") is None:
            raise UserError(
                "log.tensorboard=true: requires TensorBoard: pip install -e '.[tensorboard]'"
            )


@dataclass
class TrainSettings:
    """How a run trains. Fields with `{"identity": False}` change its cost, not its question."""

    optimizer: str = field(
        default="adam", metadata={"choices": ("adam", "adamw"), "help": "adamw decouples decay"}
    )
    learning_rate: float = field(default=1e-3, metadata={"above": 0.0, "help": "peak"})
    weight_decay: float = field(default=0.0, metadata={"minimum": 0.0, "help": "of all weights"})
    beta2: float = field(
        default=0.999,
        metadata={"minimum": 0.0, "below": 1.0, "help": "decay of Adam's second moment"},
    )
    schedule: str = field(
        default="cosine",
        metadata={"choices": ("constant", "cosine"), "help": "of the learning rate, after warm-up"},
    )
    warmup_steps: int = field(
        default=0, metadata={"minimum": 0, "help": "of linear rise to the peak learning rate"}
    )
    final_learning_rate_factor: float = field(
        default=0.01,
        metadata={"minimum": 0.0, "help": "where the cosine ends, as a part of the peak"},
    )
    clip_norm: float | None = field(
        default=1.0, metadata={"above": 0.0, "help": "largest gradient norm; null for no clipping"}
    )
    batch_size: int = field(default=64, metadata={"minimum": 1, "help": "sequences per step"})
    evaluation_batch_size: int = field(
        default=256, metadata={"minimum": 1, "identity": False, "help": "changes no score"}
    )
    max_epochs: int = field(default=10, metadata={"minimum": 1, "help": "passes over train"})
    max_seconds: float | None = field(
        default=None, metadata={"above": 0.0, "help": "of training time; null for no bound"}
    )
    max_steps: int | None = field(
        default=None, metadata={"minimum": 1, "help": "optimiser steps; null for no bound"}
    )
    max_evaluation_batches: int | None = field(
        default=None,
        metadata={"minimum": 1, "help": "per evaluation, for smoke tests; null for all of a split"},
    )
    patience: int | None = field(
        default=None,
        metadata={
            "minimum": 1,
            "help": "epochs without a better validation score before stopping; null for all epochs",
        },
    )
    checkpoint_seconds: float | None = field(
        default=60.0,
        metadata={
            "minimum": 0.0,
            "identity": False,
            "help": "between checkpoints while training; null for none before its end",
        },
    )
    device: str = field(
        default="auto", metadata={"help": "auto, cpu, cuda, cuda:N or mps", "identity": False}
    )
    dtype: str = field(
        default="float32", metadata={"choices": ("float32", "float64"), "help": "of the arithmetic"}
    )
    precision: str = field(
        default="highest",
        metadata={
            "choices": ("highest", "tf32", "bfloat16"),
            "known_as": {"float32": "highest", "float64": "highest", "fp32": "highest"},
            "help": "of matrix products. highest: the dtype's; tf32: TensorFloat-32, on CUDA; "
            "bfloat16: the network's by autocast, in training, evaluation and latency, on CPU and "
            "CUDA; weights, optimiser, losses and metrics stay float32, and on a CPU all that the "
            "fused kernel computes: there model.kernel=torch has the cells in bfloat16 too",
        },
    )
    threads: int | None = field(
        default=None,
        metadata={"minimum": 1, "identity": False, "help": "CPU threads; null for all cores"},
    )
    deterministic: bool = field(
        default=True, metadata={"help": "same seed, same numbers bit for bit, at some cost on CUDA"}
    )


@dataclass
class Config:
    """Everything a run is made of."""

    task: TaskSettings
    model: ModelSettings
    train: TrainSettings = field(default_factory=TrainSettings)
    match: MatchSettings = field(default_factory=MatchSettings)
    log: LogSettings = field(default_factory=LogSettings, metadata={"identity": False})
    seed: int = field(
        default=0, metadata={"minimum": 0, "below": BELOW, "help": "of all random streams"}
    )
    seeds: list[int] | None = field(
        default=None,
        metadata={
            "minimum": 0,
            "below": BELOW,
            "identity": False,
            "help": "several, as in [0,1,2], in the place of seed: a run for each in one process, "
            "trained together where that is faster",
        },
    )
    smoke: bool = field(
        default=False, metadata={"help": "marks rows that no comparison may count; see debug=smoke"}
    )
    resume: str = field(
        default="continue",
        metadata={
            "choices": ("continue", "skip_failed", "never"),
            "identity": False,
            "help": "a sweep's cells that are finished are skipped, interrupted runs go on; "
            "skip_failed leaves failed cells too, never runs everything anew",
        },
    )
    results_dir: str = field(
        default="results", metadata={"identity": False, "help": "where tables and runs are written"}
    )
    cache_dir: str | None = field(
        default=None,
        metadata={
            "identity": False,
            "help": "where prepared data is kept; null for the user's cache directory",
        },
    )


def definitions(package: Any, base: type) -> dict[str, type]:
    """Find the settings classes derived from `base` in a package, by name.

    A definition is a file of the package, or the file `task.py` of a package in it. Its name is the
    class's attribute `name`, else the file's.
    """
    found = {}
    for module_info in pkgutil.iter_modules(package.__path__):
        name = f"{package.__name__}.{module_info.name}"
        if module_info.ispkg:
            name += ".task"
            if importlib.util.find_spec(name) is None:
                continue
        module = importlib.import_module(name)
        for _, member in inspect.getmembers(module, inspect.isclass):
            defined_here = member.__module__ == module.__name__
            if issubclass(member, base) and member is not base and defined_here:
                found[getattr(member, "name", module_info.name)] = member
    return found


def register_schemas(conf: Path) -> None:
    """Give Hydra the typed schemas: `schema/config`, `schema/model/FILE` and `schema/task/FILE`.

    The help goes with them, as Hydra's own would list the schemas among what can be chosen.
    """
    store = ConfigStore.instance()
    store.store(
        group="hydra/help",
        name="rnnbench",
        node={"app_name": "rnnbench", "header": "", "footer": "", "template": help_text(conf)},
    )
    store.store(group="schema", name="config", node=Config)
    for name, settings in LAUNCHERS.items():
        store.store(group="hydra/launcher", name=name, node=settings)
    store.store(group="hydra/sweeper", name="tune", node=TuneSettings)
    for name, settings in definitions(models, ModelSettings).items():
        store.store(group="schema/model", name=name, node=settings)
    for name, settings in definitions(tasks, TaskSettings).items():
        store.store(group="schema/task", name=name, node=settings)


def checked_config(composed: DictConfig) -> Config:
    """Turn what Hydra composed into a typed, checked configuration.

    Raises:
        UserError: a value is out of its range or settings contradict each other.
        tasks.base.DataError: a path in the settings does not lead anywhere.
    """
    config = typed_config(composed)
    check_ranges(config)
    check_together(config)
    return config


def typed_config(composed: DictConfig) -> Config:
    """Turn what Hydra composed into dataclasses, whatever the values are.

    Raises:
        UserError: a key has no value, or there is no such key.
    """
    try:
        config = OmegaConf.to_object(composed)
    except MissingMandatoryValue as error:
        key = str(error.full_key)
        empty = none_chosen(key) if key in ("task", "model") else f"{key} has no value"
        raise UserError(empty) from error
    assert isinstance(config, Config)
    for name, part, base in (
        ("model", config.model, ModelSettings),
        ("task", config.task, TaskSettings),
    ):
        if not isinstance(part, base) or type(part) is base:
            raise UserError(none_chosen(name))
    refuse_unknown(composed, config)
    return config


def check_together(config: Config) -> None:
    """Check what only settings together can have wrong.

    Raises:
        UserError: they contradict each other.
        tasks.base.DataError: a path in the settings does not lead anywhere.
    """
    if not config.results_dir.strip():
        raise UserError("results_dir: is empty; give a folder, as in results_dir=results")
    for part in (config.model, config.task):
        try:
            part.check()
        except ValueError as error:
            raise UserError(str(error)) from error
    check_seeds(config.seeds)
    check_match(config)
    train = config.train
    if train.precision != "highest" and train.dtype != "float32":
        raise UserError(
            f"train.precision={train.precision}: goes with train.dtype=float32, not {train.dtype}"
        )
    config.log.check()
    if isinstance(config.model, BaselineSettings):
        check_baseline(config.task, config.model.baseline)
    elif config.task.causal and config.model.bidirectional:
        raise ImpossiblePairError(
            f"model={config.model.label} reads each sequence backwards too, so on "
            f"task={config.task.name}, which predicts the next step, it would see the answer; "
            f"choose a model with model.bidirectional=false"
        )


def check_baseline(task: TaskSettings, name: str | None) -> None:
    """Check that a task has a baseline, or any if no name is given.

    Raises:
        ImpossiblePairError: it has not.
    """
    known = task.baselines()
    if not known:
        raise ImpossiblePairError(f"model=baseline: task={task.name} has no baselines")
    if name is not None and name not in known:
        raise ImpossiblePairError(
            f"model.baseline={name}: task={task.name} has no such baseline "
            f"(allowed: {', '.join(known)}){nearest(name, known)}"
        )


def none_chosen(group: str) -> str:
    """Say what can be chosen where nothing was."""
    allowed = options(group)
    listed = ", ".join(allowed)
    return f"{group}: none is chosen, choose one as in {group}={allowed[0]} (allowed: {listed})"


def refuse_unknown(composed: DictConfig, settings: Any, prefix: str = "") -> None:
    """Refuse keys that no dataclass has, which Hydra lets in by `+key=value`.

    Raises:
        UserError: names the key and the nearest there is.
    """
    known = {entry.name for entry in dataclasses.fields(settings)}
    for name in map(str, composed):
        if name not in known:
            allowed = f" (allowed: {', '.join(sorted(known))}){nearest(name, known)}"
            raise UserError(f"{prefix}{name}: there is no such key{allowed}")
        child = getattr(settings, name)
        if dataclasses.is_dataclass(child):
            refuse_unknown(composed[name], child, f"{prefix}{name}.")


def check_ranges(settings: Any, prefix: str = "") -> None:
    """Check every field against its metadata, nested dataclasses too.

    Raises:
        UserError: names the key, the value and what is allowed.
    """
    for entry in dataclasses.fields(settings):
        key, value = f"{prefix}{entry.name}", getattr(settings, entry.name)
        if dataclasses.is_dataclass(value):
            check_ranges(value, f"{key}.")
        elif value is not None and not is_allowed(value, entry.metadata):
            limits = entry.metadata
            hint = nearest(str(value), limits.get("choices", ()), limits.get("known_as", {}))
            allowed = allowed_text(limits)
            if isinstance(value, float) and math.isinf(value) and "finite" not in allowed:
                allowed = f"finite and {allowed}"
            raise UserError(f"{key}={value}: must be {allowed}{hint}")


def is_allowed(value: Any, limits: Any) -> bool:
    """Whether a value, or all in a list, lie in the range or choices of a field's metadata."""
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
    """Say in words what a field's metadata allows, for example "at least 0 and below 1"."""
    if "choices" in limits:
        return "one of " + ", ".join(limits["choices"])
    words = {"minimum": "at least", "above": "above", "below": "below"}
    bounds = [f"{word} {limits[key]}" for key, word in words.items() if key in limits]
    return " and ".join(bounds) or "a finite number"
