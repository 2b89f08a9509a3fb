"""A finished run, put together again from what it left."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor, nn
from yaml import YAMLError

import models
import tasks
from benchmarks.config.registry import definitions
from benchmarks.config.schema import Config, TrainSettings
from benchmarks.errors import UserError
from benchmarks.results.row import Status
from benchmarks.results.run_folder import RunFolder
from benchmarks.system.disk_cache import DiskCache, cache_directory
from benchmarks.training.network import build_network
from models.base import ModelSettings
from models.modules.encoder import Encoder
from tasks.base import Task, TaskSettings

NEEDED = ("run_id", "status", "task", "model", "dataset", "dataset_sha256")
"""Columns of a row without which nothing can be done; of all that came later some may lack."""


@dataclass(frozen=True)
class FinishedRun:
    """A run that ended well.

    Attributes:
        folder: what it left.
        row: its row.
        config: what it was made of, the hidden size solved; its arithmetic is float32.
        task: its data, loaded, on the CPU.
        weights: its best.
    """

    folder: RunFolder
    row: dict[str, Any]
    config: Config
    task: Task
    weights: dict[str, Tensor]

    def network(self, kernel: str) -> tuple[nn.Module, Encoder]:
        """Build the trained network, in eval mode on the CPU.

        Args:
            kernel: of the recurrence, if the model has more than one.

        Raises:
            UserError: the weights are those of another network.
        """
        model = self.config.model
        if hasattr(model, "kernel"):
            kernel_alone: dict[str, Any] = {"kernel": kernel}
            model = dataclasses.replace(model, **kernel_alone)
        config = dataclasses.replace(self.config, model=model)
        network, encoder = build_network(config, self.task, torch.device("cpu"))
        try:
            network.load_state_dict(self.weights)
        except RuntimeError as error:
            raise UserError(
                f"{self.folder.weights}: are not the weights of the network in config.yaml"
            ) from error
        return network.eval(), encoder


def load_run(path: Path) -> FinishedRun:
    """Read a run's configuration, data and weights.

    Raises:
        UserError: it has not ended well, has no network, or code or data have changed since.
        tasks.base.DataError: the data cannot be used.
    """
    folder = RunFolder(path)
    try:
        row = json.loads(folder.row.read_text(encoding="utf-8"))
        told = OmegaConf.load(folder.config)
    except (OSError, ValueError, YAMLError) as error:
        reason = " ".join(str(error).split())
        raise UserError(f"{path}: cannot be read as a run ({reason})") from error
    if not isinstance(row, dict) or not {*NEEDED} <= set(row):
        raise UserError(f"{folder.row}: is not the row of a run")
    if not isinstance(told, DictConfig) or not {"task", "model", "train"} <= set(told):
        raise UserError(f"{folder.config}: is not the configuration of a run")
    if row["status"] != Status.OK:
        raise UserError(f"{path.name}: ended as {row['status']}, only a run that is ok is taken")
    if row.get("baseline"):
        raise UserError(f"{path.name}: {row['model']} is a baseline and has no network")
    try:
        weights = load_file(folder.weights)
    except (OSError, SafetensorError) as error:
        raise UserError(f"{folder.weights}: cannot be read ({error})") from error
    config = read_config(told, row, path.name)
    config.task.check()
    task = config.task.load(DiskCache(cache_directory(config.cache_dir)))
    if task.data.sha256 != row["dataset_sha256"]:
        raise UserError(
            f"{path.name}: was trained on other data than there is now "
            f"({row['dataset']}, sha256 {row['dataset_sha256'][:12]}; "
            f"now {task.data.name}, sha256 {task.data.sha256[:12]})"
        )
    task.to(torch.device("cpu"), torch.float32)
    return FinishedRun(
        folder, row, config, task, {name: as_float32(tensor) for name, tensor in weights.items()}
    )


def as_float32(tensor: Tensor) -> Tensor:
    """What runtimes compute in, whatever the run was trained in."""
    return tensor.float() if tensor.is_floating_point() else tensor


def read_config(told: Any, row: dict[str, Any], run_id: str) -> Config:
    """Turn the YAML a run has left into a configuration.

    It does not say which task and model its settings are of: the row does.

    Raises:
        UserError: they are not defined here, or not as they were.
    """
    task = settings_like(
        *("task", told.task, row["task"], run_id),
        definitions(tasks, TaskSettings),
        lambda settings: str(settings.name),
    )
    model = settings_like(
        *("model", told.model, row["model"], run_id),
        definitions(models, ModelSettings),
        lambda settings: str(settings.label),
    )
    try:
        train = OmegaConf.to_object(
            OmegaConf.merge(OmegaConf.structured(TrainSettings), told.train)
        )
    except OmegaConfBaseException as error:
        raise UserError(f"{run_id}: was left by another version of rnnbench ({error})") from error
    assert isinstance(train, TrainSettings)
    train = dataclasses.replace(train, dtype="float32", precision="highest")
    return Config(task, model, train, seed=told.seed, cache_dir=told.cache_dir)


def settings_like(
    kind: str,
    told: Any,
    name: str,
    run_id: str,
    known: dict[str, type],
    name_of: Callable[[Any], str],
) -> Any:
    """Return the settings, of all known classes, that have the keys and the name a run had.

    Raises:
        UserError: there are none.
    """
    for settings in known.values():
        try:
            found = OmegaConf.to_object(OmegaConf.merge(OmegaConf.structured(settings), told))
        except OmegaConfBaseException:
            continue
        if name_of(found) == name:
            return found
    raise UserError(
        f"{run_id}: its {kind} {name} is not defined here with these settings "
        f"(defined: {', '.join(known)})"
    )
