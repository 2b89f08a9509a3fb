"""What the driver of a sweep asks of a launcher."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from pathlib import Path

from benchmarks.results.index import Index
from benchmarks.results.store import Store
from benchmarks.runner.run import RunOptions
from benchmarks.sweeps.cell import Cell, Completion
from benchmarks.sweeps.directory import SweepDirectory


@dataclass(frozen=True)
class WorkItem:
    """A cell to run, and the unfinished run it goes on with, if any."""

    cell: Cell
    continues: str | None


@dataclass(frozen=True)
class SweepContext:
    """Where a sweep's launcher works."""

    store: Store
    index: Index
    directory: SweepDirectory
    conf: Path

    def start(self, item: WorkItem) -> RunOptions:
        """What a run of this sweep is told."""
        return RunOptions(
            is_cell=True,
            resumes=item.continues,
            overrides=tuple(item.cell.overrides),
            sweep=self.directory.sweep_id,
            study=item.cell.study,
            trial=item.cell.trial,
        )


class Launcher(ABC):
    """Runs cells somewhere and says when they have ended. What they did, their rows tell."""

    @abstractmethod
    def free_slots(self) -> int:
        """How many cells can be started now; those of a group count as one if it takes groups."""

    @abstractmethod
    def submit(self, items: list[WorkItem]) -> None:
        """Start cells, at most as many as there is room for; those of a group are neighbours."""

    @abstractmethod
    def poll(self) -> list[Completion]:
        """Wait a moment at most and return the cells that have ended since."""

    @abstractmethod
    def interrupt(self) -> None:
        """Ask all cells to end, with a checkpoint where they can; `poll` still tells of them."""

    @abstractmethod
    def kill(self) -> None:
        """End whatever is left."""

    def has_started(self, cell: Cell) -> bool:
        """Whether `poll` will tell of a cell's end: not if `start` failed before its turn."""
        return True

    leaves_running = False
    """Whether cells go on when the launching process ends, as on a cluster."""

    takes_groups = False
    """Whether cells of a group are run in one process."""


def grouped(items: list[WorkItem]) -> list[list[WorkItem]]:
    """Part orders into those that are run in one process: of one group, or a cell by itself."""
    parts: list[list[WorkItem]] = []
    for item in items:
        if parts and item.cell.is_grouped_with(parts[-1][0].cell):
            parts[-1].append(item)
        else:
            parts.append([item])
    return parts
