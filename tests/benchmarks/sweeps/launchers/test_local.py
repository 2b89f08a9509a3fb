"""The local launcher's places: GPUs, cores, threads, and how a termination is expected."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch

import benchmarks.sweeps.launchers.local
from benchmarks.config.launchers import LocalSettings
from benchmarks.results.index import Index
from benchmarks.results.store import Store
from benchmarks.sweeps.directory import SweepDirectory
from benchmarks.sweeps.launchers.base import SweepContext
from benchmarks.sweeps.launchers.local import LocalLauncher, termination_of, visible_gpus
from tests.helpers.paths import ROOT


def launcher(folder: Path, settings: LocalSettings, cells: int = 100) -> LocalLauncher:
    store = Store(folder)
    context = SweepContext(store, Index(folder, repair=True), SweepDirectory(folder / "s"), ROOT)
    return LocalLauncher(settings, context, cells)


@pytest.fixture
def _two_gpus(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(benchmarks.sweeps.launchers.local, "visible_gpus", lambda: ["3", "5"])
    monkeypatch.setattr(benchmarks.sweeps.launchers.local, "available_cores", lambda: 16)


@pytest.fixture
def _no_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(benchmarks.sweeps.launchers.local, "visible_gpus", list)
    monkeypatch.setattr(benchmarks.sweeps.launchers.local, "available_cores", lambda: 16)


@pytest.mark.usefixtures("_two_gpus")
@pytest.mark.parametrize(
    ("settings", "gpus"),
    [
        (LocalSettings(), ["3", "5"]),
        (LocalSettings(jobs_per_gpu=2), ["3", "5", "3", "5"]),
        (LocalSettings(jobs=3), ["3", "5", "3"]),
        (LocalSettings(jobs=1), ["3"]),
    ],
)
def test_each_process_has_one_gpu_in_turn(
    settings: LocalSettings, gpus: list[str], tmp_path: Path
) -> None:
    made = launcher(tmp_path, settings)
    assert [slot.gpu for slot in made.slots] == gpus
    assert made.free_slots() == len(gpus)
    assert made.threads == 16 // len(gpus)


@pytest.mark.usefixtures("_no_gpu")
@pytest.mark.parametrize(
    ("jobs", "cells", "slots", "threads"),
    [(None, 100, 16, 1), (4, 100, 4, 4), (3, 100, 3, 5), (64, 100, 64, 1), (8, 2, 2, 8)],
)
def test_cores_are_divided_among_slots(
    jobs: int | None, cells: int, slots: int, threads: int, tmp_path: Path
) -> None:
    made = launcher(tmp_path, LocalSettings(jobs=jobs), cells)
    assert [slot.gpu for slot in made.slots] == [None] * slots
    assert made.threads == threads


@pytest.mark.usefixtures("_no_gpu")
def test_the_environment_of_this_process_is_unchanged(tmp_path: Path) -> None:
    before = dict(os.environ)
    launcher(tmp_path, LocalSettings(jobs=1))
    assert dict(os.environ) == before


@pytest.mark.parametrize(
    ("named", "count", "gpus"),
    [
        (None, 2, ["0", "1"]),
        ("2,7", 2, ["2", "7"]),
        ("GPU-5a1,GPU-77b", 2, ["GPU-5a1", "GPU-77b"]),
        ("", 0, []),
        (None, 0, []),
    ],
)
def test_only_visible_devices_are_assigned(
    named: str | None, count: int, gpus: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch.cuda, "device_count", lambda: count)
    if named is None:
        monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    else:
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", named)
    assert visible_gpus() == gpus


def test_a_child_sees_only_its_gpu_and_writes_to_its_log(tmp_path: Path) -> None:
    program = (
        "import multiprocessing, os, sys; from pathlib import Path\n"
        "import benchmarks.sweeps.launchers.local as local\n"
        "local.run_cells = lambda *given: print('sees', os.environ['CUDA_VISIBLE_DEVICES'])\n"
        "receiver, sender = multiprocessing.Pipe(duplex=False)\n"
        "log = Path(sys.argv[1])\n"
        "local.child_main(None, log.parent, None, log, 'GPU-77b', sender)\n"
        "os.write(2, b'also here')\n"
    )
    log = tmp_path / "log"
    answer = subprocess.run(
        [sys.executable, "-c", program, str(log)], capture_output=True, text=True, cwd=ROOT
    )
    assert answer.returncode == 0, answer.stderr
    assert answer.stdout == answer.stderr == ""
    assert log.read_text() == "sees GPU-77b\nalso here"


@pytest.mark.parametrize(
    ("code", "status", "expected"),
    [
        (-9, "interrupted", "SIGKILL; on Linux often because memory ran out"),
        (-15, "interrupted", "SIGTERM"),
        (-11, "failed", "SIGSEGV"),
        (-6, "failed", "SIGABRT"),
        (3, "failed", "exit code 3"),
        (0, "failed", "exit code 0"),
    ],
)
def test_externally_terminated_runs_are_resumable(code: int, status: str, expected: str) -> None:
    termination = termination_of(code)
    assert termination.status == status
    assert expected in termination.text
