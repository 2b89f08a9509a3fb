"""A sweep brings every cell to a row: what is skipped, continued, left to others, or has died."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from benchmarks import owner
from benchmarks.checkpoint import FILE_NAME
from benchmarks.claims import Claim
from benchmarks.config import Config, TrainSettings
from benchmarks.interruption import Interruption
from benchmarks.launchers.base import Launcher, Order, Surroundings
from benchmarks.owner import Owner, this_process
from benchmarks.results import COLUMNS, Row, Store
from benchmarks.sweeps import driver
from benchmarks.sweeps.board import Board
from benchmarks.sweeps.cell import Cell, Death, Ended, Outcome
from benchmarks.sweeps.driver import Driver
from benchmarks.sweeps.folder import SweepFolder
from models.recurrent import RecurrentSettings
from tasks.sp500 import Sp500Settings

CONFIG = Config(Sp500Settings(), RecurrentSettings(), TrainSettings())
ELSEWHERE = Owner(host="another machine", boot="b", pid=1, born="1")
DEAD = dataclasses.replace(this_process(), born="before this process")

Deed = Callable[["FakeLauncher", Order], Ended]


def cells(count: int) -> list[Cell]:
    return [Cell(n, [f"seed={n}"], f"seed={n}", CONFIG, [f"question-{n}"]) for n in range(count)]


def row_of(order: Order, status: str = "ok", **columns: Any) -> Row:
    number = order.cell.number
    columns = {"fingerprint": order.cell.fingerprints[0], "starts": 1} | columns
    return Row(order.continues or f"run-{number}", status, **columns)


def leaves(status: str, **columns: Any) -> Deed:
    """A cell that ends with a row."""

    def deed(launcher: FakeLauncher, order: Order) -> Ended:
        row = row_of(order, status, **columns)
        launcher.store.keep(row)
        return Ended(order.cell, row.run_id)

    return deed


class FakeLauncher(Launcher):
    """Does what it is told for each cell, so many at a time, and writes down what it was asked."""

    def __init__(self, store: Store, slots: int = 2, **deeds: Deed) -> None:
        self.store = store
        self.slots = slots
        self.deeds = deeds
        self.orders: list[Order] = []
        self.running: list[Order] = []
        self.most = 0
        self.asked: list[str] = []

    def room(self) -> int:
        return self.slots - len(self.running)

    def start(self, orders: list[Order]) -> None:
        assert len(orders) <= self.room()
        self.orders += orders
        self.running += orders
        self.most = max(self.most, len(self.running))

    def poll(self) -> list[Ended]:
        if not self.running:
            return []
        order = self.running.pop(0)
        deed = self.deeds.get(f"cell_{order.cell.number}", leaves("ok", test_score=1.5))
        return [deed(self, order)]

    def interrupt(self) -> None:
        self.asked.append("interrupt")

    def kill(self) -> None:
        self.asked.append("kill")

    @property
    def numbers(self) -> list[int]:
        return [order.cell.number for order in self.orders]


class Sweep:
    """A results folder, and sweeps over the same cells in it."""

    def __init__(self, directory: Path) -> None:
        self.store = Store(directory)
        self.interruption = Interruption()

    def driver(
        self, count: int, resume: str = "continue", slots: int = 2, **deeds: Deed
    ) -> tuple[Driver, FakeLauncher]:
        folder = SweepFolder(self.store.directory / "sweeps" / "s")
        folder.write(cells(count), [], "fake", count)
        around = Surroundings(self.store, self.store.index(), folder, Path("conf"))
        launcher = FakeLauncher(self.store, slots, **deeds)
        board = Board(count)
        made = Driver(cells(count), launcher, around, resume, board, self.interruption)
        return made, launcher

    def run(
        self, count: int, resume: str = "continue", slots: int = 2, **deeds: Deed
    ) -> tuple[list[Outcome], FakeLauncher]:
        made, launcher = self.driver(count, resume, slots, **deeds)
        outcomes = made.run()
        return [outcomes[number] for number in sorted(outcomes)], launcher

    def row(self, run_id: str) -> dict[str, Any]:
        row = self.store.row(run_id)
        assert row is not None
        return row

    @property
    def table(self) -> list[str]:
        lines = self.store.table.read_text().splitlines()[1:]
        return sorted(line.partition(",")[0] for line in lines)


@pytest.fixture
def sweep(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Sweep:
    monkeypatch.setattr(owner, "queued_jobs", lambda **asked: None)
    monkeypatch.setattr(driver, "ELSEWHERE_SECONDS", 0.0)
    return Sweep(tmp_path)


def test_every_cell_is_run_once_and_never_more_than_fit(sweep: Sweep) -> None:
    outcomes, launcher = sweep.run(7, slots=3)
    assert launcher.numbers == list(range(7))
    assert launcher.most == 3
    assert [outcome.status for outcome in outcomes] == ["ok"] * 7
    assert [outcome.score for outcome in outcomes] == [1.5] * 7
    assert sweep.table == [f"run-{number}" for number in range(7)]
    assert not any(outcome.is_old for outcome in outcomes)


STATUSES = ("ok", "failed", "diverged", "out_of_memory", "timeout", "interrupted")


@pytest.mark.parametrize(
    ("resume", "again"),
    [
        ("continue", [1, 2, 3, 4, 5, 6]),
        ("skip_failed", [5, 6]),
        ("never", [0, 1, 2, 3, 4, 5, 6]),
    ],
)
def test_what_the_same_command_runs_again(resume: str, again: list[int], sweep: Sweep) -> None:
    for number, status in enumerate(STATUSES):
        fingerprint = f"question-{number}"
        sweep.store.keep(Row(f"before-{number}", status, fingerprint=fingerprint, starts=1))
    outcomes, launcher = sweep.run(7, resume)  # the last has never been run
    assert launcher.numbers == again
    assert [outcome.cell.number for outcome in outcomes if not outcome.is_old] == again
    kept = [o.status for o in outcomes if o.is_old]
    assert kept == [s for n, s in enumerate(STATUSES) if n not in again]


def test_only_runs_that_were_cut_short_or_left_a_checkpoint_go_on(sweep: Sweep) -> None:
    for number, status in enumerate(STATUSES):
        fingerprint = f"question-{number}"
        sweep.store.keep(Row(f"before-{number}", status, fingerprint=fingerprint, starts=1))
    (sweep.store.runs / "before-3" / FILE_NAME).touch()  # out of memory
    _, launcher = sweep.run(6)
    continued = {order.cell.number: order.continues for order in launcher.orders}
    wanted = {1: None, 2: None, 3: "before-3", 4: "before-4", 5: "before-5"}
    assert continued == wanted
    assert sweep.row("before-5")["status"] == "ok"


def test_nothing_goes_on_if_all_is_to_be_run_anew(sweep: Sweep) -> None:
    sweep.store.keep(Row("before", "interrupted", fingerprint="question-0", starts=1))
    outcomes, launcher = sweep.run(1, "never")
    assert launcher.orders[0].continues is None
    assert outcomes[0].run_id == "run-0"


def test_a_run_killed_before_its_row_goes_on(sweep: Sweep) -> None:
    assert sweep.store.claims.take(Claim("question-0", "killed", DEAD, {"run_id": "killed"}))
    _, launcher = sweep.run(1)
    assert launcher.orders[0].continues == "killed"


def test_a_failed_cell_ends_nothing(sweep: Sweep) -> None:
    outcomes, _ = sweep.run(4, cell_1=leaves("failed", error="ValueError: a bug"))
    assert [outcome.status for outcome in outcomes] == ["ok", "failed", "ok", "ok"]
    assert outcomes[1].error == "ValueError: a bug"


# Deaths


def dies(status: str, text: str = "killed by SIGSEGV", owned: Owner | None = DEAD) -> Deed:
    """A cell whose process ends without a row, after it has claimed its question."""

    def deed(launcher: FakeLauncher, order: Order) -> Ended:
        if owned is not None:
            row = dataclasses.asdict(row_of(order, "interrupted", dataset="data", seed=5))
            claim = Claim(order.cell.fingerprints[0], row["run_id"], owned, row)
            assert launcher.store.claims.take(claim)
        return Ended(order.cell, death=Death(text, status))

    return deed


@pytest.mark.parametrize("status", ["failed", "interrupted", "timeout", "out_of_memory"])
def test_a_death_is_a_row_of_what_the_run_had_said_of_itself(status: str, sweep: Sweep) -> None:
    outcomes, _ = sweep.run(3, cell_1=dies(status))
    assert [outcome.status for outcome in outcomes] == ["ok", status, "ok"]
    row = sweep.row("run-1")
    assert (row["status"], row["error"]) == (status, "killed by SIGSEGV")
    assert (row["dataset"], row["seed"], row["fingerprint"]) == ("data", 5, "question-1")
    assert sweep.store.claims.read("question-1") is None
    assert sweep.table == ["run-0", "run-1", "run-2"]


def test_a_death_before_a_run_began_is_a_row_too(sweep: Sweep) -> None:
    outcomes, _ = sweep.run(2, cell_0=dies("failed", owned=None))
    row = sweep.row(outcomes[0].run_id)
    assert (row["status"], row["error"]) == ("failed", "killed by SIGSEGV")
    assert (row["fingerprint"], row["sweep"]) == ("question-0", "s")
    assert (row["task"], row["model"]) == ("sp500", CONFIG.model.label)
    assert set(row) == set(COLUMNS)


def test_a_process_that_ends_without_a_word_is_named(sweep: Sweep) -> None:
    outcomes, _ = sweep.run(1, cell_0=lambda launcher, order: Ended(order.cell))
    assert outcomes[0].status == "failed"
    assert outcomes[0].error == "the process left no row"


def test_a_death_after_the_row_changes_nothing(sweep: Sweep) -> None:
    """As when a process is killed between its row and the end of its claim."""

    def deed(launcher: FakeLauncher, order: Order) -> Ended:
        launcher.store.keep(row_of(order, "ok", test_score=2.5))
        return dies("interrupted")(launcher, order)

    outcomes, _ = sweep.run(1, cell_0=deed)
    assert (outcomes[0].status, outcomes[0].score) == ("ok", 2.5)
    assert sweep.row("run-0")["status"] == "ok"
    assert sweep.store.claims.read("question-0") is None


def test_a_death_in_a_later_start_replaces_the_row_of_an_earlier_one(sweep: Sweep) -> None:
    before = Row("before", "interrupted", fingerprint="question-0", starts=1)
    sweep.store.keep(before)

    def deed(launcher: FakeLauncher, order: Order) -> Ended:
        row = dataclasses.asdict(dataclasses.replace(before, starts=2))
        assert launcher.store.claims.take(Claim("question-0", "before", DEAD, row))
        return Ended(order.cell, death=Death("killed", "failed"))

    sweep.run(1, cell_0=deed)
    row = sweep.row("before")
    assert (row["status"], row["error"], row["starts"]) == ("failed", "killed", 2)


def test_a_run_given_up_after_many_starts_is_a_timeout(sweep: Sweep) -> None:
    def deed(launcher: FakeLauncher, order: Order) -> Ended:
        launcher.store.keep(row_of(order, "interrupted", starts=3))
        return Ended(order.cell, "run-0", Death("not finished after 3 starts", "timeout"))

    outcomes, _ = sweep.run(1, cell_0=deed)
    assert outcomes[0].status == "timeout"
    assert sweep.row("run-0")["error"] == "not finished after 3 starts"


def test_a_row_that_is_announced_but_not_there_is_a_death(sweep: Sweep) -> None:
    outcomes, _ = sweep.run(1, cell_0=lambda launcher, order: Ended(order.cell, "never written"))
    assert outcomes[0].status == "failed"
    assert sweep.row(outcomes[0].run_id)["status"] == "failed"


# Others at work


def test_a_cell_that_another_works_on_is_waited_for(sweep: Sweep) -> None:
    theirs = Claim("question-0", "theirs", ELSEWHERE)
    assert sweep.store.claims.take(theirs)

    def finish_theirs(launcher: FakeLauncher, order: Order) -> Ended:
        store = launcher.store
        store.keep(Row("theirs", "ok", fingerprint="question-0", starts=1, test_score=9.0))
        store.claims.release(theirs)
        return leaves("ok")(launcher, order)

    outcomes, launcher = sweep.run(3, cell_2=finish_theirs)
    assert launcher.numbers == [1, 2]
    assert [outcome.run_id for outcome in outcomes] == ["theirs", "run-1", "run-2"]
    assert outcomes[0].score == 9.0


def test_a_cell_whose_other_worker_gave_up_is_run_here(sweep: Sweep) -> None:
    theirs = Claim("question-0", "theirs", ELSEWHERE)
    assert sweep.store.claims.take(theirs)

    def release_theirs(launcher: FakeLauncher, order: Order) -> Ended:
        launcher.store.claims.release(theirs)
        return leaves("ok")(launcher, order)

    outcomes, launcher = sweep.run(2, cell_1=release_theirs)
    assert launcher.numbers == [1, 0]
    assert [outcome.run_id for outcome in outcomes] == ["run-0", "run-1"]


def test_a_cell_that_was_taken_while_it_started_is_left_to_the_taker(sweep: Sweep) -> None:
    tries: list[int] = []

    def taken_once(launcher: FakeLauncher, order: Order) -> Ended:
        tries.append(order.cell.number)
        if len(tries) == 1:
            return Ended(order.cell, is_taken=True)
        return leaves("ok")(launcher, order)

    outcomes, _ = sweep.run(1, cell_0=taken_once)
    assert tries == [0, 0]
    assert [outcome.status for outcome in outcomes] == ["ok"]


# Interruption


def test_an_interruption_lets_running_cells_end_and_starts_no_others(sweep: Sweep) -> None:
    def signal_comes(launcher: FakeLauncher, order: Order) -> Ended:
        sweep.interruption.handle(15, None)
        return leaves("ok")(launcher, order)

    made, launcher = sweep.driver(
        6, cell_1=signal_comes, cell_2=leaves("interrupted"), cell_3=dies("interrupted")
    )
    with pytest.raises(KeyboardInterrupt, match="SIGTERM"):
        made.run()
    assert launcher.asked == ["interrupt"]
    assert launcher.numbers == [0, 1, 2]
    assert {n: outcome.status for n, outcome in made.outcomes.items()} == {
        0: "ok",
        1: "ok",
        2: "interrupted",
    }
    assert sweep.table == ["run-0", "run-1", "run-2"]
    # And the same command again brings the rest.
    sweep.interruption = Interruption()
    outcomes, launcher = sweep.run(6)
    assert launcher.numbers == [2, 3, 4, 5]
    assert launcher.orders[0].continues == "run-2"
    assert [outcome.status for outcome in outcomes] == ["ok"] * 6


@pytest.mark.parametrize("impatient", ["again", "time"])
def test_cells_that_will_not_end_are_killed(
    impatient: str, sweep: Sweep, monkeypatch: pytest.MonkeyPatch
) -> None:
    if impatient == "time":
        monkeypatch.setattr(driver, "PATIENCE_SECONDS", 0.0)

    class Stubborn(FakeLauncher):
        def poll(self) -> list[Ended]:
            if "interrupt" not in self.asked:
                sweep.interruption.handle(2, None)
                return []
            if "kill" not in self.asked:
                if impatient == "again":
                    sweep.interruption.handle(2, None)
                return []
            return super().poll()

    made, _ = sweep.driver(1)
    stubborn = Stubborn(sweep.store, 1, cell_0=dies("interrupted", "killed by SIGKILL"))
    made.launcher = stubborn
    with pytest.raises(KeyboardInterrupt):
        made.run()
    assert stubborn.asked[:2] == ["interrupt", "kill"]
    assert sweep.row("run-0")["error"] == "killed by SIGKILL"


def test_jobs_on_a_cluster_are_left_alone(sweep: Sweep) -> None:
    class Cluster(FakeLauncher):
        leaves_running = True

        def poll(self) -> list[Ended]:
            sweep.interruption.handle(2, None)
            return []

    made, _ = sweep.driver(3)
    made.launcher = cluster = Cluster(sweep.store, 3)
    with pytest.raises(KeyboardInterrupt):
        made.run()
    assert cluster.asked == []
    assert made.outcomes == {}
