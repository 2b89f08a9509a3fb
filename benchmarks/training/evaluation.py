"""Metrics of a network or baseline on a split."""

from __future__ import annotations

import itertools
import math

import torch
from torch import Tensor, nn

from benchmarks.training.predictions import Predictions
from tasks.base import Batch, FittedBaseline, Split, Task

Predictor = nn.Module | FittedBaseline


class NotFiniteError(ArithmeticError):
    """A loss or a score is NaN or infinite: the run has diverged."""


@torch.inference_mode()
def evaluate(
    network: Predictor,
    task: Task,
    split: Split,
    batch_size: int,
    max_batches: int | None = None,
    predictions: Predictions | None = None,
) -> dict[str, float]:
    """Compute a split's metrics from sums over all of it.

    The sums stay on the device until the end, so that nothing waits within.

    Args:
        network: what predicts, a net or a fitted baseline.
        task: on the device already.
        split: to go through.
        batch_size: changes no number.
        max_batches: null for the whole split.
        predictions: filled with what was predicted for each item, if given.

    Raises:
        NotFiniteError: the loss is NaN or infinite.
    """
    prepare(network)
    totals: dict[str, Tensor] = {}
    state = None
    for batch in itertools.islice(task.batches(split, batch_size), max_batches):
        outputs, state = predict(network, split, batch, state if batch.continues else None)
        if predictions is not None:
            predictions.add(batch.items, task.predictions(outputs, batch))
        for name, value in task.sums(outputs, batch).items():
            exact = value if value.device.type == "mps" else value.double()
            totals[name] = totals[name] + exact if name in totals else exact
    sums = {name: float(total) for name, total in totals.items()}
    if not all(map(math.isfinite, sums.values())):
        raise NotFiniteError(f"the {split} loss is not finite")
    metrics = task.metrics(sums)
    if not all(map(math.isfinite, metrics.values())):
        raise NotFiniteError(f"the {split} metrics are not finite")
    return metrics


def prepare(network: Predictor) -> None:
    """Turn off what only training does."""
    if isinstance(network, nn.Module):
        network.eval()


def predict(network: Predictor, split: Split, batch: Batch, state: object) -> tuple[Tensor, object]:
    """Return outputs for a batch, and the state to go on from."""
    if isinstance(network, FittedBaseline):
        return network.outputs(split, batch.items), None
    outputs, state = network(batch.inputs, batch.lengths, state)
    return outputs, state
