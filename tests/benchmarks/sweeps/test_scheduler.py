"""The scheduler: which cells are skipped, resumed, or left to other processes."""

from __future__ import annotations

import pytest

from benchmarks.results.leases import Lease
from benchmarks.results.row import Row
from benchmarks.sweeps import scheduler
from benchmarks.sweeps.cell import Completion
from benchmarks.sweeps.launchers.base import WorkItem
from benchmarks.system.signals import Interruption
from tests.helpers.faked_sweeps import DEAD, FakeLauncher, Sweep, terminates, writes_row
from tests.helpers.heartbeats import ELSEWHERE


def test_each_cell_runs_once_within_the_free_slots(sweep: Sweep) -> None:
    outcomes, launcher = sweep.run(7, slots=3)
    assert launcher.numbers == list(range(7))
    assert launcher.most == 3
    assert [outcome.status for outcome in outcomes] == ["ok"] * 7
    assert [outcome.score for outcome in outcomes] == [1.5] * 7
    assert sweep.table == [f"run-{number}" for number in range(7)]
    assert not any(outcome.is_previous for outcome in outcomes)


STATUSES = ("ok", "failed", "diverged", "out_of_memory", "timeout", "interrupted")


@pytest.mark.parametrize(
    ("resume", "again"),
    [
        ("continue", [1, 2, 3, 4, 5, 6]),
        ("skip_failed", [5, 6]),
        ("never", [0, 1, 2, 3, 4, 5, 6]),
    ],
)
def test_cells_that_the_same_command_repeats(resume: str, again: list[int], sweep: Sweep) -> None:
    for number, status in enumerate(STATUSES):
        fingerprint = f"fingerprint-{number}"
        sweep.store.write_row(Row(f"before-{number}", status, fingerprint=fingerprint, starts=1))
    outcomes, launcher = sweep.run(7, resume)  # the last has never been run
    assert launcher.numbers == again
    assert [outcome.cell.number for outcome in outcomes if not outcome.is_previous] == again
    kept = [o.status for o in outcomes if o.is_previous]
    assert kept == [s for n, s in enumerate(STATUSES) if n not in again]


def test_interrupted_runs_and_runs_with_a_checkpoint_are_resumed(sweep: Sweep) -> None:
    for number, status in enumerate(STATUSES):
        fingerprint = f"fingerprint-{number}"
        sweep.store.write_row(Row(f"before-{number}", status, fingerprint=fingerprint, starts=1))
    sweep.store.run("before-3").checkpoint.touch()  # out of memory
    _, launcher = sweep.run(6)
    continued = {item.cell.number: item.resumes for item in launcher.items}
    wanted = {1: None, 2: None, 3: "before-3", 4: "before-4", 5: "before-5"}
    assert continued == wanted
    assert sweep.row("before-5")["status"] == "ok"


def test_resume_never_resumes_nothing(sweep: Sweep) -> None:
    sweep.store.write_row(Row("before", "interrupted", fingerprint="fingerprint-0", starts=1))
    outcomes, launcher = sweep.run(1, "never")
    assert launcher.items[0].resumes is None
    assert outcomes[0].run_id == "run-0"


def test_a_run_killed_before_its_row_is_resumed(sweep: Sweep) -> None:
    assert sweep.store.leases.acquire(Lease("fingerprint-0", "killed", DEAD, {"run_id": "killed"}))
    _, launcher = sweep.run(1)
    assert launcher.items[0].resumes == "killed"


def test_a_failed_cell_does_not_end_the_sweep(sweep: Sweep) -> None:
    outcomes, _ = sweep.run(4, cell_1=writes_row("failed", error="ValueError: a bug"))
    assert [outcome.status for outcome in outcomes] == ["ok", "failed", "ok", "ok"]
    assert outcomes[1].error == "ValueError: a bug"


# Concurrent processes


def test_a_cell_of_another_process_is_waited_for(sweep: Sweep) -> None:
    theirs = Lease("fingerprint-0", "theirs", ELSEWHERE)
    assert sweep.store.leases.acquire(theirs)

    def finish_theirs(launcher: FakeLauncher, item: WorkItem) -> Completion:
        store = launcher.store
        store.write_row(Row("theirs", "ok", fingerprint="fingerprint-0", starts=1, test_score=9.0))
        store.leases.release(theirs)
        return writes_row("ok")(launcher, item)

    outcomes, launcher = sweep.run(3, cell_2=finish_theirs)
    assert launcher.numbers == [1, 2]
    assert [outcome.run_id for outcome in outcomes] == ["theirs", "run-1", "run-2"]
    assert outcomes[0].score == 9.0


