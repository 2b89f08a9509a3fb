"""The results table: a CSV view of the rows that any process may update, without a lock.

Two concurrent updates may overwrite each other, so each checks again after its renaming: the last
one adds the missing rows. Rows and columns of other versions, and added by hand, are kept.
"""

from __future__ import annotations

import contextlib
import csv
import io
import itertools
import logging
import re
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from benchmarks.results.csv_cells import (
    CsvWriter,
    as_text,
    has_decimal_commas,
    other_separator,
    unescaped_line,
)
from benchmarks.results.index import Index
from benchmarks.system.atomic_files import remove_drafts, replacing, set_aside, write_atomically

logger = logging.getLogger(__name__)

ROUNDS = 100  # limit for repeated checks; rows still missing are added by the next update
CHECKED = 100  # first lines that are searched for decimal commas
SHARE_OF_TIME = 0.05  # maximum share of a sweep's time that `update(lazily=True)` takes


class TableView:
    """A results table and the index of the runs in it."""

    def __init__(self, table: Path, index: Index, columns: list[str]) -> None:
        self.table = table
        self.index = index
        self.columns = columns
        self._shown: dict[str, tuple[str, int]] = {}  # status and starts by run id
        self._signature: tuple[int, int, int] | None = None
        self._finished_at = -1e9
        self._warning = ""
        self._repeated: list[int] = []  # lines of the table that repeat its header
        self._cost = 0.0

    def update(self, lazily: bool = False) -> None:
        """Update the table; lazily, only if enough time has passed since the last update.

        A table that cannot be read or written is reported and left: the rows are in their folders.
        """
        started = time.monotonic()
        if lazily and started - self._finished_at < self._cost / SHARE_OF_TIME:
            return
        try:
            for _ in range(ROUNDS):
                self.index.refresh()
                self._read_states()
                outdated = {
                    entry.run_id
                    for entry in self.index.entries.values()
                    if self._shown.get(entry.run_id) != (entry.status, entry.starts)
                }
                if not outdated and not self._repeated:
                    break
                self._rewrite(outdated)
        except (OSError, ValueError, csv.Error) as error:
            if str(error) == self._warning:
                return
            self._warning = str(error)
            logger.warning(
                "%s could not be updated (%s); no row is lost, each is in its folder under %s",
                *(self.table, error, self.index.runs),
            )
        if self.index.unsaved >= 100:
            self.index.save()
        self._finished_at = time.monotonic()
        self._cost = self._finished_at - started

    def _read_states(self) -> None:
        """Read the states of the runs in the table, unless the file is unchanged."""
        try:
            found = self.table.stat()
        except FileNotFoundError:
            self._shown, self._signature = {}, None
            return
        signature = (found.st_ino, found.st_size, found.st_mtime_ns)
        if signature == self._signature:
            return
        self._shown, self._repeated = {}, []
        cells: dict[str, str] = {}
        try:
            check_format(self.table)
            has_unterminated_line = repair_torn(self.table)
            with opened(self.table, self._repeated) as (header, lines):
                for line in lines:
                    cells = dict(zip(header, line, strict=False))
                    starts = cells.get("starts", "")
                    state = (cells.get("status", ""), int(starts) if starts.isdigit() else 1)
                    self._shown[cells.get("run_id", "")] = state
        except (ValueError, csv.Error) as error:
            self._set_aside(error)
            return
        if self._repeated:
            logger.warning("%s: %s", self.table, repeated_text(self._repeated))
        if has_unterminated_line and cells:
            self._replace_if_cut(cells)
        self._signature = signature

    def _set_aside(self, error: Exception) -> None:
        """Move a table that another program has written in another format out of the way."""
        self._shown, self._repeated, self._signature = {}, [], None
        if aside := set_aside(self.table, "unreadable"):
            logger.warning(
                "%s is not a table of this program (%s): it is set aside as %s, and rebuilt from "
                "the runs",
                *(self.table, error, aside.name),
            )

    def _replace_if_cut(self, last: dict[str, str]) -> None:
        """Mark the last row as outdated if its last cell was cut off."""
        run_id, (name, cell) = last.get("run_id", ""), last.popitem()
        row = self.index.row(run_id) if run_id in self.index.entries else None
        value = as_text(row.get(name)) if row else cell
        if value != cell and value.startswith(cell):
            self._shown.pop(run_id, None)

    def _rewrite(self, outdated: set[str]) -> None:
        """Replace outdated rows and append missing ones."""
        columns = dict.fromkeys(self.columns)
        for run_id in sorted(outdated):  # a row of a newer version has further columns
            columns |= dict.fromkeys(self.index.row(run_id) or {})
        self._write(outdated, list(columns))

    def _write(self, outdated: set[str], columns: list[str]) -> None:
        with table_writer(self.table) as writer:
            missing = set(outdated)
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
        self._signature, self._repeated = None, []


