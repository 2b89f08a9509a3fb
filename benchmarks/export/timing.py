"""Latency and throughput of networks on the same sequences."""

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
DIFFERENT_SEQUENCES = 64  # at least, in as many batches as needed
TURNS = 3
FEWEST_CALLS = 2  # in a turn


@dataclass(frozen=True)
class Speed:
    """Latency of a batch and throughput in valid steps, by the median call of each batch."""

    calls: int
    latency_ms_p50: float
    latency_ms_p95: float
    sequences_per_second: float
    tokens_per_second: float


def speedup(ours: Speed, theirs: Speed, batch_size: int) -> float:
    """Return the ratio of speeds: by median latency at batch 1, by throughput above."""
    if batch_size == 1:
        return theirs.latency_ms_p50 / ours.latency_ms_p50
    return ours.sequences_per_second / theirs.sequences_per_second


@torch.inference_mode()
def speeds(
    networks: Mapping[str, nn.Module],
    task: Task,
    batch_size: int,
    seconds: float,
    device: torch.device,
) -> dict[str, Speed]:
    """Time networks in turns on the same batches of validation sequences for `seconds` each."""
    batches = real_batches(task, batch_size, max(1, DIFFERENT_SEQUENCES // batch_size))
    passes: dict[str, list[list[float]]] = {name: [] for name in networks}
    for _ in range(TURNS):
        for name, network in networks.items():
            passes[name] += time_passes(network.eval(), batches, seconds / TURNS, device)
    return {name: speed_of(np.array(times), batches) for name, times in passes.items()}


def time_passes(
    network: nn.Module, batches: Sequence[Batch], seconds: float, device: torch.device
) -> list[list[float]]:
    """Return the seconds of each call, by pass over the batches, after an uncounted call."""
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
    """Summarise the seconds of calls (passes, batches) of one network."""
    p50, p95 = np.percentile(times, [50, 95]).tolist()
    typical = float(np.median(times, axis=0).sum())
    return Speed(
        times.size,
        1e3 * p50,
        1e3 * p95,
        sum(batch.inputs.shape[0] for batch in batches) / typical,
        sum(batch.tokens for batch in batches) / typical,
    )
