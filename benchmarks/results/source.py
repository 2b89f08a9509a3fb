"""A results folder as a source of rows: those in run folders and the lines of its table."""

from __future__ import annotations

import contextlib
import csv
import logging
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from benchmarks.errors import UserError
from benchmarks.results.csv_table import check_format, opened, repair_torn, repeated_text
from benchmarks.results.index import Index
from benchmarks.results.store import Store
from benchmarks.system.atomic_files import set_aside

logger = logging.getLogger(__name__)

LONGEST_LIST = 10  # items named in a message

Cells = dict[str, str]


class Source:
    """A results folder to collect rows from."""

    def __init__(self, directory: Path) -> None:
        self.store = Store(directory)
        self.table = self.store.table
        if not self.store.runs.is_dir() and not self.table.is_file():
            raise UserError(f"{directory}: is no results folder (it has no runs/ or results.csv)")
        self.index = Index(directory, repair=True)
        self.header: list[str] = []
        self.columns: dict[str, None] = {}

    def open(self) -> None:
        """Find the rows and check the table; an unreadable table is set aside."""
        self.index.refresh()
        if not self.table.is_file():
            return
        repeated: list[int] = []
        try:
            check_format(self.table)
            with contextlib.suppress(PermissionError):  # a torn line remains in a read-only table
                repair_torn(self.table)
            with opened(self.table, repeated) as (header, lines):
                if header and "run_id" not in header:
                    raise ValueError("it has no column run_id")
                for _ in lines:
                    pass
            self.header = header
            self.columns |= dict.fromkeys(header)
            if repeated:
                logger.warning("%s: %s", self.table, repeated_text(repeated))
        except (ValueError, csv.Error) as error:
            aside = set_aside(self.table, "unreadable")
            consequence = f"set aside as {aside.name}" if aside else "not used"
            logger.warning("%s is not a table and is %s (%s)", self.table, consequence, error)

    def rows(self) -> Iterator[dict[str, Any]]:
        """Iterate over the rows of the run folders ordered by run id, and collect the columns."""
        for run_id in sorted(self.index.entries):
            row = self.index.row(run_id)
            if row is not None:
                if not row.keys() <= self.columns.keys():
                    self.columns |= dict.fromkeys(row)
                yield row

    def lines(self) -> Iterator[Cells]:
        """Iterate over the lines of the table."""
        if not self.header:
            return
        with opened(self.table) as (header, lines):
            for line in lines:
                if line:
                    yield dict(zip(header, line, strict=False))

    def without_folder(self) -> Iterator[Cells]:
        """Iterate over the lines whose runs have no row in a folder, one per run id."""
        seen: set[str] = set()
        for line in self.lines():
            run_id = line.get("run_id", "")
            if run_id in self.index.entries or (run_id and run_id in seen):
                continue
            seen.add(run_id)
            yield line

    def unfinished(self) -> list[str]:
        """Return the run ids with a folder and no row."""
        with contextlib.suppress(FileNotFoundError):
            folders = {entry.name for entry in self.store.runs.iterdir() if entry.is_dir()}
            return sorted(folders - self.index.entries.keys())
        return []


def named(items: list[str]) -> str:
    """List the first items, and count the others."""
    more = len(items) - LONGEST_LIST
    return ", ".join(items[:LONGEST_LIST]) + (f" and {more} more" if more > 0 else "")
