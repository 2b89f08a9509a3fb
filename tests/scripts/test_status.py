"""Status reports a sweep's progress from another process and writes nothing."""

from __future__ import annotations

import dataclasses
import json
import os
import re
import subprocess
import sys
import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

import benchmarks.sweeps.status
from benchmarks.results.index import Index
from benchmarks.results.leases import Lease, Leases, new_lease
from benchmarks.results.row import Row
from benchmarks.results.store import Store
from benchmarks.sweeps.directory import SweepDirectory
from benchmarks.sweeps.status import IDLE_READS
from benchmarks.system.processes import ProcessIdentity, this_process
from scripts.status import main
from tests.helpers.paths import ROOT

STARTED = "20300101T000000.000000Z"
"""Run ids of this and later are of the sweep; years ahead, so that rows may be written now."""


class Sweep:
    """A sweep directory with cells 0, 1, … whose fingerprints are q0, q1, …"""

    def __init__(
        self,
        results: Path,
        cells: int,
        *command: str,
        total: int | None = None,
        launcher: ProcessIdentity | None = None,
    ) -> None:
        self.store = Store(results)
        self.folder = SweepDirectory(results / "sweeps" / "abcdef")
        (self.folder.path / "logs").mkdir(parents=True)
        records = [
            {
                "number": number,
                "label": f"seed={number}",
                "overrides": [f"seed={number}"],
                "fingerprints": [f"q{number}"],
                "log": f"{number}.log",
            }
            for number in range(cells)
        ]
        self.folder.cells_path.write_text("".join(json.dumps(each) + "\n" for each in records))
        about = {
            "sweep": "abcdef",
            "command": ["seed=0,1", *command],
            "launcher": "local",
            "cells": cells if total is None else total,
            "started": time.time() - 60,
        }
        if launcher is not None:
            about["owner"] = dataclasses.asdict(launcher)
        (self.folder.path / "sweep.json").write_text(json.dumps(about))

    def ended(self, number: int, status: str = "ok", run_id: str = "", **columns: Any) -> None:
        """Write the row of a cell."""
        run_id = run_id or f"{STARTED}-{number}"
        self.store.write_row(Row(run_id, status, fingerprint=f"q{number}", starts=1, **columns))

    def leased(self, number: int, owner: ProcessIdentity, **progress: Any) -> Lease:
        """Acquire the lease of a cell for a process."""
        lease = new_lease(f"q{number}", f"{STARTED}-{number}", {})
        lease = dataclasses.replace(lease, process=owner, progress=progress)
        assert self.store.leases.acquire(lease)
        return lease


@pytest.fixture
def results(tmp_path: Path) -> Path:
    return tmp_path / "results"


def dead() -> ProcessIdentity:
    return dataclasses.replace(this_process(), born="never")


def away() -> ProcessIdentity:
    """A process of another machine."""
    return dataclasses.replace(this_process(), host="elsewhere", pid=1)


def shown(results: Path, capsys: pytest.CaptureFixture[str], *flags: str) -> tuple[int, list[str]]:
    code = main([str(results), *flags])
    return code, capsys.readouterr().out.splitlines()


