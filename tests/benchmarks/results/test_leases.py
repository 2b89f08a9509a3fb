"""A configuration is leased to one process; leases of dead processes are replaced."""

from __future__ import annotations

import dataclasses
import errno
import json
import os
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest

import benchmarks.results.leases
from benchmarks.results.leases import TAKEOVER, Lease, Leases, new_lease
from benchmarks.system import processes as owner
from benchmarks.system.processes import JOB_VARIABLE, LEASE_SECONDS, ProcessIdentity, this_process
from tests.helpers.heartbeats import ELSEWHERE
from tests.helpers.processes import at_once

KEY = "f" * 16
PATIENCE = 120.0
DEAD = dataclasses.replace(this_process(), born="before this process")
"""The id was another process's once: as after a reboot of the process table."""


@pytest.fixture
def leases(tmp_path: Path) -> Leases:
    return Leases(tmp_path / "running")


@pytest.fixture(autouse=True)
def _no_queue(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(owner, "queued_jobs", lambda **asked: None)
    monkeypatch.delenv(JOB_VARIABLE, raising=False)


def mine(run_id: str = "run") -> Lease:
    return new_lease(KEY, run_id, {"status": "interrupted"})


def without_links(monkeypatch: pytest.MonkeyPatch) -> None:
    def link(source: object, target: object) -> None:
        raise OSError(errno.EPERM, "Operation not permitted")

    monkeypatch.setattr(os, "link", link)


def names(leases: Leases) -> list[str]:
    return sorted(path.name for path in leases.directory.iterdir())


def wait_until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(0.02)


def race(leases: Leases, count: int) -> list[bool]:
    """Let processes acquire one lease at once; none ends before all have tried."""
    tried = leases.directory.parent / "tried"
    tried.mkdir(exist_ok=True)
    for mark in tried.iterdir():
        mark.unlink()

    def take(number: int) -> bool:
        won = leases.acquire(mine(f"run-{number}"))
        (tried / str(number)).touch()
        wait_until(lambda: len([*tried.iterdir()]) == count)
        return won

    return at_once(count, take)


@pytest.mark.parametrize("has_links", [True, False])
def test_exactly_one_of_many_processes_acquires_a_lease(
    has_links: bool, leases: Leases, monkeypatch: pytest.MonkeyPatch
) -> None:
    if not has_links:
        without_links(monkeypatch)
    for _ in range(3):
        found = race(leases, 12)
        assert sum(found) == 1
        assert names(leases) == [f"{KEY}.json"]
        lease = leases.read(KEY)
        assert lease is not None
        assert lease.run_id == f"run-{found.index(True)}"
        leases.path(KEY).unlink()


@pytest.mark.parametrize("has_links", [True, False])
def test_of_many_that_find_the_owner_dead_exactly_one_takes_over(
    has_links: bool, leases: Leases, monkeypatch: pytest.MonkeyPatch
) -> None:
    if not has_links:
        without_links(monkeypatch)
    # The winner of each round is dead in the next.
    assert leases.acquire(dataclasses.replace(mine("run-dead"), process=DEAD))
    for _ in range(10):
        found = race(leases, 12)
        assert sum(found) == 1
        lease = leases.read(KEY)
        assert lease is not None
        assert lease.run_id == f"run-{found.index(True)}"
        assert names(leases) == [f"{KEY}.json"]


def test_a_process_that_died_during_a_takeover_blocks_no_other(leases: Leases) -> None:
    for key in (KEY, f"{KEY}{TAKEOVER}", f"{KEY}{TAKEOVER}{TAKEOVER}"):
        assert leases.acquire(Lease(key, "dead", DEAD))
    assert [lease.key for lease in leases.all()] == [KEY]
    assert sum(race(leases, 12)) == 1
    assert names(leases) == [f"{KEY}.json"]


def test_a_live_process_keeps_its_lease(leases: Leases) -> None:
    assert leases.acquire(mine())
    other = Lease(KEY, "other", dataclasses.replace(ELSEWHERE, pid=2))
    assert not leases.acquire(other)
    assert leases.read(KEY) == mine()
    leases.release(mine())
    assert leases.acquire(other)


def test_a_process_of_another_machine_keeps_its_lease_while_it_renews_it(
    leases: Leases,
) -> None:
    assert leases.acquire(Lease(KEY, "theirs", ELSEWHERE))
    assert not leases.acquire(mine())
    long_ago = time.time() - LEASE_SECONDS - 60
    os.utime(leases.path(KEY), (long_ago, long_ago))
    assert leases.acquire(mine())
    lease = leases.read(KEY)
    assert lease is not None
    assert lease.run_id == "run"


def test_a_queued_job_keeps_its_lease(leases: Leases, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(owner, "queued_jobs", lambda **asked: {"7_1", "7_2"})
    queued = Lease(KEY, "", ProcessIdentity(host="", boot="", pid=0, born="", job="7_1"))
    assert leases.acquire(queued)
    long_ago = time.time() - 1e6
    os.utime(leases.path(KEY), (long_ago, long_ago))
    assert leases.is_live(queued)
    assert not leases.acquire(mine("single run"))
    monkeypatch.setenv(JOB_VARIABLE, "7_2")
    assert not leases.acquire(mine("another job"))
    monkeypatch.setenv(JOB_VARIABLE, "7_1")
    assert leases.acquire(mine("the job"))
    assert not leases.acquire(queued)  # the launcher was slower than its job
    lease = leases.read(KEY)
    assert lease is not None
    assert lease.run_id == "the job"


def test_the_lease_of_a_job_that_left_the_queue_is_free(
    leases: Leases, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(owner, "queued_jobs", lambda **asked: {"8"})
    assert leases.acquire(
        Lease(KEY, "", ProcessIdentity(host="", boot="", pid=0, born="", job="7_1"))
    )
    assert leases.acquire(mine())


@pytest.mark.parametrize("content", ["", '{"key": "ffff', "[]", '{"key": "f"}', "null", "\0\0"])
def test_an_unreadable_lease_is_live_while_it_is_young(content: str, leases: Leases) -> None:
    """Where there are no hard links another process may be writing it just now."""
    leases.directory.mkdir()
    leases.path(KEY).write_text(content)
    assert leases.read(KEY) is None
    assert [*leases.all()] == []
    assert not leases.acquire(mine())
    long_ago = time.time() - LEASE_SECONDS - 60
    os.utime(leases.path(KEY), (long_ago, long_ago))
    assert leases.acquire(mine())
    assert leases.read(KEY) == mine()


def test_a_lease_of_a_newer_version_is_kept(leases: Leases) -> None:
    leases.directory.mkdir()
    newer = json.loads(mine().as_json()) | {"invented_later": 1}
    leases.path(KEY).write_text(json.dumps(newer))
    assert not leases.acquire(mine("other"))
    assert json.loads(leases.path(KEY).read_text()) == newer


def test_only_the_own_lease_is_released(leases: Leases) -> None:
    assert leases.acquire(Lease(KEY, "theirs", ELSEWHERE))
    leases.release(mine())
    assert leases.read(KEY) == Lease(KEY, "theirs", ELSEWHERE)
    leases.release(Lease(KEY, "theirs", ELSEWHERE))
    assert names(leases) == []
    leases.release(mine())  # there is none


def test_all_leases_are_found(leases: Leases) -> None:
    assert [*leases.all()] == []
    for key in ("b", "a"):
        assert leases.acquire(Lease(key, key, ELSEWHERE))
    (leases.directory / "broken.json").write_text("{")
    (leases.directory / ".lease-draft").write_text("")
    assert [lease.key for lease in leases.all()] == ["a", "b"]


@pytest.fixture
def _fast_renewal(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(benchmarks.results.leases, "FIRST_BEAT_SECONDS", 0.01)
    monkeypatch.setattr(benchmarks.results.leases, "BEAT_SECONDS", 0.01)


@pytest.mark.usefixtures("_fast_renewal")
def test_a_lease_is_renewed_with_the_progress_until_the_run_ends(leases: Leases) -> None:
    lease, beats = mine(), threading.Semaphore(0)
    assert leases.acquire(lease)
    long_ago = time.time() - 1e6
    os.utime(leases.path(KEY), (long_ago, long_ago))

    def is_written() -> bool:
        there = leases.read(KEY)
        return there is not None and there.progress == {"step": 3}

    with leases.renewed(lease, beats.release):
        for _ in range(3):
            assert beats.acquire(timeout=PATIENCE)
        lease.progress["step"] = 3
        wait_until(is_written)
        assert leases.path(KEY).stat().st_mtime > long_ago + 1e5
        lease.has_row = True
    assert names(leases) == []
    while beats.acquire(blocking=False):
        pass
    assert not beats.acquire(timeout=0.2)


@pytest.mark.usefixtures("_fast_renewal")
def test_a_lease_that_was_taken_over_is_not_written(leases: Leases) -> None:
    """As after a machine slept for longer than a lease."""
    lease, beats = mine(), threading.Semaphore(0)
    theirs = Lease(KEY, "theirs", ELSEWHERE)
    assert leases.acquire(lease)

    def take_over() -> None:
        if leases.read(KEY) != theirs:
            leases.path(KEY).unlink()
            assert leases.acquire(theirs)
        beats.release()

    with leases.renewed(lease, take_over):
        for _ in range(3):
            assert beats.acquire(timeout=PATIENCE)
    assert leases.read(KEY) == theirs


@pytest.mark.usefixtures("_fast_renewal")
@pytest.mark.parametrize("has_row", [True, False])
def test_a_run_that_raises_releases_its_lease_only_with_a_row(
    has_row: bool, leases: Leases
) -> None:
    """Without a row the lease is the only record of the run."""
    lease = mine()
    assert leases.acquire(lease)
    lease.has_row = has_row
    with pytest.raises(ZeroDivisionError), leases.renewed(lease, lambda: None):
        raise ZeroDivisionError
    assert (names(leases) == []) == has_row
