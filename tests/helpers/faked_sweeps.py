"""Sweeps over cells that run nothing: tests determine how each one ends."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from pathlib import Path
from typing import Any

from benchmarks.config.schema import Config, TrainSettings
from benchmarks.results.leases import Lease
from benchmarks.results.row import Row, Status
from benchmarks.results.store import Store
from benchmarks.sweeps.cell import Cell, Completion, Outcome, Termination
from benchmarks.sweeps.directory import SweepDirectory
from benchmarks.sweeps.launchers.base import Launcher, SweepContext, WorkItem
from benchmarks.sweeps.progress import SweepProgress
from benchmarks.sweeps.scheduler import Scheduler
from benchmarks.system.processes import ProcessIdentity, this_process
from benchmarks.system.signals import Interruption
from models.recurrent import RecurrentSettings
from tasks.sp500 import Sp500Settings

CONFIG = Config(Sp500Settings(), RecurrentSettings(), TrainSettings())
DEAD = dataclasses.replace(this_process(), born="before this process")
Behaviour = Callable[["FakeLauncher", WorkItem], Completion]


def cells(count: int) -> list[Cell]:
    return [Cell(n, [f"seed={n}"], f"seed={n}", CONFIG, [f"fingerprint-{n}"]) for n in range(count)]


def row_of(item: WorkItem, status: str = "ok", **columns: Any) -> Row:
    number = item.cell.number
    columns = {"fingerprint": item.cell.fingerprints[0], "starts": 1} | columns
    return Row(item.resumes or f"run-{number}", status, **columns)


def writes_row(status: str, **columns: Any) -> Behaviour:
    """Return the behaviour of a cell that ends with a row."""

    def behaviour(launcher: FakeLauncher, item: WorkItem) -> Completion:
        row = row_of(item, status, **columns)
        launcher.store.write_row(row)
        return Completion(item.cell, row.run_id)

    return behaviour


def terminates(
    status: str, text: str = "killed by SIGSEGV", owned: ProcessIdentity | None = DEAD
) -> Behaviour:
    """Return the behaviour of a cell whose process acquires a lease and writes no row."""

    def behaviour(launcher: FakeLauncher, item: WorkItem) -> Completion:
        if owned is not None:
            row = dataclasses.asdict(row_of(item, "interrupted", dataset="data", seed=5))
            lease = Lease(item.cell.fingerprints[0], row["run_id"], owned, row)
            assert launcher.store.leases.acquire(lease)
        return Completion(item.cell, termination=Termination(text, Status(status)))

    return behaviour


class FakeLauncher(Launcher):
    """Apply the behaviour of each cell, and record the calls."""

    def __init__(self, store: Store, slots: int = 2, **behaviours: Behaviour) -> None:
        self.store = store
        self.slots = slots
        self.behaviours = behaviours
        self.items: list[WorkItem] = []
        self.running: list[WorkItem] = []
        self.most = 0
        self.calls: list[str] = []

    def free_slots(self) -> int:
        return self.slots - len(self.running)

    def submit(self, items: list[WorkItem]) -> None:
        assert len(items) <= self.free_slots()
        self.items += items
        self.running += items
        self.most = max(self.most, len(self.running))

    def poll(self) -> list[Completion]:
        if not self.running:
            return []
        item = self.running.pop(0)
        behaviour = self.behaviours.get(
            f"cell_{item.cell.number}", writes_row("ok", test_score=1.5)
        )
        return [behaviour(self, item)]

    def interrupt(self) -> None:
        self.calls.append("interrupt")

    def kill(self) -> None:
        self.calls.append("kill")

    @property
    def numbers(self) -> list[int]:
        return [item.cell.number for item in self.items]


class Sweep:
    """A results folder, and sweeps over the same cells in it."""

    def __init__(self, directory: Path) -> None:
        self.store = Store(directory)
        self.interruption = Interruption()

    def scheduler(
        self, count: int, resume: str = "continue", slots: int = 2, **behaviours: Behaviour
    ) -> tuple[Scheduler, FakeLauncher]:
        folder = SweepDirectory(self.store.directory / "sweeps" / "s")
        folder.write(cells(count), [], "fake", count)
        context = SweepContext(self.store, self.store.index(), folder, Path("conf"))
        launcher = FakeLauncher(self.store, slots, **behaviours)
        progress = SweepProgress(count)
        made = Scheduler(cells(count), launcher, context, resume, progress, self.interruption)
        return made, launcher

    def run(
        self, count: int, resume: str = "continue", slots: int = 2, **behaviours: Behaviour
    ) -> tuple[list[Outcome], FakeLauncher]:
        made, launcher = self.scheduler(count, resume, slots, **behaviours)
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
