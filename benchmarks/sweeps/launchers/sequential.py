"""One cell or group after the other in this process: no start-up costs, no shield from a crash."""

from __future__ import annotations

import contextlib

from benchmarks.sweeps.cell import Cell, Ended
from benchmarks.sweeps.launchers.base import Launcher, Order, Surroundings, by_group
from benchmarks.sweeps.launchers.worker import run_cells
from benchmarks.system.environment import reset_process
from benchmarks.system.signals import Interruption


class BasicLauncher(Launcher):
    """Runs cells inside `start`; what a run leaves in the process is reset before the next.

    Args:
        around: where the sweep works.
        interruption: what ends the run within.
    """

    takes_groups = True

    def __init__(self, around: Surroundings, interruption: Interruption) -> None:
        self.around = around
        self.interruption = interruption
        self.ended: list[Ended] = []

    def room(self) -> int:
        """One, always."""
        return 1

    def start(self, orders: list[Order]) -> None:
        """Run the cells."""
        for part in by_group(orders):
            reset_process()
            cells = [order.cell for order in part]
            starts = [self.around.start(order) for order in part]
            log = self.around.folder.common_log(cells)
            with (
                log.open("a", encoding="utf-8", buffering=1) as file,
                contextlib.redirect_stdout(file),
                contextlib.redirect_stderr(file),
                self.interruption.immediate(),
            ):
                run_cells(cells, self.around.store, self.interruption, starts, self.ended.append)

    def poll(self) -> list[Ended]:
        """Return what `start` has run."""
        ended, self.ended = self.ended, []
        return ended

    def holds(self, cell: Cell) -> bool:
        """Whether a cell has been run."""
        return any(ended.cell.number == cell.number for ended in self.ended)

    def interrupt(self) -> None:
        """Nothing runs outside `start`."""

    def kill(self) -> None:
        """Nothing runs outside `start`."""
