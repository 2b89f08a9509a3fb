"""Columns of a row: configuration, data, training and status."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Iterable, Iterator
from typing import Any

import torch

from benchmarks.config.fingerprint import seed_of
from benchmarks.config.schema import Config
from benchmarks.errors import one_line
from benchmarks.results.row import COLUMNS, SCHEMA_VERSION, Row, Status
from benchmarks.results.undertrained import is_undertrained
from benchmarks.system.source_code import source_hash
from benchmarks.training.evaluation import NotFiniteError
from benchmarks.training.state import TrainingState
from models.baseline import BaselineSettings
from tasks.base import DataDescription

OTHER_COLUMNS = (
    *("model", "model.baseline", "task", "seed", "debug", "experiment"),
    *("match", "match.budget", "match.budget_seconds", "recipe"),
)
"""Keys of the command line whose effect other columns contain."""


TRAINING = ("benchmarks.training", "benchmarks.runner.multiseed")


def source_of(config: Config) -> str:
    """Return the hashes of the code of the model, and of that of task and training."""
    model, task = type(config.model).__module__, type(config.task).__module__
    trainers = ("benchmarks.training", "benchmarks.runner.multiseed.trainer")
    shared = source_hash((task, *trainers), ("tasks", *TRAINING))
    return f"{source_hash((model,), ('models',))}-{shared}"


def configuration_columns(config: Config) -> dict[str, Any]:
    """Return the columns that describe the configuration."""
    model, metric = config.model, config.task.primary_metric
    columns = {
        "schema_version": SCHEMA_VERSION,
        "smoke": config.smoke,
        "task": config.task.name,
        "task_version": config.task.version,
        "model": model.label,
        "model_version": model.version,
        "seed": seed_of(config),
        "recipe": config.recipe,
        "metric": metric.name,
        "metric_unit": metric.unit,
        "higher_is_better": metric.higher_is_better,
        "perfect_score": metric.perfect,
        "margin": metric.margin or None,
    }
    if isinstance(model, BaselineSettings):
        assert model.baseline is not None
        return columns | {"baseline": config.task.baselines()[model.baseline].kind}
    return columns | {
        "init_seed": config.train.init_seed,
        "order_seed": config.train.order_seed,
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
    """Return the overrides that can change the results of a run and have no column, or None."""
    ignored = {*OTHER_COLUMNS, *keys_without_effect(config)}
    keys = {text: text.partition("=")[0].lstrip("+~") for text in overrides}
    kept = [t for t, key in keys.items() if key not in ignored and not key.startswith("hydra")]
    return " ".join(kept) or None


def keys_without_effect(settings: Any, prefix: str = "") -> Iterator[str]:
    """Iterate over the keys of settings that no result depends on."""
    for entry in dataclasses.fields(settings):
        value = getattr(settings, entry.name)
        if dataclasses.is_dataclass(value):
            yield from keys_without_effect(value, f"{prefix}{entry.name}.")
        elif not entry.metadata.get("identity", True):
            yield f"{prefix}{entry.name}"


def data_columns(data: DataDescription) -> dict[str, Any]:
    """Return the columns that describe the data."""
    return {
        "dataset": data.name,
        "dataset_sha256": data.sha256,
        "split": data.split,
        "split_seed": data.split_seed,
        "data_unit": data.unit,
        "train_size": data.train_size,
        "validation_size": data.validation_size,
        "test_size": data.test_size,
        "tokenization": data.tokenization or None,
        "vocabulary": data.vocabulary,
        "test_in_train": data.test_in_train,
    } | ({"metric_unit": data.metric_unit} if data.metric_unit else {})


def fill_from_training(row: Row, state: TrainingState) -> None:
    """Copy the results of a training into the row."""
    for name in ("epochs", "stopped_by", "steps", "best_epoch"):
        setattr(row, name, getattr(state, name))
    row.undertrained = is_undertrained(state.epochs, state.best_epoch, state.stopped_by, row.match)
    row.train_tokens, row.eval_seconds = state.tokens, state.evaluation_seconds
    if state.trained_together:
        row.trained_together = state.trained_together
    else:
        row.train_seconds = state.train_seconds
        row.energy_joules = state.train_joules
        row.time_to_best_seconds = state.time_to_best_seconds
        row.pretrain_seconds = state.pretrain_seconds
        row.pretrain_sha256 = state.pretrain_sha256
        seconds = state.train_seconds - (state.pretrain_seconds or 0.0)
        if seconds > 0:
            row.tokens_per_second = state.tokens / seconds
    if row.metric in state.best_metrics:
        row.val_score = state.best_metrics[row.metric]
        row.val_loss = state.best_metrics["loss"]


def fill_from_test(row: Row, metrics: dict[str, float]) -> None:
    """Copy the metrics of the test split into the row."""
    assert row.metric is not None
    row.test_score, row.test_loss = metrics[row.metric], metrics["loss"]
    others = {n: value for n, value in metrics.items() if n not in (*COLUMNS, "loss")}
    for name in metrics.keys() - others.keys() - {"loss"}:
        setattr(row, name, metrics[name])
    row.other_metrics = json.dumps(others) if others else None


def status_of(error: BaseException) -> Status:
    """Return the status of a run that an exception ended."""
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
    """Return class and message of an error in one line."""
    message = one_line(error)
    return f"{type(error).__name__}: {message}" if message else type(error).__name__
