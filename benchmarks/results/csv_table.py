"""The results table as a view: a CSV that any process may bring up to date, without a lock.

Every update reads the table, adds what the run folders have and it has not, and puts the result in
its place by one renaming. Two that do so at once may overwrite one another's, so each looks again
after its own renaming: the last of them finds whatever is missing. Rows and columns that came from
elsewhere, an older or newer version or a hand, are kept.
"""

from __future__ import annotations

import contextlib
import csv
import io
import re
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, BinaryIO, TextIO

from benchmarks.results.index import Entry, Index
from benchmarks.system.atomic_files import remove_drafts, replacing, write_atomically

ROUNDS = 100
"""More processes than this ending in the same moment leave the rest to whoever looks next."""

SHARE_OF_TIME = 0.05
"""Of a sweep, at most, that `update(lazily=True)` spends on writing the table."""

Signature = tuple[int, int, int]
State = tuple[str, int]
"""Status and starts of a run: a row of the table is old if its run's are others."""


class TableView:
    """A table and the index of the runs it shows.

    Args:
        table: the CSV file.
        index: of the run folders beside it.
        columns: those a new table has, in order.
    """

    def __init__(self, table: Path, index: Index, columns: list[str]) -> None:
        self.table = table
        self.index = index
        self.columns = columns
        self._known: dict[str, State] = {}
        self._signature: Signature | None = None
        self._finished_at = -1e9
        self._told = ""
        self._cost = 0.0

    def update(self, lazily: bool = False) -> None:
        """Bring the table up to date; lazily, not so often that it takes a sweep's time.

        A table that cannot be read or written is told of and left: the rows are in their folders.
        """
        started = time.monotonic()
        if lazily and started - self._finished_at < self._cost / SHARE_OF_TIME:
            return
        try:
            for _ in range(ROUNDS):
                self.index.refresh()
                self._look()
                old = {e.run_id for e in self.index.entries.values() if not self._shows(e)}
                if not old:
                    break
                self._rewrite(old)
        except (OSError, ValueError, csv.Error) as error:
            if str(error) == self._told:
                return
            self._told = str(error)
            print(
                f"warning: {self.table} could not be brought up to date ({error}); "
                f"no row is lost, each is in its folder under {self.index.runs}"
            )
        if self.index.unsaved >= 100:
            self.index.save()
        self._finished_at = time.monotonic()
        self._cost = self._finished_at - started

    def _shows(self, entry: Entry) -> bool:
        return self._known.get(entry.run_id) == (entry.status, entry.starts)

    def _look(self) -> None:
        """Learn what the table shows, unless it is as this view left it."""
        try:
            found = self.table.stat()
        except FileNotFoundError:
            self._known, self._signature = {}, None
            return
        signature = (found.st_ino, found.st_size, found.st_mtime_ns)
        if signature == self._signature:
            return
        lacks_end = mend_torn(self.table)
        with opened(self.table) as (header, lines):
            places = {name: i for i, name in enumerate(header)}
            self._known = {}
            line: list[str] = []
            for line in lines:
                run_id, status, starts = (
                    line[places[name]] if name in places and places[name] < len(line) else ""
                    for name in ("run_id", "status", "starts")
                )
                self._known[run_id] = (status, int(starts) if starts.isdigit() else 1)
        if lacks_end and header and line:
            self._forget_if_cut(dict(zip(header, line, strict=False)))
        self._signature = signature

    def _forget_if_cut(self, last: dict[str, str]) -> None:
        """Have a last line written again whose last cell is only the beginning of its value."""
        run_id, (name, cell) = last.get("run_id", ""), last.popitem()
        row = self.index.row(run_id) if run_id in self.index.entries else None
        value = as_text(row.get(name)) if row else cell
        if value != cell and value.startswith(cell):
            self._known.pop(run_id, None)

    def _rewrite(self, old: set[str]) -> None:
        """Replace the rows that are old and append those that are missing."""
        remove_drafts(self.table)
        columns = list(self.columns)
        while True:
            try:
                self._write(old, columns)
                return
            except UnknownColumnsError as error:  # of a row that a newer version left
                columns += error.names

    def _write(self, old: set[str], columns: list[str]) -> None:
        with replacing(self.table) as binary, text_of(binary) as file:
            writer = csv.writer(file, lineterminator="\n")
            missing = set(old)
            with opened(self.table) as (header, lines):
                columns = header + [name for name in columns if name not in header]
                writer.writerow(columns)
                place = header.index("run_id") if "run_id" in header else len(columns)
                for line in lines:
                    run_id = line[place] if place < len(line) else ""
                    row = self.index.row(run_id) if run_id in missing else None
                    missing.discard(run_id)
                    line += [""] * (len(columns) - len(line))
                    writer.writerow(cells_of(row, columns, line) if row else line)
            for run_id in sorted(missing):
                row = self.index.row(run_id)
                if row:
                    writer.writerow(cells_of(row, columns))
        self._signature = None