@pytest.fixture
def one_minute(results: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let status run exactly one minute after the start of the sweep."""

    def now() -> float:
        (about,) = results.glob("sweeps/*/sweep.json")
        return float(json.loads(about.read_text())["started"]) + 60

    clock = SimpleNamespace(**vars(time) | {"time": now})
    monkeypatch.setattr(benchmarks.sweeps.status, "time", clock)


@pytest.mark.usefixtures("one_minute")
def test_every_state_is_counted_and_shown(
    results: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(benchmarks.sweeps.status, "queued_jobs", lambda: {"7_1"})
    sweep = Sweep(results, 9)
    sweep.ended(0, test_score=0.125)
    sweep.ended(1, "failed", error="RuntimeError: what a pity")
    sweep.ended(2, "out_of_memory", error="MemoryError: too large")
    sweep.ended(3, "interrupted", error="KeyboardInterrupt: SIGTERM")
    sweep.leased(4, this_process(), step=30, total_steps=120, epoch=2, score=0.25)
    sweep.leased(5, dead(), step=1, total_steps=120)
    sweep.leased(6, ProcessIdentity(host="", boot="", pid=0, born="", job="7_1"))
    sweep.leased(7, ProcessIdentity(host="", boot="", pid=0, born="", job="7_2"))
    code, lines = shown(results, capsys)
    assert code == 1
    assert re.fullmatch(
        r"sweep abcdef, launcher local, started \d{4}-\d\d-\d\d \d\d:\d\d UTC", lines[0]
    )
    assert re.fullmatch(
        r"3/9 done, 2 failed, 3\.0/min, \d+ \S+ left, 1 running, 1 queued, 1 interrupted, "
        r"3 waiting",
        lines[1],
    )
    table = "\n".join(lines)
    for row in (
        r"seed=0 .* ok .* 0\.125 ",
        r"seed=1 .* failed ",
        r"seed=3 .* interrupted ",
        rf"seed=4 .* running .* 30/120 .* 2 .* 0\.25 .* {re.escape(this_process().host)} .* ago ",
        r"seed=5 .* waiting ",
        r"seed=6 .* queued .* job 7_1 ",
        r"seed=7 .* waiting ",
        r"seed=8 .* waiting ",
    ):
        assert re.search(row, table), row
    error = lines.index("failed: seed=1: RuntimeError: what a pity")
    assert lines[error + 1] == f"  log: {sweep.folder.path / 'logs' / '1.log'}"
    assert "out_of_memory: seed=2: MemoryError: too large" in lines


def test_nothing_is_written(results: Path, capsys: pytest.CaptureFixture[str]) -> None:
    sweep = Sweep(results, 4)
    sweep.ended(0)
    sweep.leased(1, away())
    sweep.leased(2, dead())
    (sweep.store.run("torn").create().row).write_text('{"run_id": "to')

    def everything() -> dict[str, tuple[int, int]]:
        found = sorted(results.rglob("*"))
        return {str(f): (f.stat().st_mtime_ns, f.stat().st_size) for f in [results, *found]}

    before = everything()
    _, lines = shown(results, capsys)
    assert "row.json is damaged and not counted" in lines[0]
    assert "1/4 done" in lines[2]
    assert everything() == before


def test_a_process_of_another_machine_is_alive_while_it_renews_its_lease(
    results: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    sweep = Sweep(results, 2)
    lease = sweep.leased(0, away())
    assert "1 running, 1 waiting" in shown(results, capsys)[1][1]
    long_ago = time.time() - 3600
    os.utime(sweep.store.leases.path(lease.key), (long_ago, long_ago))
    assert "2 waiting" in shown(results, capsys)[1][1]


@pytest.mark.usefixtures("one_minute")
def test_the_rate_counts_cells_of_the_latest_start_while_active(
    results: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    sweep = Sweep(results, 3)
    sweep.ended(0)
    assert shown(results, capsys)[1][1] == "1/3 done, 2 waiting"
    sweep.leased(1, this_process())
    assert re.match(r"1/3 done, 1\.0/min, 2 min left, 1 run", shown(results, capsys)[1][1])
    long_ago = time.time() - 3600
    os.utime(sweep.store.runs / f"{STARTED}-0" / "row.json", (long_ago, long_ago))
    assert shown(results, capsys)[1][1] == "1/3 done, 1 running, 1 waiting"


def test_resume_never_does_not_count_earlier_runs(
    results: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    sweep = Sweep(results, 3, "resume=never")
    sweep.ended(0, run_id="20200101T000000.000000Z-0")
    sweep.ended(1, "failed", run_id="20200101T000000.000000Z-1")
    sweep.ended(2)
    assert shown(results, capsys) == (0, [*shown(results, capsys)[1]])
    assert shown(results, capsys)[1][1] == "1/3 done, 2 waiting"


def test_trials_not_sampled_yet_are_waiting(
    results: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    sweep = Sweep(results, 2, total=20)
    sweep.ended(0)
    with sweep.folder.cells_path.open("a") as file:
        file.write('{"number": 2, "label": "torn')
    assert shown(results, capsys)[1][1] == "1/20 done, 19 waiting"


def test_a_large_sweep_shows_active_and_failed_cells(
    results: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    sweep = Sweep(results, 300)
    for number in range(200):
        sweep.ended(number, "failed" if number < 120 else "ok", error="E: bad")
    sweep.leased(250, this_process(), step=1, total_steps=2)
    code, lines = shown(results, capsys)
    text = "\n".join(lines)
    assert code == 1
    assert "200/300 done, 120 failed" in lines[1]
    assert re.search(r"seed=250 .* running .* 1/2 ", text)
    assert "seed=150" not in text
    assert lines[-1] == "and 21 more failed cells"


def test_sweeps_are_found_by_id_and_the_latest_without_one(
    results: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    Sweep(results, 1)
    (results / "sweeps" / "abcdef").rename(results / "sweeps" / "abc123")
    about = results / "sweeps" / "abc123" / "sweep.json"
    about.write_text(about.read_text().replace("abcdef", "abc123"))
    os.utime(about, (1e9, 1e9))
    Sweep(results, 2)
    assert "0/2 done" in shown(results, capsys)[1][1]
    assert "0/1 done" in shown(results, capsys, "--sweep", "abc1")[1][1]
    for wanted, answer in (
        ("abc", "matches several sweeps (available: abc123, abcdef)"),
        ("abcdeg", "no such sweep (available: abc123, abcdef); did you mean abcdef?"),
    ):
        assert main([str(results), "--sweep", wanted]) == 2
        (line,) = capsys.readouterr().err.splitlines()
        assert line == f"error: --sweep {wanted}: {answer}"


def test_a_missing_sweep_is_an_error_in_one_line(
    results: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([str(results)]) == 2
    assert capsys.readouterr().err == f"error: {results}: no such results folder\n"
    results.mkdir()
    assert main([str(results)]) == 2
    assert capsys.readouterr().err == f"error: {results}: no sweeps in this results folder\n"
    sweep = Sweep(results, 1)
    (sweep.folder.path / "sweep.json").write_text("{")
    assert main([str(results)]) == 2
    assert "cannot be read" in capsys.readouterr().err


def test_a_run_that_ends_while_status_reads_is_not_missed(
    results: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The run ends between the two reads, whichever comes first."""
    sweep = Sweep(results, 1)
    lease = sweep.leased(0, this_process())
    reads: list[str] = []

    def end_after(kind: type, name: str) -> None:
        read = getattr(kind, name)

        def read_and_end(self: Any) -> Any:
            found = read(self)
            found = found if name == "refresh" else iter(list(found))
            reads.append(name)
            if len(reads) == 1:
                sweep.ended(0)
                sweep.store.leases.release(lease)
            return found

        monkeypatch.setattr(kind, name, read_and_end)

    end_after(Index, "refresh")
    end_after(Leases, "all")
    assert shown(results, capsys)[1][1] == "1/1 done"
    assert sorted(reads) == ["all", "refresh"]


@pytest.mark.parametrize("is_alive", [True, False])
def test_a_sweep_whose_launcher_is_alive_goes_on_between_two_cells(
    is_alive: bool,
    results: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """However long no cell has a lease, as while data are downloaded."""
    sweep = Sweep(results, 1, launcher=this_process() if is_alive else dead())
    reads_made = 0

    def sleep(seconds: float) -> None:
        nonlocal reads_made
        reads_made += 1
        if reads_made == 2 * IDLE_READS:
            sweep.ended(0)

    clock = SimpleNamespace(**vars(time) | {"sleep": sleep})
    monkeypatch.setattr(benchmarks.sweeps.status, "time", clock)
    code, lines = shown(results, capsys, "--watch")
    assert code == 0
    assert any("no process runs this sweep" in line for line in lines) != is_alive
    assert any("1/1 done" in line for line in lines) == is_alive
    assert reads_made == (2 * IDLE_READS if is_alive else IDLE_READS)


def test_it_needs_no_torch() -> None:
    program = "import sys, scripts.status; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", program], cwd=ROOT).returncode == 0
