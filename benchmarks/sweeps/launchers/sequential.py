"""One cell or group after the other in this process: no start-up costs, no shield from a crash."""

from __future__ import annotations

import contextlib

from benchmarks.sweeps.cell import Cell, Completion
from benchmarks.sweeps.launchers.base import Launcher, SweepContext, WorkItem, grouped
from benchmarks.sweeps.launchers.worker import run_cells
from benchmarks.system.environment import reset_process
from benchmarks.system.signals import Interruption


class SequentialLauncher(Launcher):
    """Runs cells inside `start`; what a run leaves in the process is reset before the next.

    Args:
        around: where the sweep works.
        interruption: what ends the run within.
    """

    takes_groups = True

    def __init__(self, context: SweepContext, interruption: Interruption) -> None:
        self.context = context
        self.interruption = interruption
        self.ended: list[Completion] = []

    def free_slots(self) -> int:
        """One, always."""
        return 1

    def submit(self, items: list[WorkItem]) -> None:
        """Run the cells."""
        for part in grouped(items):
            reset_process()
            cells = [item.cell for item in part]
            starts = [self.context.start(item) for item in part]
            log = self.context.directory.shared_log(cells)
            with (
                log.open("a", encoding="utf-8", buffering=1) as file,
                contextlib.redirect_stdout(file),
                contextlib.redirect_stderr(file),
                self.interruption.immediate(),
            ):
                run_cells(cells, self.context.store, self.interruption, starts, self.ended.append)

    def poll(self) -> list[Completion]:
        """Return what `start` has run."""
        ended, self.ended = self.ended, []
        return ended

    def has_started(self, cell: Cell) -> bool:
        """Whether a cell has been run."""
        return any(ended.cell.number == cell.number for ended in self.ended)

    def interrupt(self) -> None:
        """Nothing runs outside `start`."""

    def kill(self) -> None:
        """Nothing runs outside `start`."""
