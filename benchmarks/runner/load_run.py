"""Load a finished run: its network, its task and its configuration."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable, Mapping, Sequence
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
from benchmarks.errors import UserError, one_line
from benchmarks.results.find_run import find_run
from benchmarks.results.row import Status
from benchmarks.results.run_folder import RunFolder
from benchmarks.system.disk_cache import DiskCache, cache_directory
from benchmarks.training.network import build_network
from models.base import ModelSettings
from models.modules.encoder import Encoder
from tasks.base import DataError, Task, TaskSettings

REQUIRED = ("run_id", "status", "task", "model", "dataset", "dataset_sha256")
"""Columns that every row contains; an older row may lack later ones."""


@dataclass(frozen=True)
class FinishedRun:
    """A run of status ok.

    Attributes:
        config: its configuration, with the solved hidden size, in float32.
        task: its task, loaded, on the CPU; that of the last refit, if it has several.
        weights: its best weights.
    """

    folder: RunFolder
    row: dict[str, Any]
    config: Config
    task: Task
    weights: dict[str, Tensor]

    def network(self, kernel: str) -> tuple[nn.Module, Encoder]:
        """Build the trained network with a kernel, if it has several, in eval mode on the CPU."""
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
                f"{self.folder.weights}: do not fit the network in config.yaml"
            ) from error
        return network.eval(), encoder


def load_run(
    name: str | Path, results: str | Path = "results", moved: Mapping[str, str] | None = None
) -> FinishedRun:
    """Read a run's configuration, data and weights.

    Args:
        name: id of the run, its beginning, its folder, or `latest` or `best`.
        results: the results folder.
        moved: new places of data that was moved, by the name of their setting in the task.

    Raises:
        UserError: there is no such run, its status is not ok, it has no network, its data cannot
            be read, or code or data have changed since.
    """
    folder, row, settings = read_run(find_run(str(name), Path(results)))
    run_id = folder.path.name
    if row.get("baseline"):
        raise UserError(f"{run_id}: {row['model']} is a baseline and has no network")
    try:
        weights = load_file(folder.weights)
    except (OSError, SafetensorError) as error:
        raise UserError(f"{folder.weights}: cannot be read ({error})") from error
    config = read_config(settings, row, run_id)
    task = task_of(row, config, moved or {}).refits()[-1]
    task.to(torch.device("cpu"), torch.float32)
    weights = {name: t.float() if t.is_floating_point() else t for name, t in weights.items()}
    return FinishedRun(folder, row, config, task, weights)


def read_run(path: Path) -> tuple[RunFolder, dict[str, Any], DictConfig]:
    """Read the row and the settings of a run of status ok, which may be a baseline."""
    folder = RunFolder(path)
    row = parsed(folder.row, json.loads)
    if not isinstance(row, dict) or not {*REQUIRED} <= set(row):
        raise UserError(f"{folder.row}: not the row of a run")
    if row.get("track"):
        raise UserError(
            f"{path.name}: is a {row['track']} evaluation; give its run: {row['members']}"
        )
    if row.get("members"):
        raise UserError(f"{path.name}: is an ensemble; give one of its members: {row['members']}")
    settings = parsed(folder.config, OmegaConf.create)
    if not isinstance(settings, DictConfig) or not {"task", "model", "train"} <= set(settings):
        raise UserError(f"{folder.config}: not the configuration of a run")
    if row["status"] != Status.OK:
        raise UserError(f"{path.name}: requires a run of status ok, not {row['status']}")
    return folder, row, settings


def parsed(file: Path, parse: Callable[[str], Any]) -> Any:
    """Parse a file of a run."""
    try:
        return parse(file.read_text(encoding="utf-8"))
    except (OSError, ValueError, YAMLError) as error:
        raise UserError(f"{file.parent}: cannot read the run ({one_line(error)})") from error


def task_of(row: dict[str, Any], config: Config, moved: Mapping[str, str]) -> Task:
    """Load the task of a run; raise UserError if its data has changed."""
    task = load_task(config, row["run_id"], moved)
    if task.data.sha256 != row["dataset_sha256"]:
        raise UserError(
            f"{row['run_id']}: the data has changed since the training "
            f"({row['dataset']}, sha256 {row['dataset_sha256'][:12]}; "
            f"now {task.data.name}, sha256 {task.data.sha256[:12]})"
        )
    return task


def load_task(config: Config, run_id: str, moved: Mapping[str, str]) -> Task:
    """Load the task of a run, with new values of settings that are paths."""
    paths = [entry.name for entry in dataclasses.fields(config.task) if is_path(entry)]
    for key, value in moved.items():
        if key not in paths:
            allowed = ", ".join(f"task.{each}" for each in paths) or "none"
            raise UserError(
                f"task.{key}={value}: not a path of this run's task (allowed: {allowed})"
            )
        setattr(config.task, key, value)
    try:
        try:
            config.task.check()
        except ValueError as error:
            raise DataError(str(error)) from error
        return config.task.load(DiskCache(cache_directory(config.cache_dir)))
    except DataError as error:
        given = [p for p in paths if p not in moved and getattr(config.task, p) is not None]
        hint = f"; if the data was moved, add task.{given[0]}=PATH" if given else ""
        raise UserError(f"{run_id}: {error}{hint}") from error


def parse_moved(texts: Sequence[str]) -> dict[str, str]:
    """Parse arguments such as `task.data=PATH`; raise UserError for others."""
    moved = {}
    for text in texts:
        key, has_value, value = text.removeprefix("task.").partition("=")
        if not (text.startswith("task.") and has_value and value):
            raise UserError(f"{text}: not the new place of data, as in task.data=PATH")
        moved[key] = value
    return moved


def is_path(entry: dataclasses.Field[Any]) -> bool:
    """Return True if a setting is a path."""
    return bool(entry.metadata.get("is_path"))


def read_config(settings: Any, row: dict[str, Any], run_id: str) -> Config:
    """Return the configuration of a run from its YAML.

    The YAML does not contain the names of task and model, but the row does.
    """
    task = definition_of(
        "task", settings.task, row["task"], run_id, definitions(tasks, TaskSettings)
    )
    model = definition_of(
        "model", settings.model, row["model"], run_id, definitions(models, ModelSettings)
    )
    try:
        train = OmegaConf.to_object(
            OmegaConf.merge(OmegaConf.structured(TrainSettings), settings.train)
        )
    except OmegaConfBaseException as error:
        raise UserError(f"{run_id}: written by another version of rnnbench ({error})") from error
    assert isinstance(train, TrainSettings)
    train = dataclasses.replace(train, dtype="float32", precision="highest")
    return Config(task, model, train, seed=settings.seed, cache_dir=settings.cache_dir)


def definition_of(kind: str, settings: Any, name: str, run_id: str, known: dict[str, type]) -> Any:
    """Return the settings as an instance of the known class that has their keys and name."""
    for definition in known.values():
        try:
            found: Any = OmegaConf.to_object(
                OmegaConf.merge(OmegaConf.structured(definition), settings)
            )
        except OmegaConfBaseException:
            continue
        if name == (found.name if kind == "task" else found.label):
            return found
    raise UserError(
        f"{run_id}: its {kind} {name} is not defined here with these settings "
        f"(defined: {', '.join(known)})"
    )
