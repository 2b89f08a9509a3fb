"""Scoring a network on a split, and the time it takes to answer one sequence."""

from __future__ import annotations

import itertools
import math
import time

import torch
from torch import nn

from benchmarks.clocks import synchronise
from tasks.base import Split, Task

WARM_UP_SEQUENCES = 10
TIMED_SEQUENCES = 200


class NotFiniteError(ArithmeticError):
    """A loss or a score is NaN or infinite: the run has diverged."""


@torch.inference_mode()
def evaluate(
    network: nn.Module, task: Task, split: Split, batch_size: int, max_batches: int | None = None
) -> dict[str, float]:
    """Compute a split's metrics from sums over all of it.

    The sums stay on the device until the end, so that nothing waits within.

    Raises:
        NotFiniteError: the loss is NaN or infinite.
    """
    network.eval()
    totals: dict[str, torch.Tensor] = {}
    state = None
    for batch in itertools.islice(task.batches(split, batch_size), max_batches):
        outputs, state = network(batch.inputs, batch.lengths, state if batch.continues else None)
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


@torch.inference_mode()
def latencies_ms(network: nn.Module, task: Task, device: torch.device) -> list[float]:
    """Milliseconds from a sequence on the device to its output, one sequence at a time.

    A pass of its own over validation sequences in eval mode, after some that are not counted.
    """
    network.eval()
    elapsed = []
    for batch in task.single_sequences(WARM_UP_SEQUENCES + TIMED_SEQUENCES):
        synchronise(device)
        started = time.perf_counter()
        network(batch.inputs, batch.lengths, None)
        synchronise(device)
        elapsed.append(1e3 * (time.perf_counter() - started))
    return elapsed[WARM_UP_SEQUENCES:]