class UnknownColumnsError(Exception):
    """A row has columns that the table being written lacks."""

    def __init__(self, names: list[str]) -> None:
        super().__init__(names)
        self.names = names


def cells_of(row: dict[str, Any], columns: list[str], line: list[str] | None = None) -> list[str]:
    """Write a row as cells.

    Args:
        row: by column.
        columns: in order.
        line: the run's cells before, which stay where they are of columns that the row has not.

    Raises:
        UnknownColumnsError: the row has other columns.
    """
    unknown = row.keys() - set(columns)
    if unknown:
        raise UnknownColumnsError([name for name in row if name in unknown])
    if line is None:
        return [as_text(row.get(name)) for name in columns]
    pairs = zip(columns, line, strict=False)
    return [as_text(row[name]) if name in row else cell for name, cell in pairs]


@contextlib.contextmanager
def opened(table: Path) -> Iterator[tuple[list[str], Iterator[list[str]]]]:
    """Open a table as its header and its lines; one that is not there is empty."""
    if not table.exists():
        yield [], iter(())
        return
    with table.open(newline="", encoding="utf-8-sig") as file:
        lines = csv.reader(file)
        yield next(lines, []), lines


@contextlib.contextmanager
def text_of(binary: BinaryIO) -> Iterator[TextIO]:
    """Write text into a binary file that stays open."""
    text = io.TextIOWrapper(binary, encoding="utf-8", newline="")
    try:
        yield text
    finally:
        text.detach()  # which flushes


def mend_torn(table: Path) -> bool:
    """Move what a crash left of a last line to a file beside the table.

    rnnbench never tears a line; other programs that append may.

    Returns:
        Whether there is a last line that has all its cells and no end.
    """
    if ends_well(table):
        return False
    whole, torn = split_torn(table.read_text(encoding="utf-8-sig"))
    if torn:
        with table.with_name(f"{table.name}.torn").open("a", encoding="utf-8") as file:
            file.write(f"{torn}\n")
        write_atomically(table, whole)
        print(f"warning: the torn last line of {table} was moved to {table.name}.torn")
    return not torn


def ends_well(table: Path) -> bool:
    """Whether a table ends with a whole line; finding out takes no memory."""
    quotes, last = 0, b"\n"
    with table.open("rb") as file:
        while block := file.read(2**20):
            quotes += block.count(b'"')
            last = block[-1:]
    return last == b"\n" and quotes % 2 == 0


def split_torn(text: str) -> tuple[str, str]:
    """Split a table into whole lines and what a crash left of the last; either may be empty.

    A last line with as many cells as the header and no open quote lacks only its end, and gets it.
    """
    if text.endswith("\n") and text.count('"') % 2 == 0:
        return text, ""
    end, in_quotes = 0, False
    for mark in re.finditer(r'["\n]', text):
        if mark[0] == '"':
            in_quotes = not in_quotes
        elif not in_quotes:
            end = mark.end()
    whole, rest = text[:end], text[end:]
    cells = next(csv.reader(io.StringIO(rest)), [])
    header = next(csv.reader(io.StringIO(whole)), cells)
    if not in_quotes and len(cells) == len(header):
        return f"{text}\n" if rest else text, ""
    return whole, rest


def as_text(value: Any) -> str:
    """Write a value as a cell: empty for None, true and false in lower case, floats in full."""
    if value is None:
        return ""
    if isinstance(value, bool):
        return "true" if value else "false"
    return repr(value) if isinstance(value, float) else str(value)
