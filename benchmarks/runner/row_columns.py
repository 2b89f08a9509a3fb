"""What fills a row's columns: the question, the data, the training, the end."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Iterator
from typing import Any

import torch

from benchmarks.config.fingerprint import seed_of
from benchmarks.config.schema import Config
from benchmarks.results.row import SCHEMA_VERSION, Row, Status
from benchmarks.training.evaluation import NotFiniteError
from benchmarks.training.state import TrainingRecord
from models.baseline import BaselineSettings
from tasks.base import DataDescription

HAVE_COLUMNS = (
    *("model", "model.baseline", "task", "seed", "debug", "experiment"),
    *("match", "match.budget", "match.budget_seconds"),
)
"""Keys of the command line that a row shows in columns, or that only stand for others."""


def configuration_columns(config: Config) -> dict[str, Any]:
    """Columns that say what was asked."""
    model, metric = config.model, config.task.metric
    columns = {
        "schema_version": SCHEMA_VERSION,
        "smoke": config.smoke,
        "task": config.task.name,
        "task_version": config.task.version,
        "model": model.label,
        "model_version": model.version,
        "seed": seed_of(config),
        "metric": metric.name,
        "higher_is_better": metric.higher_is_better,
        "perfect_score": metric.perfect,
    }
    if isinstance(model, BaselineSettings):
        assert model.baseline is not None
        return columns | {"baseline": config.task.baselines()[model.baseline].kind}
    return columns | {
        "bidirectional": model.bidirectional,
        "num_layers": model.num_layers,
        "hidden_size": model.hidden_size,
        "dropout": model.dropout,
        "learning_rate": config.train.learning_rate * model.learning_rate_factor,
        "batch_size": config.train.batch_size,
        "precision": config.train.precision,
        "match": config.match.kind,
        "match_budget": config.match.amount,
    }


def effective_overrides(config: Config, overrides: Iterable[str]) -> str | None:
    """Return what the command line set that can change a run's numbers and has no column."""
    silent = {*HAVE_COLUMNS, *keys_without_effect(config)}
    keys = {text: text.partition("=")[0].lstrip("+~") for text in overrides}
    told = [t for t, key in keys.items() if key not in silent and not key.startswith("hydra")]
    return " ".join(told) or None


def keys_without_effect(settings: Any, prefix: str = "") -> Iterator[str]:
    """Go through the keys of settings that no number depends on."""
    for entry in dataclasses.fields(settings):
        value = getattr(settings, entry.name)
        if dataclasses.is_dataclass(value):
            yield from keys_without_effect(value, f"{prefix}{entry.name}.")
        elif not entry.metadata.get("identity", True):
            yield f"{prefix}{entry.name}"


def data_columns(data: DataDescription) -> dict[str, Any]:
    """Columns that say what data the run saw."""
    return {
        "dataset": data.name,
        "dataset_sha256": data.sha256,
        "split": data.split,
        "data_unit": data.unit,
        "train_size": data.train_size,
        "validation_size": data.validation_size,
        "test_size": data.test_size,
    }


def fill_from_training(row: Row, record: TrainingRecord) -> None:
    """Copy what training came to into the row."""
    row.epochs = record.epochs
    row.stopped_by = record.stopped_by
    row.steps = record.steps
    row.train_tokens = record.tokens
    row.eval_seconds = record.evaluation_seconds
    row.best_epoch = record.best_epoch
    if record.together:
        row.trained_together = record.together
    else:
        row.train_seconds = record.train_seconds
        row.time_to_best_seconds = record.time_to_best_seconds
        if record.train_seconds > 0:
            row.tokens_per_second = record.tokens / record.train_seconds
    if row.metric in record.best_metrics:
        row.val_score = record.best_metrics[row.metric]
        row.val_loss = record.best_metrics["loss"]


def status_of(error: BaseException) -> Status:
    """Name what became of a run that an exception ended."""
    if isinstance(error, KeyboardInterrupt):
        return Status.INTERRUPTED
    if isinstance(error, NotFiniteError):
        return Status.DIVERGED
    # The CPU allocator has no error class of its own.
    if isinstance(error, torch.OutOfMemoryError | MemoryError) or (
        isinstance(error, RuntimeError) and "can't allocate memory" in str(error)
    ):
        return Status.OUT_OF_MEMORY
    return Status.FAILED


def describe(error: BaseException) -> str:
    """Error class and message in one line."""
    message = " ".join(str(error).split())
    return f"{type(error).__name__}: {message}" if message else type(error).__name__
