"""What the driver of a sweep asks of a launcher."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from pathlib import Path

from benchmarks.results.index import Index
from benchmarks.results.store import Store
from benchmarks.runner.run import Start
from benchmarks.sweeps.cell import Cell, Ended
from benchmarks.sweeps.directory import SweepFolder


@dataclass(frozen=True)
class Order:
    """A cell to run, and the unfinished run it goes on with, if any."""

    cell: Cell
    continues: str | None


@dataclass(frozen=True)
class Surroundings:
    """Where a sweep's launcher works."""

    store: Store
    index: Index
    folder: SweepFolder
    conf: Path

    def start(self, order: Order) -> Start:
        """What a run of this sweep is told."""
        return Start(
            is_cell=True,
            continues=order.continues,
            overrides=tuple(order.cell.overrides),
            sweep=self.folder.sweep_id,
            study=order.cell.study,
            trial=order.cell.trial,
        )


class Launcher(ABC):
    """Runs cells somewhere and says when they have ended. What they did, their rows tell."""

    @abstractmethod
    def room(self) -> int:
        """How many cells can be started now; those of a group count as one if it takes groups."""

    @abstractmethod
    def start(self, orders: list[Order]) -> None:
        """Start cells, at most as many as there is room for; those of a group are neighbours."""

    @abstractmethod
    def poll(self) -> list[Ended]:
        """Wait a moment at most and return the cells that have ended since."""

    @abstractmethod
    def interrupt(self) -> None:
        """Ask all cells to end, with a checkpoint where they can; `poll` still tells of them."""

    @abstractmethod
    def kill(self) -> None:
        """End whatever is left."""

    def holds(self, cell: Cell) -> bool:
        """Whether `poll` will tell of a cell's end: not if `start` failed before its turn."""
        return True

    leaves_running = False
    """Whether cells go on when the launching process ends, as on a cluster."""

    takes_groups = False
    """Whether cells of a group are run in one process."""


def by_group(orders: list[Order]) -> list[list[Order]]:
    """Part orders into those that are run in one process: of one group, or a cell by itself."""
    parts: list[list[Order]] = []
    for order in orders:
        if parts and order.cell.is_grouped_with(parts[-1][0].cell):
            parts[-1].append(order)
        else:
            parts.append([order])
    return parts
