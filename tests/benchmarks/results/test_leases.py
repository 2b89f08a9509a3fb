"""One question, one process at work on it: claims are exclusive, and the dead hold none."""

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
from benchmarks.results.leases import HEIR, Claim, Claims, new_claim
from benchmarks.system import processes as owner
from benchmarks.system.processes import JOB_VARIABLE, LEASE_SECONDS, Owner, this_process
from tests.helpers.processes import at_once

KEY = "f" * 16
PATIENCE = 120.0
DEAD = dataclasses.replace(this_process(), born="before this process")
"""The id was another process's once: as after a reboot of the process table."""
ELSEWHERE = Owner(host="another machine", boot="b", pid=1, born="1")


@pytest.fixture
def claims(tmp_path: Path) -> Claims:
    return Claims(tmp_path / "running")


@pytest.fixture(autouse=True)
def _no_queue(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(owner, "queued_jobs", lambda **asked: None)
    monkeypatch.delenv(JOB_VARIABLE, raising=False)


def mine(run_id: str = "run") -> Claim:
    return new_claim(KEY, run_id, {"status": "interrupted"})


def without_links(monkeypatch: pytest.MonkeyPatch) -> None:
    def link(source: object, target: object) -> None:
        raise OSError(errno.EPERM, "Operation not permitted")

    monkeypatch.setattr(os, "link", link)


def names(claims: Claims) -> list[str]:
    return sorted(path.name for path in claims.directory.iterdir())


def wait_until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(0.02)


def race(claims: Claims, count: int) -> list[bool]:
    """Let processes take one question at once; none of them ends before all have tried."""
    tried = claims.directory.parent / "tried"
    tried.mkdir(exist_ok=True)
    for mark in tried.iterdir():
        mark.unlink()

    def take(number: int) -> bool:
        won = claims.take(mine(f"run-{number}"))
        (tried / str(number)).touch()
        wait_until(lambda: len([*tried.iterdir()]) == count)
        return won

    return at_once(count, take)


@pytest.mark.parametrize("has_links", [True, False])
def test_of_many_processes_exactly_one_gets_a_question(
    has_links: bool, claims: Claims, monkeypatch: pytest.MonkeyPatch
) -> None:
    if not has_links:
        without_links(monkeypatch)
    for _ in range(3):
        found = race(claims, 12)
        assert sum(found) == 1
        assert names(claims) == [f"{KEY}.json"]
        claim = claims.read(KEY)
        assert claim is not None
        assert claim.run_id == f"run-{found.index(True)}"
        claims.path(KEY).unlink()


@pytest.mark.parametrize("has_links", [True, False])
def test_of_many_that_find_the_owner_dead_exactly_one_takes_over(
    has_links: bool, claims: Claims, monkeypatch: pytest.MonkeyPatch
) -> None:
    if not has_links:
        without_links(monkeypatch)
    # The winner of each round is dead in the next.
    assert claims.take(dataclasses.replace(mine("run-dead"), owner=DEAD))
    for _ in range(10):
        found = race(claims, 12)
        assert sum(found) == 1
        claim = claims.read(KEY)
        assert claim is not None
        assert claim.run_id == f"run-{found.index(True)}"
        assert names(claims) == [f"{KEY}.json"]


def test_whoever_died_while_taking_over_keeps_nobody_from_it(claims: Claims) -> None:
    for key in (KEY, f"{KEY}{HEIR}", f"{KEY}{HEIR}{HEIR}"):
        assert claims.take(Claim(key, "dead", DEAD))
    assert [claim.key for claim in claims.all()] == [KEY]
    assert sum(race(claims, 12)) == 1
    assert names(claims) == [f"{KEY}.json"]


def test_who_lives_keeps_a_question(claims: Claims) -> None:
    assert claims.take(mine())
    other = Claim(KEY, "other", dataclasses.replace(ELSEWHERE, pid=2))
    assert not claims.take(other)
    assert claims.read(KEY) == mine()
    claims.release(mine())
    assert claims.take(other)


def test_a_process_of_another_machine_holds_its_question_while_its_heart_beats(
    claims: Claims,
) -> None:
    assert claims.take(Claim(KEY, "theirs", ELSEWHERE))
    assert not claims.take(mine())
    long_ago = time.time() - LEASE_SECONDS - 60
    os.utime(claims.path(KEY), (long_ago, long_ago))
    assert claims.take(mine())
    claim = claims.read(KEY)
    assert claim is not None
    assert claim.run_id == "run"


def test_a_queued_job_keeps_its_question_for_itself(
    claims: Claims, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(owner, "queued_jobs", lambda **asked: {"7_1", "7_2"})
    queued = Claim(KEY, "", Owner(host="", boot="", pid=0, born="", job="7_1"))
    assert claims.take(queued)
    long_ago = time.time() - 1e6
    os.utime(claims.path(KEY), (long_ago, long_ago))
    assert claims.is_live(queued)
    assert not claims.take(mine("of a single run"))
    monkeypatch.setenv(JOB_VARIABLE, "7_2")
    assert not claims.take(mine("of the job beside it"))
    monkeypatch.setenv(JOB_VARIABLE, "7_1")
    assert claims.take(mine("of the job itself"))
    assert not claims.take(queued)  # the launcher was slower than its job
    claim = claims.read(KEY)
    assert claim is not None
    assert claim.run_id == "of the job itself"


def test_the_question_of_a_job_that_left_the_queue_is_free(
    claims: Claims, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(owner, "queued_jobs", lambda **asked: {"8"})
    assert claims.take(Claim(KEY, "", Owner(host="", boot="", pid=0, born="", job="7_1")))
    assert claims.take(mine())


@pytest.mark.parametrize("content", ["", '{"key": "ffff', "[]", '{"key": "f"}', "null", "\0\0"])
def test_a_claim_that_cannot_be_read_counts_while_it_is_young(content: str, claims: Claims) -> None:
    """Where there are no hard links another process may be writing it just now."""
    claims.directory.mkdir()
    claims.path(KEY).write_text(content)
    assert claims.read(KEY) is None
    assert [*claims.all()] == []
    assert not claims.take(mine())
    long_ago = time.time() - LEASE_SECONDS - 60
    os.utime(claims.path(KEY), (long_ago, long_ago))
    assert claims.take(mine())
    assert claims.read(KEY) == mine()


def test_a_claim_of_a_newer_version_is_nobodys_to_lose(claims: Claims) -> None:
    claims.directory.mkdir()
    newer = dataclasses.asdict(mine()) | {"invented_later": 1}
    claims.path(KEY).write_text(json.dumps(newer))
    assert not claims.take(mine("other"))
    assert json.loads(claims.path(KEY).read_text()) == newer


def test_only_ones_own_question_is_given_back(claims: Claims) -> None:
    assert claims.take(Claim(KEY, "theirs", ELSEWHERE))
    claims.release(mine())
    assert claims.read(KEY) == Claim(KEY, "theirs", ELSEWHERE)
    claims.release(Claim(KEY, "theirs", ELSEWHERE))
    assert names(claims) == []
    claims.release(mine())  # there is none


def test_all_claims_are_found(claims: Claims) -> None:
    assert [*claims.all()] == []
    for key in ("b", "a"):
        assert claims.take(Claim(key, key, ELSEWHERE))
    (claims.directory / "broken.json").write_text("{")
    (claims.directory / ".claim-draft").write_text("")
    assert [claim.key for claim in claims.all()] == ["a", "b"]


@pytest.fixture
def _fast_heart(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(benchmarks.results.leases, "FIRST_BEAT_SECONDS", 0.01)
    monkeypatch.setattr(benchmarks.results.leases, "BEAT_SECONDS", 0.01)


@pytest.mark.usefixtures("_fast_heart")
def test_a_heart_beats_tells_of_progress_and_ends_with_the_run(claims: Claims) -> None:
    claim, beats = mine(), threading.Semaphore(0)
    assert claims.take(claim)
    long_ago = time.time() - 1e6
    os.utime(claims.path(KEY), (long_ago, long_ago))

    def told() -> bool:
        there = claims.read(KEY)
        return there is not None and there.progress == {"step": 3}

    with claims.kept_alive(claim, beats.release):
        for _ in range(3):
            assert beats.acquire(timeout=PATIENCE)
        claim.progress["step"] = 3
        wait_until(told)
        assert claims.path(KEY).stat().st_mtime > long_ago + 1e5
        claim.has_row = True
    assert names(claims) == []
    while beats.acquire(blocking=False):
        pass
    assert not beats.acquire(timeout=0.2)


@pytest.mark.usefixtures("_fast_heart")
def test_a_question_that_was_taken_over_is_left_alone(claims: Claims) -> None:
    """As after a machine slept for longer than a lease."""
    claim, beats = mine(), threading.Semaphore(0)
    theirs = Claim(KEY, "theirs", ELSEWHERE)
    assert claims.take(claim)

    def beat() -> None:
        if claims.read(KEY) != theirs:
            claims.path(KEY).unlink()
            assert claims.take(theirs)
        beats.release()

    with claims.kept_alive(claim, beat):
        for _ in range(3):
            assert beats.acquire(timeout=PATIENCE)
    assert claims.read(KEY) == theirs


@pytest.mark.usefixtures("_fast_heart")
@pytest.mark.parametrize("has_row", [True, False])
def test_a_run_that_raises_gives_its_question_back_once_it_has_a_row(
    has_row: bool, claims: Claims
) -> None:
    """Until then its claim alone tells of it."""
    claim = mine()
    assert claims.take(claim)
    claim.has_row = has_row
    with pytest.raises(ZeroDivisionError), claims.kept_alive(claim, lambda: None):
        raise ZeroDivisionError
    assert (names(claims) == []) == has_row
