"""A results folder as something to collect from: rows in run folders, lines in a table."""

from __future__ import annotations

import contextlib
import csv
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from benchmarks.errors import UserError
from benchmarks.results.csv_table import as_text, mend_torn, opened
from benchmarks.results.index import Index
from benchmarks.results.row import Status
from benchmarks.results.store import Store
from benchmarks.system.atomic_files import set_aside

LONGEST_LIST = 10
"""More things than this are counted, not named."""

Cells = dict[str, str]


@dataclass
class Edits:
    """What stands in a table otherwise than in the run folders.

    Attributes:
        cells: run id and column of each, as far as they are named.
        count: of all.
    """

    cells: list[str] = field(default_factory=list)
    count: int = 0

    def add(self, run_id: str, what: str) -> None:
        """Note one."""
        self.count += 1
        if len(self.cells) < LONGEST_LIST:
            self.cells.append(f"{run_id}: {what}")


class Source:
    """A results folder to collect from.

    Args:
        directory: the folder.

    Raises:
        UserError: it is none.
    """

    def __init__(self, directory: Path) -> None:
        self.store = Store(directory)
        self.table = self.store.table
        if not self.store.runs.is_dir() and not self.table.is_file():
            raise UserError(f"{directory}: is no results folder (it has no runs/ or results.csv)")
        self.index = Index(directory, repair=True)
        self.header: list[str] = []
        self.columns: dict[str, None] = {}

    def open(self) -> None:
        """Find the rows, and prove that the table can be read; else it is set aside."""
        self.index.refresh()
        if not self.table.is_file():
            return
        try:
            with contextlib.suppress(PermissionError):  # then a torn line stays where it is
                mend_torn(self.table)
            with opened(self.table) as (header, lines):
                if header and "run_id" not in header:
                    raise ValueError("it has no column run_id")
                for _ in lines:
                    pass
            self.header = header
            self.columns |= dict.fromkeys(header)
        except (ValueError, csv.Error) as error:
            aside = set_aside(self.table, "unreadable")
            fate = f"set aside as {aside.name}" if aside else "not used"
            print(f"warning: {self.table} cannot be read as a table and is {fate} ({error})")

    def rows(self) -> Iterator[dict[str, Any]]:
        """Go through the rows of the run folders in order of their ids, and learn the columns."""
        for run_id in sorted(self.index.entries):
            row = self.index.row(run_id)
            if row is not None:
                if not row.keys() <= self.columns.keys():
                    self.columns |= dict.fromkeys(row)
                yield row

    def lines(self) -> Iterator[Cells]:
        """Go through the lines of the table."""
        if not self.header:
            return
        with opened(self.table) as (header, lines):
            for line in lines:
                if line:
                    yield dict(zip(header, line, strict=False))

    def without_folder(self) -> Iterator[Cells]:
        """Go through the lines of the table whose runs have no row in a folder, each id once."""
        seen: set[str] = set()
        for line in self.lines():
            run_id = line.get("run_id", "")
            if run_id in self.index.entries or (run_id and run_id in seen):
                continue
            seen.add(run_id)
            yield line

    def unfinished(self) -> list[str]:
        """Run ids that have a folder and no row."""
        with contextlib.suppress(FileNotFoundError):
            folders = {entry.name for entry in self.store.runs.iterdir() if entry.is_dir()}
            return sorted(folders - self.index.entries.keys())
        return []

    def running(self) -> set[str]:
        """Ids of the runs that somebody works on."""
        leases = self.store.leases
        return {lease.run_id for lease in leases.all() if leases.is_live(lease)} - {""}

    def edits(self) -> Edits:
        """Compare the table with the run folders; a line that is merely old is no edit."""
        edits, seen = Edits(), set()
        for line in self.lines():
            run_id = line.get("run_id", "")
            if run_id in seen and run_id:
                edits.add(run_id, "a second line")
                continue
            seen.add(run_id)
            row = self.index.row(run_id) if run_id in self.index.entries else None
            if row is None or is_outdated(line, row):
                continue
            for name, cell in line.items():
                if name in row and cell != as_text(row[name]):
                    edits.add(run_id, f"{name} is {cell!r}, was {as_text(row[name])!r}")
        return edits


def is_outdated(line: Cells, row: dict[str, Any]) -> bool:
    """Whether a line was true once: the run has gone on, or was given up, since."""
    starts = line.get("starts", "")
    is_earlier = starts.isdigit() and int(starts) < int(row.get("starts") or 1)
    return is_earlier or line.get("status") == Status.INTERRUPTED != row["status"]


def named(things: list[str]) -> str:
    """List things, the first few by name."""
    more = len(things) - LONGEST_LIST
    return ", ".join(things[:LONGEST_LIST]) + (f" and {more} more" if more > 0 else "")
