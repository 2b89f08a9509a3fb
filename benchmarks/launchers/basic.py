"""One cell after the other in this process: no start-up costs, and no protection from a crash."""

from __future__ import annotations

import contextlib

from benchmarks.environment import reset_process
from benchmarks.interruption import Interruption
from benchmarks.launchers.base import Launcher, Order, Surroundings
from benchmarks.launchers.child import run_cell
from benchmarks.sweeps.cell import Cell, Ended


class BasicLauncher(Launcher):
    """Runs a cell inside `start`; everything a run leaves in the process is reset before the next.

    Args:
        around: where the sweep works.
        interruption: what ends the run within.
    """

    def __init__(self, around: Surroundings, interruption: Interruption) -> None:
        self.around = around
        self.interruption = interruption
        self.ended: list[Ended] = []

    def room(self) -> int:
        """One, always."""
        return 1

    def start(self, orders: list[Order]) -> None:
        """Run the cells."""
        for order in orders:
            reset_process()
            log = self.around.folder.log(order.cell)
            with (
                log.open("a", encoding="utf-8", buffering=1) as file,
                contextlib.redirect_stdout(file),
                contextlib.redirect_stderr(file),
                self.interruption.immediate(),
            ):
                self.ended.append(
                    run_cell(
                        order.cell, self.around.store, self.interruption, self.around.start(order)
                    )
                )

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
