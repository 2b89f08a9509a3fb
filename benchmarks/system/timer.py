"""What time means here: one stopwatch, synchronised with the device it times."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager

import torch


def synchronise(device: torch.device) -> None:
    """Wait until the device has done what it was given; a CPU always has."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    elif device.type == "mps":
        torch.mps.synchronize()


class Stopwatch:
    """Adds up the seconds spent inside its `running` blocks.

    An accelerator works on after a call has returned, so the device is waited for at both ends of
    a block: work given before it is not counted, work given inside it is.
    """

    def __init__(self, device: torch.device) -> None:
        self.device = device
        self._finished = 0.0
        self._started: float | None = None

    @property
    def seconds(self) -> float:
        """Seconds so far; inside a block without waiting for the device."""
        if self._started is None:
            return self._finished
        return self._finished + time.perf_counter() - self._started

    def start_from(self, seconds: float) -> None:
        """Count on from what an earlier process has counted."""
        self._finished = seconds

    @contextmanager
    def running(self) -> Iterator[None]:
        """Count the seconds of a block, also of one that is left by an exception."""
        synchronise(self.device)
        self._started = time.perf_counter()
        try:
            yield
        finally:
            synchronise(self.device)
            self._stop()

    @contextmanager
    def paused(self) -> Iterator[None]:
        """Leave a part of a running block uncounted."""
        synchronise(self.device)
        self._stop()
        try:
            yield
        finally:
            synchronise(self.device)
            self._started = time.perf_counter()

    def _stop(self) -> None:
        assert self._started is not None
        self._finished += time.perf_counter() - self._started
        self._started = None
