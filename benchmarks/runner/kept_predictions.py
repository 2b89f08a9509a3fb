"""Predictions of a split that are kept in the folder of a run."""

from __future__ import annotations

from benchmarks.config.schema import TrainSettings
from benchmarks.results.run_folder import RunFolder
from benchmarks.training.evaluation import Predictor, evaluate
from benchmarks.training.predictions import Predictions, write_predictions
from tasks.base import Split, Task


def evaluate_items(
    network: Predictor, task: Task, split: Split, train: TrainSettings
) -> tuple[dict[str, float], Predictions]:
    """Evaluate a split as a run does; return the metrics and the predictions of its items."""
    predictions = Predictions()
    bounds = train.evaluation_batch_size, train.max_evaluation_batches
    return evaluate(network, task, split, *bounds, predictions), predictions


def write_split(folder: RunFolder, predictions: Predictions, task: Task, split: Split) -> None:
    """Write the predictions of the items of a split."""
    file, names = folder.predictions_of(split), task.items(split)
    write_predictions(file, *predictions.in_order(), names, task.classes)
