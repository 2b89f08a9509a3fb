"""The scheduler writes a row for a cell whose process terminates without one."""

from __future__ import annotations

import dataclasses

import pytest

from benchmarks.results.leases import Lease
from benchmarks.results.row import COLUMNS, Row, Status
from benchmarks.sweeps.cell import Completion, Termination
from benchmarks.sweeps.launchers.base import WorkItem
from tests.helpers.faked_sweeps import CONFIG, DEAD, FakeLauncher, Sweep, row_of, terminates


@pytest.mark.parametrize("status", ["failed", "interrupted", "timeout", "out_of_memory"])
def test_a_terminated_run_has_a_row_from_its_lease(status: str, sweep: Sweep) -> None:
    outcomes, _ = sweep.run(3, cell_1=terminates(status))
    assert [outcome.status for outcome in outcomes] == ["ok", status, "ok"]
    row = sweep.row("run-1")
    assert (row["status"], row["error"]) == (status, "killed by SIGSEGV")
    assert (row["dataset"], row["seed"], row["fingerprint"]) == ("data", 5, "fingerprint-1")
    assert sweep.store.leases.read("fingerprint-1") is None
    assert sweep.table == ["run-0", "run-1", "run-2"]


def test_a_process_terminated_before_its_run_has_a_row(sweep: Sweep) -> None:
    outcomes, _ = sweep.run(2, cell_0=terminates("failed", owned=None))
    row = sweep.row(outcomes[0].run_id)
    assert (row["status"], row["error"]) == ("failed", "killed by SIGSEGV")
    assert (row["fingerprint"], row["sweep"]) == ("fingerprint-0", "s")
    assert (row["task"], row["model"]) == ("sp500", CONFIG.model.label)
    assert set(row) == set(COLUMNS)


def test_a_process_without_a_row_has_an_error_text(sweep: Sweep) -> None:
    outcomes, _ = sweep.run(1, cell_0=lambda launcher, item: Completion(item.cell))
    assert outcomes[0].status == "failed"
    assert outcomes[0].error == "process terminated without writing a row"


def test_a_termination_after_the_row_changes_nothing(sweep: Sweep) -> None:
    """A process can be killed between writing its row and releasing its lease."""

    def behaviour(launcher: FakeLauncher, item: WorkItem) -> Completion:
        launcher.store.write_row(row_of(item, "ok", test_score=2.5))
        return terminates("interrupted")(launcher, item)

    outcomes, _ = sweep.run(1, cell_0=behaviour)
    assert (outcomes[0].status, outcomes[0].score) == ("ok", 2.5)
    assert sweep.row("run-0")["status"] == "ok"
    assert sweep.store.leases.read("fingerprint-0") is None


def test_a_termination_in_a_later_start_replaces_the_earlier_row(sweep: Sweep) -> None:
    before = Row("before", "interrupted", fingerprint="fingerprint-0", starts=1)
    sweep.store.write_row(before)

    def behaviour(launcher: FakeLauncher, item: WorkItem) -> Completion:
        row = dataclasses.asdict(dataclasses.replace(before, starts=2))
        assert launcher.store.leases.acquire(Lease("fingerprint-0", "before", DEAD, row))
        return Completion(item.cell, termination=Termination("killed", Status.FAILED))

    sweep.run(1, cell_0=behaviour)
    row = sweep.row("before")
    assert (row["status"], row["error"], row["starts"]) == ("failed", "killed", 2)


def test_a_run_with_too_many_starts_is_a_timeout(sweep: Sweep) -> None:
    def behaviour(launcher: FakeLauncher, item: WorkItem) -> Completion:
        launcher.store.write_row(row_of(item, "interrupted", starts=3))
        return Completion(
            item.cell, "run-0", Termination("not finished after 3 starts", Status.TIMEOUT)
        )

    outcomes, _ = sweep.run(1, cell_0=behaviour)
    assert outcomes[0].status == "timeout"
    assert sweep.row("run-0")["error"] == "not finished after 3 starts"


def test_a_reported_row_that_does_not_exist_is_a_termination(sweep: Sweep) -> None:
    outcomes, _ = sweep.run(1, cell_0=lambda launcher, item: Completion(item.cell, "never written"))
    assert outcomes[0].status == "failed"
    assert sweep.row(outcomes[0].run_id)["status"] == "failed"
