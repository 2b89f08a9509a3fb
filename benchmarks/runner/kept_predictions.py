"""Predictions of a split that are kept in the folder of a run."""

from __future__ import annotations

from pathlib import Path

from benchmarks.config.schema import TrainSettings
from benchmarks.training.evaluation import Predictor, evaluate
from benchmarks.training.predictions import Predictions, write_predictions
from tasks.base import Split, Task


def keep_predictions(
    file: Path, network: Predictor, task: Task, split: Split, train: TrainSettings
) -> dict[str, float]:
    """Evaluate a split, write the predictions of its items, and return the metrics."""
    predictions = Predictions()
    bounds = train.evaluation_batch_size, train.max_evaluation_batches
    metrics = evaluate(network, task, split, *bounds, predictions)
    write_split(file, predictions, task, split)
    return metrics


def write_split(file: Path, predictions: Predictions, task: Task, split: Split) -> None:
    """Write the predictions of the items of a split."""
    write_predictions(file, *predictions.in_order(), task.items(split), task.classes)
