"""Energy counters of processors (RAPL) and of NVIDIA devices (NVML), where they can be read."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import torch

POWERCAP = Path("/sys/class/powercap")  # of the Linux kernel
DOMAINS = "intel-rapl:*"  # of AMD too

Counter = Callable[[], float]
"""Returns joules since some moment."""


class EnergyMeter:
    """Sums the counters of the machine: everything that it computes is part of them."""

    def __init__(self, device: torch.device, powercap: Path = POWERCAP) -> None:
        packages = [rapl_counter(folder) for folder in sorted(powercap.glob(DOMAINS))]
        accelerator = nvml_counter(device) if device.type == "cuda" else None
        is_complete = accelerator is not None or device.type == "cpu"
        found = [counter for counter in [*packages, accelerator] if counter is not None]
        self.counters = found if is_complete else []

    def joules(self) -> float | None:
        """Return the joules since some moment; None if a counter of the device is missing."""
        return sum(counter() for counter in self.counters) if self.counters else None


def rapl_counter(folder: Path) -> Counter | None:
    """Return the counter of a processor package; None without permission.

    None as well for other domains: parts of a package, and `psys`, which contains the packages.
    """
    file = folder / "energy_uj"
    try:
        if not (folder / "name").read_text().startswith("package"):
            return None
        limit = int((folder / "max_energy_range_uj").read_text())
        last = int(file.read_text())
    except (OSError, ValueError):
        return None
    total = 0

    def joules() -> float:
        nonlocal last, total
        now = int(file.read_text())
        # The counter restarts at 0 beyond its limit, after about an hour at full power.
        total += now - last if now >= last else now + limit + 1 - last
        last = now
        return total / 1e6

    return joules


def nvml_counter(device: torch.device) -> Counter | None:
    """Return the counter of a CUDA device; None without nvidia-ml-py, or on older devices."""
    try:
        import pynvml
    except ImportError:
        return None
    try:
        pynvml.nvmlInit()
        uuid = f"GPU-{torch.cuda.get_device_properties(device).uuid}"
        handle = pynvml.nvmlDeviceGetHandleByUUID(uuid)
        pynvml.nvmlDeviceGetTotalEnergyConsumption(handle)
    except pynvml.NVMLError:
        return None

    def joules() -> float:
        return float(pynvml.nvmlDeviceGetTotalEnergyConsumption(handle)) / 1e3

    return joules
