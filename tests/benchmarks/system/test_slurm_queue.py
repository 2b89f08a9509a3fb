"""Jobs in SLURM's queue, and whether their processes are alive."""

from __future__ import annotations

import dataclasses
import subprocess
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from benchmarks.system import slurm_queue
from benchmarks.system.processes import (
    JOB_VARIABLE,
    LEASE_SECONDS,
    ProcessIdentity,
    is_alive,
    this_process,
)
from benchmarks.system.slurm_queue import queued_jobs
from tests.helpers.heartbeats import IN_JOB, set_age


@pytest.fixture
def queue(monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """Replace squeue by `output`, a function; `calls` counts."""
    answers: dict[str, Any] = {"calls": 0, "output": lambda: ""}

    def run(command: list[str], **named: object) -> SimpleNamespace:
        assert command[0] == "squeue"
        answers["calls"] += 1
        return SimpleNamespace(stdout=answers["output"]())

    monkeypatch.setattr(slurm_queue, "queue", slurm_queue.Queue())
    monkeypatch.setattr(
        slurm_queue, "subprocess", SimpleNamespace(**vars(subprocess) | {"run": run})
    )
    return answers


def raising(error: Exception) -> Callable[[], str]:
    def output() -> str:
        raise error

    return output


def is_not_there() -> Callable[[], str]:
    return raising(FileNotFoundError("squeue"))


def is_away() -> Callable[[], str]:
    return raising(subprocess.CalledProcessError(1, "squeue", stderr="Unable to\ncontact"))


def is_slow() -> Callable[[], str]:
    return raising(subprocess.TimeoutExpired("squeue", 30))


def test_squeue_is_parsed_and_its_answer_reused(queue: dict[str, Any]) -> None:
    queue["output"] = lambda: "7_1\n7_2\n9\n"
    assert queued_jobs() == {"7_1", "7_2", "9"}
    assert queued_jobs() == {"7_1", "7_2", "9"}
    assert queue["calls"] == 1  # not for each of many cells
    queue["output"] = lambda: ""
    assert queued_jobs(max_age=0.0) == set()


def test_a_job_is_alive_while_it_is_in_the_queue(queue: dict[str, Any], beat: Path) -> None:
    queue["output"] = lambda: "7_1\n"
    set_age(beat, 1e6)
    waiting = ProcessIdentity(host="", boot="", pid=0, born="", job="7_1")
    died_here = dataclasses.replace(this_process(), born="12345", job="7_1")  # to be requeued
    for job in (IN_JOB, waiting, died_here):
        assert is_alive(job, beat)
        assert not is_alive(dataclasses.replace(job, job="7_2"), beat)
    assert is_alive(dataclasses.replace(this_process(), job="7_2"), beat)


def test_a_job_newer_than_the_last_answer_is_alive(queue: dict[str, Any], beat: Path) -> None:
    assert queued_jobs() == set()
    queue["output"] = lambda: "7_1\n"
    assert is_alive(IN_JOB, beat)


@pytest.mark.parametrize("without", [is_not_there, is_away, is_slow])
def test_without_any_answer_the_heartbeat_decides(
    without: Callable[[], Callable[[], str]], queue: dict[str, Any], beat: Path
) -> None:
    queue["output"] = without()
    assert is_alive(IN_JOB, beat)
    set_age(beat, LEASE_SECONDS + 60)
    assert not is_alive(IN_JOB, beat)
    assert queued_jobs() is None
    assert "\n" not in slurm_queue.queue.error != ""


@pytest.mark.parametrize("without", [is_away, is_slow])
def test_jobs_are_alive_while_the_controller_is_down(
    without: Callable[[], Callable[[], str]], queue: dict[str, Any], beat: Path
) -> None:
    queue["output"] = lambda: "7_1\n"
    set_age(beat, 1e6)
    assert is_alive(IN_JOB, beat)
    queue["output"] = without()
    queued_jobs(max_age=0.0)
    assert is_alive(IN_JOB, beat)


def test_a_process_is_identified_by_its_own_job(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("SLURM_JOB_ID", "5")
    assert this_process().job is None
    monkeypatch.setenv(JOB_VARIABLE, "7_1")
    assert this_process().job == "7_1"
