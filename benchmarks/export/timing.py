"""Latency and throughput of networks that answer the same sequences."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import nn

from benchmarks.export.signature import real_batches
from benchmarks.system.timer import synchronise
from tasks.base import Batch, Task

BATCH_SIZES = (1, 8, 64, 512)
DIFFERENT_SEQUENCES = 64
"""That are timed at least, in batches that are smaller than that."""

TURNS = 3
FEWEST_CALLS = 2
"""In a turn."""


@dataclass(frozen=True)
class Speed:
    """How fast one network was at one batch size.

    Attributes:
        calls: that were timed.
        p50_ms, p95_ms: of a call, of one batch that is.
        sequences_per_second, tokens_per_second: valid steps alone; by the median of the calls of
            each batch, which what else the machine does disturbs least.
    """

    calls: int
    p50_ms: float
    p95_ms: float
    sequences_per_second: float
    tokens_per_second: float


def times_as_fast(ours: Speed, theirs: Speed, batch_size: int) -> float:
    """How often one network's speed another has: of one sequence by p50, of more by throughput."""
    return (by_p50 if batch_size == 1 else by_throughput)(ours, theirs)


def by_p50(ours: Speed, theirs: Speed) -> float:
    """How often the first latency goes into the second: that of the usual sequence."""
    return theirs.p50_ms / ours.p50_ms


def by_throughput(ours: Speed, theirs: Speed) -> float:
    """How often the second throughput goes into the first: long sequences count for more."""
    return ours.sequences_per_second / theirs.sequences_per_second


@torch.inference_mode()
def speeds(
    networks: Mapping[str, nn.Module],
    task: Task,
    batch_size: int,
    seconds: float,
    device: torch.device,
) -> dict[str, Speed]:
    """Time networks on the same batches of real sequences.

    They take turns, for some calls each: what disturbs the machine disturbs all of them, and the
    threads of one runtime have gone to sleep before another is timed.

    Args:
        networks: by name.
        task: on the device.
        batch_size: sequences per call.
        seconds: of each network, in all, about.
        device: that is waited for at both ends of a call.
    """
    batches = real_batches(task, batch_size, max(1, DIFFERENT_SEQUENCES // batch_size))
    passes: dict[str, list[list[float]]] = {name: [] for name in networks}
    for _ in range(TURNS):
        for name, network in networks.items():
            passes[name] += turn(network.eval(), batches, seconds / TURNS, device)
    return {name: speed_of(np.array(times), batches) for name, times in passes.items()}


def turn(
    network: nn.Module, batches: Sequence[Batch], seconds: float, device: torch.device
) -> list[list[float]]:
    """Go through the batches for so long, after one call that is not counted.

    Returns:
        For each time they were gone through, the seconds of each call.
    """
    network(batches[0].inputs, batches[0].lengths, None)
    passes: list[list[float]] = []
    began = time.perf_counter()
    while len(passes) * len(batches) < FEWEST_CALLS or time.perf_counter() - began < seconds:
        times = []
        for batch in batches:
            synchronise(device)
            started = time.perf_counter()
            network(batch.inputs, batch.lengths, None)
            synchronise(device)
            times.append(time.perf_counter() - started)
        passes.append(times)
    return passes


def speed_of(times: np.ndarray[Any, Any], batches: Sequence[Batch]) -> Speed:
    """Sum up the calls (passes, batches) of one network, in seconds."""
    p50, p95 = np.percentile(times, [50, 95]).tolist()
    usual = float(np.median(times, axis=0).sum())
    return Speed(
        times.size,
        1e3 * p50,
        1e3 * p95,
        sum(batch.inputs.shape[0] for batch in batches) / usual,
        sum(batch.tokens for batch in batches) / usual,
    )
