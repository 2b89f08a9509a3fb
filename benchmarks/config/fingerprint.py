"""What makes two runs the same question, or two questions of one arm."""

from __future__ import annotations

import dataclasses
from typing import Any

from benchmarks.config.matching import decides_size
from benchmarks.config.schema import Config
from benchmarks.system.hashing import short_hash
from models.baseline import BaselineSettings
from tasks.base import DataDescription


def identity(settings: Any) -> dict[str, Any]:
    """Return a settings dataclass as a plain dict without the fields that ask no question."""
    plain: dict[str, Any] = {}
    for entry in dataclasses.fields(settings):
        value = getattr(settings, entry.name)
        if entry.metadata.get("identity", True):
            plain[entry.name] = identity(value) if dataclasses.is_dataclass(value) else value
    return plain


def fingerprint(config: Config, data: DataDescription, device_type: str) -> str:
    """Hash everything that can change a run's numbers, beyond rounding.

    Two runs with one fingerprint ask the same question of the same data. Where the data lies, how
    many threads or how large the batches of an evaluation are is left out; what the data is, the
    versions of task and model and the kind of device are in.
    """
    return short_hash(question(config, data) | {"device": device_type})


def arm(config: Config, data: DataDescription) -> str:
    """Hash a run's question without its seed: equal for all runs of an arm, on whatever device."""
    return short_hash(question(config, data) | {"seed": None})


def question(config: Config, data: DataDescription) -> dict[str, Any]:
    """Say what a run asks, seed included."""
    asked = identity(config) | {"seed": seed_of(config)}
    if isinstance(config.model, BaselineSettings):
        bound = config.train.max_evaluation_batches
        asked |= {"model": config.model.baseline, "train": bound, "match": None}
    elif decides_size(config):
        del asked["model"]["hidden_size"]  # it follows from the rest
    return asked | {
        "task_name": config.task.name,
        "task_version": config.task.version,
        "model_definition": type(config.model).__name__,
        "model_version": config.model.version,
        "dataset_sha256": data.sha256,
        "split": data.split,
    }


def seed_of(config: Config) -> int | None:
    """Return the seed, or None for a baseline in which chance has no part."""
    if isinstance(config.model, BaselineSettings) and config.model.baseline is not None:
        known = config.task.baselines()[config.model.baseline]
        return config.seed if known.is_seeded else None
    return config.seed
