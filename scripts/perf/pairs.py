"""Models and tasks as the command line finds them, put together for a measurement."""

from __future__ import annotations

import argparse
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

from hydra import compose
from hydra.errors import HydraException
from omegaconf.errors import OmegaConfBaseException

from benchmarks import PROJECT_ROOT
from benchmarks.config.compose import hydra_at
from benchmarks.config.hydra_errors import explain
from benchmarks.config.registry import register_schemas
from benchmarks.config.schema import Config
from benchmarks.config.validation import checked_config
from benchmarks.errors import UserError, nearest
from tasks.base import DataError

if TYPE_CHECKING:
    import torch
    from torch import Tensor, nn

    from benchmarks.training.trainer import Trainer
    from tasks.base import Task

CONF = PROJECT_ROOT / "conf"
MODELS = sorted(file.stem for file in (CONF / "model").glob("*.yaml") if file.stem != "baseline")
TASKS = sorted(file.stem for file in (CONF / "task").glob("*.yaml"))


def composed(model: str, task: str, *overrides: str) -> Config:
    """Compose a run as `python run.py` does.

    Raises:
        UserError: there is no such thing, or they do not go together.
    """
    register_schemas(CONF)
    wanted = [f"model={model}", f"task={task}", *overrides]
    try:
        with hydra_at(CONF):
            config = checked_config(compose("config", overrides=wanted))
    except (HydraException, OmegaConfBaseException) as error:
        raise UserError(explain(error, wanted, [CONF])) from error
    except DataError as error:
        raise UserError(str(error)) from error
    if config.seeds is not None:
        raise UserError(f"seeds={config.seeds}: not here, where one training is measured")
    return config


def add_run_options(parser: argparse.ArgumentParser) -> None:
    """Let the command line choose what runs."""
    parser.add_argument("--models", nargs="+", default=[], metavar="M", help="default: all")
    parser.add_argument("--device", default="cpu", help="as train.device")
    parser.add_argument("--set", nargs="+", default=[], metavar="KEY=VALUE", help="as for run.py")


def pairs(models: list[str], tasks: list[str]) -> list[tuple[str, str]]:
    """List the pairs that may run: no model that reads ahead on a causal task.

    Args:
        models, tasks: names; empty for all there are.

    Raises:
        UserError: there is no model or task of such a name, or none that go together.
    """
    for kind, wanted, known in (("model", models, MODELS), ("task", tasks, TASKS)):
        for name in wanted:
            if name not in known:
                allowed = f"(allowed: {', '.join(known)})"
                raise UserError(f"no {kind} {name} {allowed}{nearest(name, known)}")
    found = [(m, t) for t in tasks or TASKS for m in models or MODELS]
    possible = [(m, t) for m, t in found if not (is_causal(t) and reads_ahead(m))]
    if not possible:
        raise UserError(f"{', '.join(models)} cannot go with {', '.join(tasks)}: it reads ahead")
    return possible


@cache
def is_causal(task: str) -> bool:
    """Whether a task refuses models that read ahead."""
    return composed("lstm", task).task.causal


@cache
def reads_ahead(model: str) -> bool:
    """Whether a model is bidirectional; asked on a task that lets it."""
    return composed(model, next(t for t in TASKS if not is_causal(t))).model.bidirectional


def load(config: Config, device: torch.device) -> Task:
    """Load a run's task and put it on a device.

    Raises:
        UserError: the data cannot be used.
    """
    import torch

    from benchmarks.system.disk_cache import DiskCache, default_cache_directory

    cache = DiskCache(Path(config.cache_dir) if config.cache_dir else default_cache_directory())
    try:
        task = config.task.load(cache)
    except DataError as error:
        raise UserError(str(error)) from error
    task.to(device, getattr(torch, config.train.dtype))
    return task


class Silent:
    """Is told of progress and says nothing."""

    def step(self, line: dict[str, float]) -> None:
        """See `benchmarks.training.state.Progress`."""

    def epoch(self, line: dict[str, float]) -> None:
        """See `benchmarks.training.state.Progress`."""


def trainer_of(config: Config, task: Task, device: torch.device) -> Trainer:
    """Build a run's network and the trainer that would train it, which keeps no checkpoint."""
    from benchmarks.system.signals import Interruption
    from benchmarks.training.network import build_network
    from benchmarks.training.trainer import Trainer

    def keep(tensors: dict[str, Tensor], facts: dict[str, object]) -> None:
        """Keep nothing."""

    network: nn.Module = build_network(config, task, device)[0]
    return Trainer(
        network,
        task,
        config.task.metric,
        config.train,
        config.train.learning_rate * config.model.learning_rate_factor,
        config.seed,
        device,
        Silent(),
        keep,
        Interruption(),
    )
