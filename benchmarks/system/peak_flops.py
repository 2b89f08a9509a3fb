"""Peak rate of a device's matrix products, the denominator of a training's utilisation.

Each combination of conditions has a file to which measurements are appended; the peak is the
highest. Concurrent processes therefore lose no record, and a measurement on a busy machine is
superseded by a later one.
"""

from __future__ import annotations

import contextlib
import dataclasses
import json
import logging
import math
import os
import time
from dataclasses import dataclass
from pathlib import Path

import torch

from benchmarks.system.hashing import short_hash
from benchmarks.system.load import is_busy, load_average
from benchmarks.system.timer import synchronise

logger = logging.getLogger(__name__)

REMEASURE_SECONDS = 3600.0
CPU_SIZES = (256, 1024)  # rows and columns of the products; caches decide which is faster
ACCELERATOR_SIZES = (1024, 4096)
MIN_REPEATS, MIN_SECONDS = 3, 0.05
MAX_PRODUCT_SECONDS = 0.1  # larger products are skipped, as with emulated bfloat16
PRODUCTS_PER_SYNC = 4  # on an accelerator


@dataclass(frozen=True)
class Conditions:
    """Everything that the peak depends on."""

    device: str
    device_name: str
    dtype: str
    precision: str
    threads: int
    torch_version: str
    cores: int


def conditions(device: torch.device, device_name: str, dtype: str, precision: str) -> Conditions:
    """Return the conditions of a measurement in this process."""
    has_affinity = hasattr(os, "sched_getaffinity")
    return Conditions(
        device=device.type,
        device_name=device_name,
        dtype=dtype,
        precision=precision,
        threads=torch.get_num_threads(),
        torch_version=torch.__version__,
        cores=len(os.sched_getaffinity(0)) if has_affinity else os.cpu_count() or 1,
    )


def peak_gflops(directory: Path, device: torch.device, under: Conditions) -> float | None:
    """Return the peak in 10⁹ operations per second, measured if the record is missing or old.

    A measurement on a busy machine is not recorded. None if the device cannot be measured.
    """
    file = directory / "peaks" / f"{short_hash(dataclasses.asdict(under))}.jsonl"
    cached = recorded(file)
    if cached is not None and is_recent(file):
        return cached
    quiet = not is_busy(load_average(), under.threads, under.device)
    if cached is not None and not quiet:
        return cached
    # Under autocast the products are computed in bfloat16.
    dtype = torch.bfloat16 if under.precision == "bfloat16" else getattr(torch, under.dtype)
    measured = measure(device, dtype)
    if measured is None:
        return cached
    if quiet:
        record(file, measured, under, is_higher=cached is None or measured > cached)
    return max(measured, cached or 0.0)


def recorded(file: Path) -> float | None:
    """Return the highest record in a file; damaged lines are skipped."""
    try:
        lines = file.read_bytes().splitlines()
    except OSError:
        return None
    found = []
    for line in lines:
        with contextlib.suppress(ValueError, LookupError, TypeError):
            value = float(json.loads(line)["gflops"])
            if math.isfinite(value) and value > 0:
                found.append(value)
    return max(found, default=None)


def is_recent(file: Path) -> bool:
    """Return True if a file was written recently; a future time means a clock that was set back."""
    try:
        return abs(time.time() - file.stat().st_mtime) < REMEASURE_SECONDS
    except OSError:
        return False


def record(file: Path, gflops: float, under: Conditions, is_higher: bool) -> None:
    """Append a record, or only renew the file's time; a disk error does not fail the run."""
    line = json.dumps({"gflops": gflops} | dataclasses.asdict(under))
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        if not is_higher:
            os.utime(file)
            return
        with file.open("ab") as opened:  # a single write is atomic
            opened.write(f"\n{line}\n".encode())  # ends a truncated line first
    except OSError as error:
        logger.info("cannot record the peak of matrix products in %s (%s)", file, error.strerror)


@torch.inference_mode()
def measure(device: torch.device, dtype: torch.dtype) -> float | None:
    """Time square products and return the highest rate, without use of a run's random streams."""
    highest = 0.0
    try:
        for size in CPU_SIZES if device.type == "cpu" else ACCELERATOR_SIZES:
            if highest and 2 * size**3 > highest * 1e9 * MAX_PRODUCT_SECONDS:
                break
            highest = max(highest, rate_of(size, device, dtype))
    except RuntimeError:
        return highest or None
    return highest


def rate_of(size: int, device: torch.device, dtype: torch.dtype) -> float:
    """Return the rate of the fastest products of one size, in 10⁹ operations per second."""
    generator = torch.Generator(device).manual_seed(0)
    one, other = (
        torch.rand(size, size, generator=generator, device=device).to(dtype) for _ in range(2)
    )
    product = torch.mm(one, other)  # warm-up: threads, libraries, memory
    count = 1 if device.type == "cpu" else PRODUCTS_PER_SYNC
    shortest, times = math.inf, 0
    began = time.perf_counter()
    while times < MIN_REPEATS or time.perf_counter() - began < MIN_SECONDS:
        synchronise(device)
        started = time.perf_counter()
        for _ in range(count):
            torch.mm(one, other, out=product)
        synchronise(device)
        shortest = min(shortest, time.perf_counter() - started)
        times += 1
    return count * 2 * size**3 / shortest / 1e9
