"""Whether processes are alive, on this machine and on others."""

from __future__ import annotations

import dataclasses
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from benchmarks.system import processes
from benchmarks.system.processes import (
    LEASE_SECONDS,
    ProcessIdentity,
    is_alive,
    start_time,
    this_process,
)
from tests.helpers.heartbeats import ELSEWHERE, set_age


@pytest.fixture
def child() -> Iterator[subprocess.Popen[bytes]]:
    process = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    yield process
    process.kill()
    process.communicate()


# A process of this machine


def test_this_process_is_alive_with_an_old_heartbeat(beat: Path) -> None:
    set_age(beat, 1e6)
    assert is_alive(this_process(), beat)
    assert this_process() == this_process()
    assert is_alive(ProcessIdentity(**dataclasses.asdict(this_process())), beat)


def test_a_process_that_got_the_id_of_a_dead_one_is_not_it(beat: Path) -> None:
    assert not is_alive(dataclasses.replace(this_process(), born="12345"), beat)


def test_a_zombie_process_is_dead(beat: Path, child: subprocess.Popen[bytes]) -> None:
    born = start_time(child.pid)
    assert born is not None
    process = dataclasses.replace(this_process(), pid=child.pid, born=born)
    assert process != this_process()
    assert is_alive(process, beat)
    child.kill()
    os.waitid(os.P_PID, child.pid, os.WEXITED | os.WNOWAIT)  # a zombie now
    assert not is_alive(process, beat)
    child.wait()
    assert not is_alive(process, beat)


def test_processes_are_distinguished_without_proc(
    monkeypatch: pytest.MonkeyPatch, child: subprocess.Popen[bytes]
) -> None:
    class NoProc(type(Path())):  # type: ignore[misc]
        def read_text(self, *arguments: Any, **named: Any) -> str:
            raise FileNotFoundError

        def exists(self, *arguments: Any, **named: Any) -> bool:
            return False

    monkeypatch.setattr(processes, "Path", NoProc)
    assert start_time(os.getpid()) == start_time(os.getpid()) is not None
    assert start_time(os.getpid()) != start_time(child.pid)
    child.kill()
    child.wait()
    assert start_time(child.pid) is None


def test_a_process_from_before_a_restart_of_this_machine_has_only_its_heartbeat(
    beat: Path,
) -> None:
    before = dataclasses.replace(this_process(), boot="an earlier start")
    assert is_alive(before, beat)
    set_age(beat, LEASE_SECONDS + 60)
    assert not is_alive(before, beat)


# A process of another machine


@pytest.mark.parametrize(
    ("age", "alive"),
    [(0, True), (LEASE_SECONDS - 60, True), (LEASE_SECONDS + 60, False), (1e6, False)],
)
@pytest.mark.parametrize("is_ahead", [False, True])
def test_a_process_on_another_machine_is_alive_with_a_recent_heartbeat(
    age: float, alive: bool, is_ahead: bool, beat: Path
) -> None:
    """A beat from the future, of a clock that was set back since, does not count forever."""
    set_age(beat, -age if is_ahead else age)
    assert is_alive(ELSEWHERE, beat) == alive


@pytest.mark.parametrize("wrong", [-1e6, 1e6])
def test_this_machines_own_clock_does_not_count(
    wrong: float, beat: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The heartbeat has the time of the file server's clock."""
    now = time.time
    clock = SimpleNamespace(time=lambda: now() + wrong, monotonic=time.monotonic)
    monkeypatch.setattr(processes, "time", clock)
    assert is_alive(ELSEWHERE, beat)
    set_age(beat, LEASE_SECONDS + 60)
    assert not is_alive(ELSEWHERE, beat)


def test_asking_leaves_nothing_behind(beat: Path) -> None:
    assert is_alive(ELSEWHERE, beat)
    assert [*beat.parent.iterdir()] == [beat]


def test_a_process_whose_lease_is_gone_is_dead_and_an_unknown_one_alive(
    beat: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def read_only(**named: object) -> None:
        raise OSError(30, "Read-only file system")

    monkeypatch.setattr(processes.tempfile, "NamedTemporaryFile", read_only)
    assert is_alive(ELSEWHERE, beat)
    beat.unlink()
    assert not is_alive(ELSEWHERE, beat)
    monkeypatch.undo()
    assert not is_alive(ELSEWHERE, beat)
