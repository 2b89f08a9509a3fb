"""Cells one after the other in this process: no start-up costs, no isolation from a crash."""

from __future__ import annotations

import contextlib

from benchmarks.sweeps.cell import Cell, Completion
from benchmarks.sweeps.launchers.base import Launcher, SweepContext, WorkItem, grouped
from benchmarks.sweeps.launchers.worker import run_cells
from benchmarks.system.environment import reset_process
from benchmarks.system.signals import Interruption


class SequentialLauncher(Launcher):
    """Run cells inside `submit`; the state that a run leaves in the process is reset."""

    takes_groups = True

    def __init__(self, context: SweepContext, interruption: Interruption) -> None:
        self.context = context
        self.interruption = interruption
        self.completions: list[Completion] = []

    def free_slots(self) -> int:
        """Return one: nothing runs between calls."""
        return 1

    def submit(self, items: list[WorkItem]) -> None:
        """Run the cells."""
        for group in grouped(items):
            reset_process()
            cells = [item.cell for item in group]
            options = [self.context.options(item) for item in group]
            log = self.context.directory.shared_log(cells)
            report = self.completions.append
            with (
                log.open("a", encoding="utf-8", buffering=1) as file,
                contextlib.redirect_stdout(file),
                contextlib.redirect_stderr(file),
                self.interruption.immediate(),
            ):
                run_cells(cells, self.context.store, self.interruption, options, report)

    def poll(self) -> list[Completion]:
        """Return the cells that `submit` has run."""
        completions, self.completions = self.completions, []
        return completions

    def has_started(self, cell: Cell) -> bool:
        """Return True if a cell has run."""
        return any(each.cell.number == cell.number for each in self.completions)
