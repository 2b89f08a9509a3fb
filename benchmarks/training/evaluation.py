"""Metrics of a network or baseline on a split."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterable, Iterator
from typing import Any

import torch
from torch import Tensor, nn

from benchmarks.training.predictions import Predictions
from tasks.base import Batch, FittedBaseline, Split, Task, exact_dtype

Predictor = nn.Module | FittedBaseline


class NotFiniteError(ArithmeticError):
    """A loss or a metric is NaN or infinite: the run has diverged."""


@torch.inference_mode()
def evaluate(
    network: Predictor,
    task: Task,
    split: Split,
    batch_size: int,
    max_batches: int | None = None,
    predictions: Predictions | None = None,
) -> dict[str, float]:
    """Compute the metrics of a split.

    Args:
        network: a network or a fitted baseline; a `ModuleList` has a network for each refit.
        task: already on the device.
        split: the split to evaluate.
        batch_size: does not affect the result.
        max_batches: None for the whole split.
        predictions: if given, receives the predictions for each item.

    Raises:
        NotFiniteError: a sum or a metric is NaN or infinite.
    """
    set_eval_mode(network)
    batches = itertools.islice(task.batches(split, batch_size), max_batches)
    return metrics_of(predicted_batches(network, split, batches), task, split, predictions)


def metrics_of(
    predicted: Iterable[tuple[Tensor, Batch]],
    task: Task,
    split: Split,
    predictions: Predictions | None = None,
) -> dict[str, float]:
    """Compute the metrics of a split from the outputs of all its batches; see `evaluate`.

    Sums stay on the device until the end, so the loop does not synchronise with it.
    """
    totals: dict[str, Tensor] = {}
    parts: dict[str, list[Tensor]] = {}
    for outputs, batch in predicted:
        if predictions is not None:
            predictions.add(batch.items, task.predictions(outputs, batch))
        for name, value in task.sums(outputs, batch).items():
            if value.dim():
                parts.setdefault(name, []).append(value)
                continue
            exact = value.to(exact_dtype(value.device))
            totals[name] = totals[name] + exact if name in totals else exact
    sums: dict[str, Any] = {name: float(total) for name, total in totals.items()}
    sums |= {name: torch.cat(each).cpu() for name, each in parts.items()}
    if not all(torch.as_tensor(value).isfinite().all() for value in sums.values()):
        raise NotFiniteError(f"the {split} loss is not finite")
    metrics = task.metrics(sums)
    if not all(map(math.isfinite, metrics.values())):
        raise NotFiniteError(f"the {split} metrics are not finite")
    return metrics


def set_eval_mode(network: Predictor) -> None:
    """Disable training behaviour such as dropout."""
    if isinstance(network, nn.Module):
        network.eval()


def predicted_batches(
    network: Predictor, split: Split, batches: Iterable[Batch]
) -> Iterator[tuple[Tensor, Batch]]:
    """Yield the outputs for each batch, with the state carried where a batch continues."""
    state = None
    for batch in batches:
        outputs, state = predict(network, split, batch, state if batch.continues else None)
        yield outputs, batch


def predict(network: Predictor, split: Split, batch: Batch, state: object) -> tuple[Tensor, object]:
    """Return the outputs for a batch and the next recurrent state."""
    if isinstance(network, FittedBaseline):
        return network.outputs(split, batch.items), None
    if isinstance(network, nn.ModuleList):
        network = network[batch.refit]
    outputs, state = network(batch.inputs, batch.lengths, state)
    return outputs, state
