"""The fastest matrix products a device was seen to make, which a training's speed is set against.

Every measurement that sets a new record is a line of a file in the user's cache directory, one file
for everything the rate depends on; the peak is the highest of its lines. So processes that measure
at once cannot lose one another's records, a line cut short harms no other, and a minute in which
the machine was busy is outdone by the next quiet one.
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

AGAIN_SECONDS = 3600.0
"""How long a record stands before the device is given another chance to beat it."""

CPU_SIZES = (256, 1024)
ACCELERATOR_SIZES = (1024, 4096)
"""Rows and columns of the products. A device may be fastest at either, as caches have it."""

LEAST_TIMES, LEAST_SECONDS = 3, 0.05
"""How often, and for how long, products of one size are timed."""

LONGEST_SECONDS = 0.1
"""What one product may take: where it would take longer, as emulated bfloat16 may, smaller must do.
"""

IN_A_ROW = 4
"""Products that an accelerator is given before it is waited for, so that waiting costs little."""


@dataclass(frozen=True)
class Conditions:
    """All that the peak is known to depend on."""

    device: str
    device_name: str
    dtype: str
    precision: str
    threads: int
    torch_version: str
    cores: int


def conditions(device: torch.device, device_name: str, dtype: str, precision: str) -> Conditions:
    """Say what this process measures under; the name is that of the row."""
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
    """Return the peak in 10⁹ operations a second, measuring it where it is not known of late.

    What is measured while the machine is busy is not kept.

    Args:
        directory: of the cache.
        device: to measure.
        under: what the peak is looked up by.

    Returns:
        None where the device gives no answer.
    """
    file = directory / "peaks" / f"{short_hash(dataclasses.asdict(under))}.jsonl"
    known = recorded(file)
    if known is not None and is_recent(file):
        return known
    quiet = not is_busy(load_average(), under.threads)
    if known is not None and not quiet:
        return known
    measured = measure(device, product_dtype(under))
    if measured is None:
        return known
    if quiet:
        record(file, measured, under, is_higher=known is None or measured > known)
    return max(measured, known or 0.0)


def product_dtype(under: Conditions) -> torch.dtype:
    """What the products that count are of: autocast makes them bfloat16."""
    found = torch.bfloat16 if under.precision == "bfloat16" else getattr(torch, under.dtype)
    assert isinstance(found, torch.dtype)
    return found


def recorded(file: Path) -> float | None:
    """The highest of the records in a file; a line that is damaged says nothing."""
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
    """Whether the device was measured of late; a time to come is a clock that was set back."""
    try:
        return abs(time.time() - file.stat().st_mtime) < AGAIN_SECONDS
    except OSError:
        return False


def record(file: Path, gflops: float, under: Conditions, is_higher: bool) -> None:
    """Add a record, or note that there was none to add.

    A file that cannot be written costs the time of measuring again, not the run.
    """
    line = json.dumps({"gflops": gflops} | dataclasses.asdict(under))
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        if not is_higher:
            os.utime(file)
            return
        with file.open("ab") as opened:  # one write, after whatever others have written
            opened.write(f"\n{line}\n".encode())  # the first newline ends a line cut short
    except OSError as error:
        logger.info("cannot record the peak of matrix products in %s (%s)", file, error.strerror)


@torch.inference_mode()
def measure(device: torch.device, dtype: torch.dtype) -> float | None:
    """Time square products and return the highest rate, in 10⁹ operations a second.

    Nothing is drawn from the streams of chance that a run uses.

    Returns:
        None where the device has no such product, or no memory left for it.
    """
    highest = 0.0
    try:
        for size in CPU_SIZES if device.type == "cpu" else ACCELERATOR_SIZES:
            if highest and 2 * size**3 > highest * 1e9 * LONGEST_SECONDS:
                break
            highest = max(highest, rate_of(size, device, dtype))
    except RuntimeError:
        return highest or None
    return highest


def rate_of(size: int, device: torch.device, dtype: torch.dtype) -> float:
    """10⁹ operations a second of the fastest products of one size."""
    chance = torch.Generator(device).manual_seed(0)
    one, other = (
        torch.rand(size, size, generator=chance, device=device).to(dtype) for _ in range(2)
    )
    product = torch.mm(one, other)  # starts threads, loads libraries, takes memory
    count = 1 if device.type == "cpu" else IN_A_ROW
    shortest, times = math.inf, 0
    begun = time.perf_counter()
    while times < LEAST_TIMES or time.perf_counter() - begun < LEAST_SECONDS:
        synchronise(device)
        started = time.perf_counter()
        for _ in range(count):
            torch.mm(one, other, out=product)
        synchronise(device)
        shortest = min(shortest, time.perf_counter() - started)
        times += 1
    return count * 2 * size**3 / shortest / 1e9
