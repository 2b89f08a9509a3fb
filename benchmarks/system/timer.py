"""A timer that is synchronised with the device."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager

import torch

from benchmarks.system.energy import EnergyMeter


def synchronise(device: torch.device) -> None:
    """Wait until the device has finished its work; a no-op on a CPU."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    elif device.type == "mps":
        torch.mps.synchronize()


class Timer:
    """Sums the seconds of `running` blocks, at whose ends the device is synchronised.

    Args:
        device: to synchronise.
        meter: whose joules are summed as well.
    """

    def __init__(self, device: torch.device, meter: EnergyMeter | None = None) -> None:
        self.device = device
        self.joules: float | None = 0.0  # of finished blocks; None if they are unknown
        self._meter = meter
        self._finished = 0.0
        self._started: float | None = None

    @property
    def seconds(self) -> float:
        """Seconds so far, without synchronising the device."""
        if self._started is None:
            return self._finished
        return self._finished + time.perf_counter() - self._started

    def start_from(self, seconds: float, joules: float | None = None) -> None:
        """Start from the seconds and joules of an earlier process."""
        self._finished, self.joules = seconds, joules

    @contextmanager
    def running(self) -> Iterator[None]:
        """Count the seconds of a block, also if it raises."""
        self._start()
        try:
            yield
        finally:
            synchronise(self.device)
            self._stop()

    @contextmanager
    def paused(self) -> Iterator[None]:
        """Exclude a part of a running block."""
        synchronise(self.device)
        self._stop()
        try:
            yield
        finally:
            self._start()

    def _start(self) -> None:
        synchronise(self.device)
        self._joules_before = self._meter.joules() if self._meter else None
        self._started = time.perf_counter()

    def _stop(self) -> None:
        assert self._started is not None
        self._finished += time.perf_counter() - self._started
        self._started = None
        now = self._meter.joules() if self._meter else None
        if self.joules is None or now is None or self._joules_before is None:
            self.joules = None
        else:
            self.joules += now - self._joules_before
