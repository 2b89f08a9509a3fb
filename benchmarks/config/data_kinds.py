"""The kinds of tasks that read own data: which one fits a path, and its task."""

from __future__ import annotations

import dataclasses
from pathlib import Path

from hydra.errors import HydraException
from omegaconf.errors import OmegaConfBaseException

import tasks
from benchmarks.config.compose import compose_run, hydra_at
from benchmarks.config.help import CONF
from benchmarks.config.hydra_errors import explain
from benchmarks.config.registry import definitions, register_schemas
from benchmarks.errors import UserError, nearest
from benchmarks.system.disk_cache import DiskCache, cache_directory
from tasks.base import Task, TaskSettings


def data_kinds() -> dict[str, type[TaskSettings]]:
    """Return the tasks with a setting `task.data`, by name."""
    return {
        name: kind
        for name, kind in definitions(tasks, TaskSettings).items()
        if "data" in {entry.name for entry in dataclasses.fields(kind)}
    }


def kind_of(path: Path) -> tuple[str, str]:
    """Return the only kind that recognises a path, and the reason; else raise UserError."""
    kinds = data_kinds()
    if not path.exists():
        raise UserError(f"{path}: no such file or folder (a hub data set: add --task text)")
    found = {name: reason for name, kind in kinds.items() if (reason := kind.recognises(path))}
    if len(found) == 1:
        return next(iter(found.items()))
    if found:
        listed = "; ".join(f"{name} ({reason})" for name, reason in found.items())
        raise UserError(f"{path}: may be data of several kinds: {listed}; choose with --task")
    raise UserError(f"{path}: not recognised; choose with --task (allowed: {', '.join(kinds)})")


def loaded(kind: str, path: str, overrides: list[str]) -> Task:
    """Return the task of a kind on data, with settings of the command line.

    Raises:
        UserError: there is no such kind, or a setting is wrong.
        tasks.base.DataError: the data cannot be used.
    """
    kinds = data_kinds()
    if kind not in kinds:
        allowed = ", ".join(kinds)
        raise UserError(f"--task {kind}: allowed: {allowed}{nearest(kind, kinds)}")
    quoted = path.replace("\\", "\\\\").replace("'", "\\'")
    words = ["model=lstm", f"task={kind}", f"task.data='{quoted}'", *overrides]
    register_schemas()
    try:
        with hydra_at(CONF):
            config = compose_run(words)
    except (HydraException, OmegaConfBaseException) as error:
        raise UserError(explain(error, words, [CONF])) from error
    return config.task.load(DiskCache(cache_directory(config.cache_dir)))
