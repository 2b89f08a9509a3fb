"""Pairs of model and task for a measurement, composed as `python run.py` does."""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from functools import cache
from typing import TYPE_CHECKING

from hydra.errors import HydraException
from omegaconf.errors import OmegaConfBaseException

from benchmarks.config.compose import compose_run, hydra_at
from benchmarks.config.data_kinds import data_kinds
from benchmarks.config.help import CONF
from benchmarks.config.hydra_errors import explain
from benchmarks.config.registry import register_schemas
from benchmarks.config.schema import Config
from benchmarks.errors import UserError, nearest
from tasks.base import DataError

if TYPE_CHECKING:
    import torch

    from benchmarks.training.trainer import Trainer
    from tasks.base import Task

MODELS = sorted(file.stem for file in (CONF / "model").glob("*.yaml") if file.stem != "baseline")
TASKS = sorted({file.stem for file in (CONF / "task").glob("*.yaml")} - set(data_kinds()))
"""The tasks with data of their own."""


def composed(model: str, task: str, *overrides: str) -> Config:
    """Return the configuration of a run."""
    register_schemas()
    words = [f"model={model}", f"task={task}", *overrides]
    try:
        with hydra_at(CONF):
            config = compose_run(words)
    except (HydraException, OmegaConfBaseException) as error:
        raise UserError(explain(error, words, [CONF])) from error
    except DataError as error:
        raise UserError(str(error)) from error
    if config.seeds is not None:
        raise UserError(f"seeds={config.seeds}: not allowed, this program trains one seed")
    return config


def add_run_options(
    parser: argparse.ArgumentParser,
    tasks: list[str] | None = None,
    models: list[str] | None = None,
) -> None:
    """Add the options that choose models, device and settings, and tasks if there are defaults."""
    add, default = parser.add_argument, ("default: " + " ".join(models or ["all"]))
    add("--models", nargs="+", default=models or [], metavar="M", help=default)
    if tasks is not None:
        default = "default: " + " ".join(tasks or ["all"])
        add("--tasks", nargs="+", default=tasks, metavar="T", help=default)
    add("--device", default="cpu", help="as train.device")
    add("--set", nargs="+", default=[], metavar="KEY=VALUE", help="as for run.py")


def pairs(models: list[str], tasks: list[str]) -> list[tuple[str, str]]:
    """Return all pairs of models and tasks except bidirectional models on causal tasks."""
    for kind, wanted, known in (("model", models, MODELS), ("task", tasks, TASKS)):
        for name in wanted:
            if name not in known:
                allowed = f"(allowed: {', '.join(known)})"
                raise UserError(f"no {kind} {name} {allowed}{nearest(name, known)}")
    found = [(m, t) for t in tasks or TASKS for m in models or MODELS]
    possible = [(m, t) for m, t in found if not (is_causal(t) and is_bidirectional(m))]
    if not possible:
        raise UserError(
            f"{', '.join(models)}: bidirectional, so not allowed on {', '.join(tasks)} (causal)"
        )
    return possible


@cache
def is_causal(task: str) -> bool:
    """Return True if a task refuses bidirectional models."""
    return composed("lstm", task).task.causal


@cache
def is_bidirectional(model: str) -> bool:
    """Return True if a model is bidirectional, tried on a task that is not causal."""
    return composed(model, next(t for t in TASKS if not is_causal(t))).model.bidirectional


def load(config: Config, device: torch.device) -> Task:
    """Load the task of a run to a device."""
    import torch

    from benchmarks.system.disk_cache import DiskCache, cache_directory

    try:
        task = config.task.load(DiskCache(cache_directory(config.cache_dir)))
    except DataError as error:
        raise UserError(str(error)) from error
    task.to(device, getattr(torch, config.train.dtype))
    return task


def loaded_pairs(
    models: list[str], tasks: list[str], device: torch.device, *overrides: str
) -> Iterator[tuple[str, Config, Task]]:
    """Iterate over pairs: their text, configuration and task, which is loaded once."""
    loaded: dict[str, Task] = {}
    for model, name in pairs(models, tasks):
        config = composed(model, name, *overrides)
        task = loaded[name] = loaded.get(name) or load(config, device)
        yield f"{model} on {name}", config, task


def trainer_of(config: Config, task: Task, device: torch.device) -> Trainer:
    """Return the trainer of a run; imported here, because the module imports torch."""
    from benchmarks.runner.multiseed import eligibility

    return eligibility.trainer_of(config, task, device)
