"""Definitions of models and tasks, and the schemas that Hydra composes from."""

from __future__ import annotations

import importlib
import importlib.util
import inspect
import pkgutil
from typing import Any

from hydra.core.config_store import ConfigStore

import models
import tasks
from benchmarks.config.launchers import LAUNCHERS
from benchmarks.config.schema import Config
from benchmarks.config.search import TuneSettings
from models.base import ModelSettings
from tasks.base import TaskSettings


def definitions(package: Any, base: type) -> dict[str, type]:
    """Return the settings classes derived from `base`, by their attribute `name` or module name.

    A definition is a module of the package, or the module `task` of a package in it.
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


def register_schemas() -> None:
    """Register the typed schemas: `schema/config`, `schema/model/NAME` and `schema/task/NAME`."""
    store = ConfigStore.instance()
    store.store(group="hydra/sweeper", name="tune", node=TuneSettings)
    store.store(group="schema", name="config", node=Config)
    for group, settings_by_name in {
        "hydra/launcher": LAUNCHERS,
        "schema/model": definitions(models, ModelSettings),
        "schema/task": definitions(tasks, TaskSettings),
    }.items():
        for name, settings in settings_by_name.items():
            store.store(group=group, name=name, node=settings)
