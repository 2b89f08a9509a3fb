"""A cell whose process dies, or falls silent, leaves a row all the same."""

from __future__ import annotations

import dataclasses

import pytest

from benchmarks.results.leases import Lease
from benchmarks.results.row import COLUMNS, Row, Status
from benchmarks.sweeps.cell import Completion, Termination
from benchmarks.sweeps.launchers.base import WorkItem
from tests.helpers.faked_sweeps import CONFIG, DEAD, FakeLauncher, Sweep, dies, row_of


@pytest.mark.parametrize("status", ["failed", "interrupted", "timeout", "out_of_memory"])
def test_a_death_is_a_row_of_what_the_run_had_said_of_itself(status: str, sweep: Sweep) -> None:
    outcomes, _ = sweep.run(3, cell_1=dies(status))
    assert [outcome.status for outcome in outcomes] == ["ok", status, "ok"]
    row = sweep.row("run-1")
    assert (row["status"], row["error"]) == (status, "killed by SIGSEGV")
    assert (row["dataset"], row["seed"], row["fingerprint"]) == ("data", 5, "question-1")
    assert sweep.store.leases.read("question-1") is None
    assert sweep.table == ["run-0", "run-1", "run-2"]


def test_a_death_before_a_run_began_is_a_row_too(sweep: Sweep) -> None:
    outcomes, _ = sweep.run(2, cell_0=dies("failed", owned=None))
    row = sweep.row(outcomes[0].run_id)
    assert (row["status"], row["error"]) == ("failed", "killed by SIGSEGV")
    assert (row["fingerprint"], row["sweep"]) == ("question-0", "s")
    assert (row["task"], row["model"]) == ("sp500", CONFIG.model.label)
    assert set(row) == set(COLUMNS)


def test_a_process_that_ends_without_a_word_is_named(sweep: Sweep) -> None:
    outcomes, _ = sweep.run(1, cell_0=lambda launcher, item: Completion(item.cell))
    assert outcomes[0].status == "failed"
    assert outcomes[0].error == "process terminated without writing a row"


def test_a_death_after_the_row_changes_nothing(sweep: Sweep) -> None:
    """As when a process is killed between its row and the end of its lease."""

    def deed(launcher: FakeLauncher, item: WorkItem) -> Completion:
        launcher.store.write_row(row_of(item, "ok", test_score=2.5))
        return dies("interrupted")(launcher, item)

    outcomes, _ = sweep.run(1, cell_0=deed)
    assert (outcomes[0].status, outcomes[0].score) == ("ok", 2.5)
    assert sweep.row("run-0")["status"] == "ok"
    assert sweep.store.leases.read("question-0") is None


def test_a_death_in_a_later_start_replaces_the_row_of_an_earlier_one(sweep: Sweep) -> None:
    before = Row("before", "interrupted", fingerprint="question-0", starts=1)
    sweep.store.write_row(before)

    def deed(launcher: FakeLauncher, item: WorkItem) -> Completion:
        row = dataclasses.asdict(dataclasses.replace(before, starts=2))
        assert launcher.store.leases.acquire(Lease("question-0", "before", DEAD, row))
        return Completion(item.cell, termination=Termination("killed", Status.FAILED))

    sweep.run(1, cell_0=deed)
    row = sweep.row("before")
    assert (row["status"], row["error"], row["starts"]) == ("failed", "killed", 2)


def test_a_run_given_up_after_many_starts_is_a_timeout(sweep: Sweep) -> None:
    def deed(launcher: FakeLauncher, item: WorkItem) -> Completion:
        launcher.store.write_row(row_of(item, "interrupted", starts=3))
        return Completion(
            item.cell, "run-0", Termination("not finished after 3 starts", Status.TIMEOUT)
        )

    outcomes, _ = sweep.run(1, cell_0=deed)
    assert outcomes[0].status == "timeout"
    assert sweep.row("run-0")["error"] == "not finished after 3 starts"


def test_a_row_that_is_announced_but_not_there_is_a_death(sweep: Sweep) -> None:
    outcomes, _ = sweep.run(1, cell_0=lambda launcher, item: Completion(item.cell, "never written"))
    assert outcomes[0].status == "failed"
    assert sweep.row(outcomes[0].run_id)["status"] == "failed"
