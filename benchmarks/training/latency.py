"""Latency of a network or baseline for a single sequence."""

from __future__ import annotations

import time

import torch

from benchmarks.system.timer import synchronise
from benchmarks.training.evaluation import Predictor, predict, set_eval_mode
from tasks.base import Task

WARM_UP_SEQUENCES = 10
TIMED_SEQUENCES = 100


@torch.inference_mode()
def latencies_ms(network: Predictor, task: Task, device: torch.device) -> list[float]:
    """Return the milliseconds from a sequence on the device to its output, for each sequence.

    The validation sequences are computed one at a time, in eval mode, after a warm-up.
    """
    set_eval_mode(network)
    elapsed = []
    for batch in task.single_sequences(WARM_UP_SEQUENCES + TIMED_SEQUENCES):
        synchronise(device)
        started = time.perf_counter()
        predict(network, "validation", batch, None)
        synchronise(device)
        elapsed.append(1e3 * (time.perf_counter() - started))
    return elapsed[WARM_UP_SEQUENCES:]
