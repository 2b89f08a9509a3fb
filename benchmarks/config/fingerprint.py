"""Hashes that identify a run's configuration and its arm."""

from __future__ import annotations

import dataclasses
from typing import Any

from benchmarks.config.matching import decides_size
from benchmarks.config.schema import Config
from benchmarks.system.hashing import short_hash
from models.baseline import BaselineSettings
from tasks.base import DataDescription


def identity(settings: Any) -> dict[str, Any]:
    """Return settings as a plain dict without fields that cannot change a score."""
    plain: dict[str, Any] = {}
    for entry in dataclasses.fields(settings):
        value = getattr(settings, entry.name)
        part = entry.metadata.get("identity", True)
        if part is False or (part == "unless default" and value == entry.default):
            continue
        plain[entry.name] = identity(value) if dataclasses.is_dataclass(value) else value
    return plain


def fingerprint(config: Config, data: DataDescription, device_type: str) -> str:
    """Hash everything that can change a run's scores beyond rounding.

    Includes the content of the data, the versions of task and model, and the kind of device.
    Excludes paths, the number of threads and the batch size of evaluations.
    """
    return short_hash(run_identity(config, data) | {"device": device_type})


def arm(config: Config, data: DataDescription) -> str:
    """Hash a run's configuration without seed and device: equal for all runs of an arm."""
    return short_hash(run_identity(config, data) | {"seed": None})


def run_identity(config: Config, data: DataDescription) -> dict[str, Any]:
    """Return everything that can change a run's scores, without the device."""
    found = identity(config) | {"seed": seed_of(config)}
    if isinstance(config.model, BaselineSettings):
        bound = config.train.max_evaluation_batches
        found |= {"model": config.model.baseline, "train": bound, "match": None}
    elif decides_size(config):
        del found["model"]["hidden_size"]  # solved for the budget
    return found | {
        "task_name": config.task.name,
        "task_version": config.task.version,
        "model_definition": type(config.model).__name__,
        "model_version": config.model.version,
        "dataset_sha256": data.sha256,
        "split": data.split,
    }


def seed_of(config: Config) -> int | None:
    """Return the seed, or None for a baseline without random numbers."""
    if isinstance(config.model, BaselineSettings) and config.model.baseline is not None:
        known = config.task.baselines()[config.model.baseline]
        return config.seed if known.is_seeded else None
    return config.seed
