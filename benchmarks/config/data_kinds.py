"""The kinds of tasks that read own data: which one fits a path, and its task."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from hydra.errors import HydraException
from omegaconf.errors import OmegaConfBaseException

import tasks
from benchmarks.config.compose import compose_run, hydra_at
from benchmarks.config.help import CONF
from benchmarks.config.hydra_errors import explain
from benchmarks.config.overrides import quoted_value, shell_word
from benchmarks.config.registry import definitions, register_schemas
from benchmarks.errors import UserError, nearest
from benchmarks.system.disk_cache import DiskCache, cache_directory
from tasks.base import DataError, Task, TaskSettings
from tasks.common.tables import ENDINGS, ending, read_table, unreadable

MOST_NAMES = 10


def data_kinds() -> dict[str, type[TaskSettings]]:
    """Return the tasks with a setting `task.data`, by name."""
    return {
        name: kind
        for name, kind in definitions(tasks, TaskSettings).items()
        if "data" in {entry.name for entry in dataclasses.fields(kind)}
    }


def kind_of(path: Path, overrides: Sequence[str] = ()) -> tuple[str, str]:
    """Return the kind of a path and the reason; else raise UserError or DataError.

    Settings that one kind alone has select it; else the only kind that recognises the path.
    """
    if not path.exists():
        raise UserError(f"{path}: no such file or folder (a hub data set: add --task text)")
    kinds = data_kinds()
    given = [text.partition("=")[0] for text in overrides if text.startswith("task.")]
    fitting = {name: kind for name, kind in kinds.items() if has_settings(kind, given)} or kinds
    if len(fitting) == 1:
        return next(iter(fitting)), f"has the setting {' and '.join(given)}"
    found = {name: reason for name, kind in fitting.items() if (reason := kind.recognises(path))}
    if len(found) == 1:
        return next(iter(found.items()))
    own = [name for name, kind in fitting.items() if ending(path) in kind.data_endings]
    if not found and own and path.is_file():
        return own[0], f"its name ends in {ending(path)}"
    if found:
        listed = "; ".join(f"{name} ({reason})" for name, reason in found.items())
        raise UserError(f"{path}: may be data of several kinds: {listed}; choose with --task")
    content = content_of(path)
    needs = "; ".join(guesses(path, fitting) or [kind.data_needs for kind in fitting.values()])
    raise UserError(f"{path}: not recognised{content}; {needs}")


def guesses(path: Path, kinds: Mapping[str, type[TaskSettings]]) -> list[str]:
    """Return what kinds need, with the settings that would probably make a path their data."""
    found = []
    for kind in kinds.values():
        words = [f"task.{key}={quoted_value(value)}" for key, value in kind.guess(path).items()]
        if words:
            found.append(f"{kind.data_needs}, probably {' '.join(map(shell_word, words))}")
    return found


def has_settings(kind: type[TaskSettings], keys: Iterable[str]) -> bool:
    """Return True if a kind has all settings, named as `task.KEY`."""
    return {key.removeprefix("task.") for key in keys} <= {f.name for f in dataclasses.fields(kind)}


def content_of(path: Path) -> str:
    """Return what a file or folder contains, in brackets; raise DataError if that is not usable."""
    if path.is_dir():
        names = sorted(each.name for each in path.iterdir() if not each.name.startswith("."))
        if not names:
            raise DataError(f"{path}: the folder is empty")
        return f" (contains: {shortened(names)})"
    if ending(path) not in ENDINGS:
        others = [each for kind in data_kinds().values() for each in kind.data_endings]
        raise unreadable(path, str(path), (*ENDINGS, *others))
    table = read_table(path, str(path))
    if table.frame.empty:
        raise DataError(f"{path}: there are no rows below the names of the columns")
    names = [str(name) for name in table.frame]
    has_numbered_columns = names[0] == "index"  # as pandas writes a table without names
    if not has_numbered_columns and any(re.fullmatch(r"[-+]?[\d.]+", name) for name in names):
        raise DataError(
            f"{path}: the first line contains values, not names of columns: {shortened(names)}; "
            f"add a line with names above it"
        )
    return f" (columns: {shortened(names)})"


def shortened(names: Sequence[str]) -> str:
    """Return the first names of a list."""
    return ", ".join(names[:MOST_NAMES]) + ", …" * (len(names) > MOST_NAMES)


def loaded(kind: str, path: str, overrides: list[str]) -> tuple[TaskSettings, Task]:
    """Return the settings of the command line for data of a kind, and the task.

    Raises:
        UserError: there is no such kind, or a setting is wrong.
        tasks.base.DataError: the data cannot be used.
    """
    kinds = data_kinds()
    if kind not in kinds:
        allowed = ", ".join(kinds)
        raise UserError(f"--task {kind}: allowed: {allowed}{nearest(kind, kinds)}")
    words = ["model=lstm", f"task={kind}", f"task.data={quoted_value(path)}", *overrides]
    register_schemas()
    try:
        with hydra_at(CONF):
            config = compose_run(words)
    except (HydraException, OmegaConfBaseException) as error:
        raise UserError(explain(error, words, [CONF])) from error
    return config.task, config.task.load(DiskCache(cache_directory(config.cache_dir)))