def test_a_cell_that_another_process_released_is_run(sweep: Sweep) -> None:
    theirs = Lease("fingerprint-0", "theirs", ELSEWHERE)
    assert sweep.store.leases.acquire(theirs)

    def release_theirs(launcher: FakeLauncher, item: WorkItem) -> Completion:
        launcher.store.leases.release(theirs)
        return writes_row("ok")(launcher, item)

    outcomes, launcher = sweep.run(2, cell_1=release_theirs)
    assert launcher.numbers == [1, 0]
    assert [outcome.run_id for outcome in outcomes] == ["run-0", "run-1"]


def test_a_cell_leased_by_another_process_during_its_start_is_left_to_it(sweep: Sweep) -> None:
    tries: list[int] = []

    def leased_once(launcher: FakeLauncher, item: WorkItem) -> Completion:
        tries.append(item.cell.number)
        if len(tries) == 1:
            return Completion(item.cell, held_elsewhere=True)
        return writes_row("ok")(launcher, item)

    outcomes, _ = sweep.run(1, cell_0=leased_once)
    assert tries == [0, 0]
    assert [outcome.status for outcome in outcomes] == ["ok"]


# Interruption


def test_an_interruption_waits_for_running_cells_and_starts_no_others(sweep: Sweep) -> None:
    def signal_comes(launcher: FakeLauncher, item: WorkItem) -> Completion:
        sweep.interruption.handle(15, None)
        return writes_row("ok")(launcher, item)

    made, launcher = sweep.scheduler(
        6, cell_1=signal_comes, cell_2=writes_row("interrupted"), cell_3=terminates("interrupted")
    )
    with pytest.raises(KeyboardInterrupt, match="SIGTERM"):
        made.run()
    assert launcher.calls == ["interrupt"]
    assert launcher.numbers == [0, 1, 2]
    assert {n: outcome.status for n, outcome in made.outcomes.items()} == {
        0: "ok",
        1: "ok",
        2: "interrupted",
    }
    assert sweep.table == ["run-0", "run-1", "run-2"]
    # The same command runs the rest.
    sweep.interruption = Interruption()
    outcomes, launcher = sweep.run(6)
    assert launcher.numbers == [2, 3, 4, 5]
    assert launcher.items[0].resumes == "run-2"
    assert [outcome.status for outcome in outcomes] == ["ok"] * 6


def test_a_second_ctrl_c_does_not_kill_cells_that_write_their_checkpoints(sweep: Sweep) -> None:
    class Slow(FakeLauncher):
        polls = 0

        def poll(self) -> list[Completion]:
            sweep.interruption.handle(2, None)
            self.polls += 1
            return super().poll() if self.polls > 3 else []

    made, _ = sweep.scheduler(1)
    slow = Slow(sweep.store, 1, cell_0=writes_row("interrupted"))
    made.launcher = slow
    with pytest.raises(KeyboardInterrupt):
        made.run()
    assert slow.calls == ["interrupt"]
    assert sweep.row("run-0")["status"] == "interrupted"


def test_cells_that_do_not_end_are_killed(sweep: Sweep, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(scheduler, "SHUTDOWN_SECONDS", 0.0)

    class Stubborn(FakeLauncher):
        def poll(self) -> list[Completion]:
            if "interrupt" not in self.calls:
                sweep.interruption.handle(2, None)
                return []
            if "kill" not in self.calls:
                return []
            return super().poll()

    made, _ = sweep.scheduler(1)
    stubborn = Stubborn(sweep.store, 1, cell_0=terminates("interrupted", "killed by SIGKILL"))
    made.launcher = stubborn
    with pytest.raises(KeyboardInterrupt):
        made.run()
    assert stubborn.calls[:2] == ["interrupt", "kill"]
    assert sweep.row("run-0")["error"] == "killed by SIGKILL"


def test_jobs_on_a_cluster_keep_running(sweep: Sweep) -> None:
    class Cluster(FakeLauncher):
        leaves_running = True

        def poll(self) -> list[Completion]:
            sweep.interruption.handle(2, None)
            return []

    made, _ = sweep.scheduler(3)
    made.launcher = cluster = Cluster(sweep.store, 3)
    with pytest.raises(KeyboardInterrupt):
        made.run()
    assert cluster.calls == []
    assert made.outcomes == {}
