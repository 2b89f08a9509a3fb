"""Who lives: by process where it can be seen, by SLURM's queue, by heartbeat elsewhere."""

from __future__ import annotations

import dataclasses
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from benchmarks.system import processes as owner
from benchmarks.system.processes import (
    JOB_VARIABLE,
    LEASE_SECONDS,
    Owner,
    Queue,
    birth,
    is_alive,
    queued_jobs,
    this_process,
)

ELSEWHERE = Owner(host="another machine", boot="b", pid=1, born="1")
IN_JOB = dataclasses.replace(ELSEWHERE, job="7_1")


@pytest.fixture(autouse=True)
def _outside_a_job(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(JOB_VARIABLE, raising=False)


@pytest.fixture
def beat(tmp_path: Path) -> Path:
    file = tmp_path / "lease.json"
    file.touch()
    return file


def move(beat: Path, seconds: float) -> None:
    """Let a heart have beaten so long ago, or ahead of time if that is negative."""
    then = time.time() - seconds
    os.utime(beat, (then, then))


@pytest.fixture
def child() -> Iterator[subprocess.Popen[bytes]]:
    process = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    yield process
    process.kill()
    process.communicate()


# A process of this machine


def test_this_process_lives_however_old_its_heartbeat(beat: Path) -> None:
    move(beat, 1e6)
    assert is_alive(this_process(), beat)
    assert this_process() == this_process()
    assert is_alive(Owner(**dataclasses.asdict(this_process())), beat)


def test_a_process_that_got_the_id_of_a_dead_one_is_not_it(beat: Path) -> None:
    assert not is_alive(dataclasses.replace(this_process(), born="12345"), beat)


def test_a_process_is_dead_once_it_has_ended_also_before_anyone_asked_how(
    beat: Path, child: subprocess.Popen[bytes]
) -> None:
    born = birth(child.pid)
    assert born is not None
    process = dataclasses.replace(this_process(), pid=child.pid, born=born)
    assert process != this_process()
    assert is_alive(process, beat)
    child.kill()
    os.waitid(os.P_PID, child.pid, os.WEXITED | os.WNOWAIT)  # a zombie now
    assert not is_alive(process, beat)
    child.wait()
    assert not is_alive(process, beat)


def test_processes_are_told_apart_where_there_is_no_proc(
    monkeypatch: pytest.MonkeyPatch, child: subprocess.Popen[bytes]
) -> None:
    class NoProc(type(Path())):  # type: ignore[misc]
        def read_text(self, *arguments: Any, **named: Any) -> str:
            raise FileNotFoundError

        def exists(self, *arguments: Any, **named: Any) -> bool:
            return False

    monkeypatch.setattr(owner, "Path", NoProc)
    assert birth(os.getpid()) == birth(os.getpid()) is not None
    assert birth(os.getpid()) != birth(child.pid)
    child.kill()
    child.wait()
    assert birth(child.pid) is None


def test_a_process_from_before_a_restart_of_this_machine_has_only_its_heartbeat(
    beat: Path,
) -> None:
    before = dataclasses.replace(this_process(), boot="an earlier start")
    assert is_alive(before, beat)
    move(beat, LEASE_SECONDS + 60)
    assert not is_alive(before, beat)


# A process of another machine


@pytest.mark.parametrize(
    ("age", "lives"),
    [(0, True), (LEASE_SECONDS - 60, True), (LEASE_SECONDS + 60, False), (1e6, False)],
)
@pytest.mark.parametrize("is_ahead", [False, True])
def test_a_process_elsewhere_lives_while_its_heart_beats(
    age: float, lives: bool, is_ahead: bool, beat: Path
) -> None:
    """A beat from the future, of a clock that was set back since, does not count forever."""
    move(beat, -age if is_ahead else age)
    assert is_alive(ELSEWHERE, beat) == lives


@pytest.mark.parametrize("wrong", [-1e6, 1e6])
def test_this_machines_own_clock_does_not_count(
    wrong: float, beat: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The file server may live in another time; its clock made the heartbeat."""
    now = time.time
    clock = SimpleNamespace(time=lambda: now() + wrong, monotonic=time.monotonic)
    monkeypatch.setattr(owner, "time", clock)
    assert is_alive(ELSEWHERE, beat)
    move(beat, LEASE_SECONDS + 60)
    assert not is_alive(ELSEWHERE, beat)


def test_asking_leaves_nothing_behind(beat: Path) -> None:
    assert is_alive(ELSEWHERE, beat)
    assert [*beat.parent.iterdir()] == [beat]


def test_a_process_whose_lease_is_gone_is_dead_and_an_unknown_one_alive(
    beat: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def read_only(**named: object) -> None:
        raise OSError(30, "Read-only file system")

    monkeypatch.setattr(owner.tempfile, "NamedTemporaryFile", read_only)
    assert is_alive(ELSEWHERE, beat)
    beat.unlink()
    assert not is_alive(ELSEWHERE, beat)
    monkeypatch.undo()
    assert not is_alive(ELSEWHERE, beat)


# A SLURM job


@pytest.fixture
def queue(monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """What squeue answers: `says` is called in its place; `asked` counts."""
    answers: dict[str, Any] = {"asked": 0, "says": lambda: ""}

    def run(command: list[str], **named: object) -> SimpleNamespace:
        assert command[0] == "squeue"
        answers["asked"] += 1
        return SimpleNamespace(stdout=answers["says"]())

    monkeypatch.setattr(owner, "_queue", Queue())
    monkeypatch.setattr(owner, "subprocess", SimpleNamespace(**vars(subprocess) | {"run": run}))
    return answers


def raising(error: Exception) -> Callable[[], str]:
    def says() -> str:
        raise error

    return says


def is_not_there() -> Callable[[], str]:
    return raising(FileNotFoundError("squeue"))


def is_away() -> Callable[[], str]:
    return raising(subprocess.CalledProcessError(1, "squeue", stderr="Unable to\ncontact"))


def is_slow() -> Callable[[], str]:
    return raising(subprocess.TimeoutExpired("squeue", 30))


def test_the_queue_is_read_as_it_is_written(queue: dict[str, Any]) -> None:
    queue["says"] = lambda: "7_1\n7_2\n9\n"
    assert queued_jobs() == {"7_1", "7_2", "9"}
    assert queued_jobs() == {"7_1", "7_2", "9"}
    assert queue["asked"] == 1  # not for each of many cells
    queue["says"] = lambda: ""
    assert queued_jobs(at_most=0.0) == set()


def test_a_job_lives_while_it_is_in_the_queue(queue: dict[str, Any], beat: Path) -> None:
    queue["says"] = lambda: "7_1\n"
    move(beat, 1e6)
    waiting = Owner(host="", boot="", pid=0, born="", job="7_1")
    died_here = dataclasses.replace(this_process(), born="12345", job="7_1")  # to be requeued
    for job in (IN_JOB, waiting, died_here):
        assert is_alive(job, beat)
        assert not is_alive(dataclasses.replace(job, job="7_2"), beat)
    assert is_alive(dataclasses.replace(this_process(), job="7_2"), beat)


def test_a_job_submitted_after_the_queue_was_asked_lives(queue: dict[str, Any], beat: Path) -> None:
    assert queued_jobs() == set()
    queue["says"] = lambda: "7_1\n"
    assert is_alive(IN_JOB, beat)


@pytest.mark.parametrize("without", [is_not_there, is_away, is_slow])
def test_where_no_queue_ever_answered_the_heartbeat_tells(
    without: Callable[[], Callable[[], str]], queue: dict[str, Any], beat: Path
) -> None:
    queue["says"] = without()
    assert is_alive(IN_JOB, beat)
    move(beat, LEASE_SECONDS + 60)
    assert not is_alive(IN_JOB, beat)
    assert queued_jobs() is None
    assert "\n" not in owner.queue_trouble() != ""


@pytest.mark.parametrize("without", [is_away, is_slow])
def test_a_controller_that_is_away_for_a_while_kills_no_job(
    without: Callable[[], Callable[[], str]], queue: dict[str, Any], beat: Path
) -> None:
    queue["says"] = lambda: "7_1\n"
    move(beat, 1e6)
    assert is_alive(IN_JOB, beat)
    queue["says"] = without()
    queued_jobs(at_most=0.0)
    assert is_alive(IN_JOB, beat)


def test_a_process_names_the_job_that_is_there_for_it_alone(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("SLURM_JOB_ID", "5")
    assert this_process().job is None
    monkeypatch.setenv(JOB_VARIABLE, "7_1")
    assert this_process().job == "7_1"
