"""The interface between a sweep's scheduler and its launchers."""

from __future__ import annotations

import contextlib
import os
from abc import ABC, abstractmethod
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from benchmarks import PROJECT_ROOT
from benchmarks.results.index import Index
from benchmarks.results.store import Store
from benchmarks.runner.run import RunOptions
from benchmarks.sweeps.cell import Cell, Completion
from benchmarks.sweeps.directory import SweepDirectory


@dataclass(frozen=True)
class WorkItem:
    """A cell to run, and the id of the unfinished run to resume, if there is one."""

    cell: Cell
    resumes: str | None


@dataclass(frozen=True)
class SweepContext:
    """The results folder, directory and configuration folder of a sweep."""

    store: Store
    index: Index
    directory: SweepDirectory
    conf: Path

    def options(self, item: WorkItem) -> RunOptions:
        """Return the options of an item's run."""
        return RunOptions(
            is_cell=True,
            resumes=item.resumes,
            overrides=tuple(item.cell.overrides),
            sweep=self.directory.sweep_id,
            study=item.cell.study,
            trial=item.cell.trial,
        )

    def is_leased(self, cell: Cell) -> bool:
        """Return True if a process that is alive holds a lease of a cell."""
        found = [self.store.leases.read(fingerprint) for fingerprint in cell.fingerprints]
        return any(lease is not None and self.store.leases.is_live(lease) for lease in found)


class Launcher(ABC):
    """Run cells and report their completion; their results are in their rows.

    Attributes:
        leaves_running: cells keep running after the launching process ends, as on a cluster.
        takes_groups: cells of a group run in one process and use one slot.
    """

    leaves_running = False
    takes_groups = False

    @abstractmethod
    def free_slots(self) -> int:
        """Return the number of cells or groups that can start now."""

    @abstractmethod
    def submit(self, items: list[WorkItem]) -> None:
        """Start cells, at most as many as there are free slots; groups are contiguous."""

    @abstractmethod
    def poll(self) -> list[Completion]:
        """Return the cells that have ended since the last call, waiting briefly for one."""

    def interrupt(self) -> None:
        """Request all cells to write a checkpoint and end; `poll` reports them."""
        return

    def kill(self) -> None:
        """Kill the remaining cells."""
        return

    def has_started(self, cell: Cell) -> bool:
        """Return True if `poll` will report a cell; False if `submit` failed before it started."""
        return True


def grouped(items: list[WorkItem]) -> list[list[WorkItem]]:
    """Split items into those that share a process."""
    parts: list[list[WorkItem]] = []
    for item in items:
        if parts and item.cell.is_grouped_with(parts[-1][0].cell):
            parts[-1].append(item)
        else:
            parts.append([item])
    return parts


@contextlib.contextmanager
def child_environment(**variables: str) -> Iterator[None]:
    """Set variables for child processes within the block, and let them import this checkout."""
    saved = dict(os.environ)
    paths = [str(PROJECT_ROOT), *filter(None, [saved.get("PYTHONPATH")])]
    try:
        os.environ |= {"PYTHONPATH": os.pathsep.join(paths), **variables}
        yield
    finally:
        os.environ.clear()
        os.environ.update(saved)
