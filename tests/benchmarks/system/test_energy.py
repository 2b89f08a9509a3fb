"""Energy counters, of files and a library that stand in for those of a machine."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch

from benchmarks.system.energy import EnergyMeter
from benchmarks.system.timer import Timer

CPU, CUDA = torch.device("cpu"), torch.device("cuda", 0)
LIMIT = 1_000_000


def package(powercap: Path, name: str, microjoules: int, kind: str = "package-0") -> Path:
    folder = powercap / name
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "name").write_text(f"{kind}\n")
    (folder / "max_energy_range_uj").write_text(f"{LIMIT}\n")
    (folder / "energy_uj").write_text(f"{microjoules}\n")
    return folder


DOMAINS = {
    "intel-rapl:0": "package-0",
    "intel-rapl:1": "package-1",
    "intel-rapl:0:0": "core",
    "intel-rapl:2": "psys",
}


def test_only_packages_are_summed(tmp_path: Path) -> None:
    for name, kind in DOMAINS.items():
        package(tmp_path, name, 100, kind)
    meter = EnergyMeter(CPU, tmp_path)
    start = meter.joules()
    for name, kind in DOMAINS.items():
        package(tmp_path, name, 250_100, kind)
    assert start == 0.0
    assert meter.joules() == pytest.approx(0.5)


def test_a_counter_restarts_at_its_limit(tmp_path: Path) -> None:
    package(tmp_path, "intel-rapl:0", LIMIT - 5)
    meter = EnergyMeter(CPU, tmp_path)
    package(tmp_path, "intel-rapl:0", 10)
    assert meter.joules() == pytest.approx(16e-6)


def test_without_counters_or_permission_nothing_is_known(tmp_path: Path) -> None:
    assert EnergyMeter(CPU, tmp_path).joules() is None
    (package(tmp_path, "intel-rapl:0", 1) / "energy_uj").unlink()
    assert EnergyMeter(CPU, tmp_path).joules() is None


class NVMLError(Exception):
    pass


def nvml(millijoules: Iterator[int] | None) -> Any:
    def total(handle: str) -> int:
        assert handle == "GPU-1234"
        if millijoules is None:
            raise NVMLError
        return next(millijoules)

    return SimpleNamespace(
        NVMLError=NVMLError,
        nvmlInit=lambda: None,
        nvmlDeviceGetHandleByUUID=lambda uuid: uuid,
        nvmlDeviceGetTotalEnergyConsumption=total,
    )


def test_a_cuda_device_is_added(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pynvml", nvml(iter([0, 5_000])))
    properties = SimpleNamespace(uuid="1234")
    monkeypatch.setattr(torch.cuda, "get_device_properties", lambda device: properties)
    package(tmp_path, "intel-rapl:0", 0)
    meter = EnergyMeter(CUDA, tmp_path)
    package(tmp_path, "intel-rapl:0", 500_000)
    assert meter.joules() == pytest.approx(5.5)


def test_a_cuda_device_without_a_counter_is_not_left_out_silently(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "pynvml", nvml(None))
    properties = SimpleNamespace(uuid="1234")
    monkeypatch.setattr(torch.cuda, "get_device_properties", lambda device: properties)
    package(tmp_path, "intel-rapl:0", 0)
    assert EnergyMeter(CUDA, tmp_path).joules() is None


def test_a_timer_counts_the_joules_of_its_blocks(tmp_path: Path) -> None:
    package(tmp_path, "intel-rapl:0", 0)
    timer = Timer(CPU, EnergyMeter(CPU, tmp_path))
    timer.start_from(1.0, joules=2.0)
    with timer.running():
        package(tmp_path, "intel-rapl:0", 100_000)
        with timer.paused():
            package(tmp_path, "intel-rapl:0", 400_000)
        package(tmp_path, "intel-rapl:0", 600_000)
    package(tmp_path, "intel-rapl:0", 900_000)
    assert timer.joules == pytest.approx(2.3)
    timer.start_from(1.0, joules=None)  # an earlier process had no counters
    with timer.running():
        pass
    assert timer.joules is None