def cells_of(row: dict[str, Any], columns: list[str], line: list[str] | None = None) -> list[str]:
    """Return the cells of a row; previous cells are kept for columns that are not in the row."""
    if line is None:
        return [as_text(row.get(name)) for name in columns]
    pairs = zip(columns, line, strict=False)
    return [as_text(row[name]) if name in row else cell for name, cell in pairs]


def check_format(table: Path) -> None:
    """Raise ValueError if a spreadsheet has saved a table with other separators or numbers."""
    with opened(table) as (header, lines):
        if name := other_separator(header):
            raise ValueError(f"its columns are separated by {name}")
        if any(has_decimal_commas(header, line) for line in itertools.islice(lines, CHECKED)):
            raise ValueError("its numbers have decimal commas")


@contextlib.contextmanager
def opened(
    table: Path, repeated: list[int] | None = None
) -> Iterator[tuple[list[str], Iterator[list[str]]]]:
    """Open a table as its header and its lines; a missing table is empty.

    Lines that repeat the header are left out; their numbers are appended to `repeated`.

    Raises:
        ValueError: within the block, at a line with another header.
    """
    if not table.exists():
        yield [], iter(())
        return
    with table.open(newline="", encoding="utf-8-sig") as file:
        lines = csv.reader(file)
        header = unescaped_line(next(lines, []))
        place = header.index("run_id") if "run_id" in header else len(header)

        def rows() -> Iterator[list[str]]:
            for line in map(unescaped_line, lines):
                if line[place : place + 1] != ["run_id"]:
                    yield line
                elif line != header:
                    raise ValueError(f"line {lines.line_num} is a header with other columns")
                elif repeated is not None:
                    repeated.append(lines.line_num)

        yield header, rows()


def repeated_text(places: list[int], noun: str = "line") -> str:
    """Return a sentence about lines that repeat the header."""
    named = ", ".join(map(str, places[:10])) + (", …" if len(places) > 10 else "")
    if len(places) == 1:
        return f"{noun} {named} repeats the header and is dropped"
    return f"{noun}s {named} repeat the header and are dropped"


@contextlib.contextmanager
def table_writer(table: Path) -> Iterator[CsvWriter]:
    """Replace a table atomically by the lines that are written in the block."""
    remove_drafts(table)
    with replacing(table) as binary:
        text = io.TextIOWrapper(binary, encoding="utf-8", newline="")
        try:
            yield CsvWriter(text)
        finally:
            text.detach()  # which flushes


def repair_torn(table: Path) -> bool:
    """Move an incomplete last line, left by another program, to a file beside the table.

    Return True if the last line is complete except for its line end.
    """
    quotes, last = 0, b"\n"
    with table.open("rb") as file:
        while block := file.read(2**20):
            quotes += block.count(b'"')
            last = block[-1:]
    if last == b"\n" and quotes % 2 == 0:
        return False
    whole, torn = split_torn(table.read_text(encoding="utf-8-sig"))
    if torn:
        with table.with_name(f"{table.name}.torn").open("a", encoding="utf-8") as torn_file:
            torn_file.write(f"{torn}\n")
        write_atomically(table, whole)
        logger.warning("the torn last line of %s was moved to %s.torn", table, table.name)
    return not torn


def split_torn(text: str) -> tuple[str, str]:
    """Split a table into complete lines and a last line with an open quote or too few cells."""
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
