"""Cells of CSV files: values as text, in a form that a spreadsheet does not execute.

A spreadsheet executes text that begins with = + - or @, also after a tab or a line end. Such text
gets an apostrophe in front; reading removes it. Numbers need none, also negative ones.
"""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Iterable
from typing import Any, TextIO

from benchmarks.results.row import COLUMNS, KINDS

FORMULA = r"'*[=+\-@\t\r\n]"  # text with apostrophes of its own gets one more
_FORMULA = re.compile(FORMULA)
_NUMBER = re.compile(r"[+-](\d+\.?\d*|\.\d+)(e[+-]?\d+)?", re.IGNORECASE)
SEPARATORS = {";": "semicolons", "\t": "tabs"}
DECIMAL_COMMA = re.compile(r"-?\d+,\d+(e[+-]?\d+)?", re.IGNORECASE)
_FIRST = frozenset("=+-@\t\r\n'")  # what such text begins with: a test that is fast for the others


def escaped(cell: str) -> str:
    """Return a cell as it is written."""
    is_formula = _FORMULA.match(cell) and not _NUMBER.fullmatch(cell)
    return f"'{cell}" if is_formula else cell


def unescaped(cell: str) -> str:
    """Return the cell that was written."""
    return cell[1:] if cell[:1] == "'" and _FORMULA.match(cell) else cell


def unescaped_line(line: list[str]) -> list[str]:
    """Return the cells that were written."""
    return [unescaped(cell) if cell[:1] == "'" else cell for cell in line]


class CsvWriter:
    """Writer of lines with escaped cells."""

    def __init__(self, file: TextIO) -> None:
        self._file = file
        # The csv module quotes the characters of the line end, and must quote both.
        self._writer = csv.writer(self, lineterminator="\r\n")

    def writerow(self, cells: Iterable[str]) -> None:
        """Write a line."""
        self._writer.writerow([escaped(c) if c[:1] in _FIRST else c for c in cells])

    def write(self, line: str) -> None:
        """Write a line that the csv module has formatted."""
        self._file.write(f"{line[:-2]}\n")


def other_separator(header: list[str]) -> str:
    """Return the name of another separator than commas in a header; empty if there is none."""
    if not header or not set(header).isdisjoint(COLUMNS):
        return ""
    return next((name for mark, name in SEPARATORS.items() if mark in header[0]), "")


def has_decimal_commas(header: list[str], line: list[str]) -> bool:
    """Return True if a number of a line has a decimal comma, as some spreadsheets write."""
    cells = zip(header, line, strict=False)
    return any(
        DECIMAL_COMMA.fullmatch(cell)
        for name, cell in cells
        if "," in cell and KINDS.get(name) is float
    )


def csv_text(lines: Iterable[Iterable[Any]]) -> str:
    """Return lines of values as CSV."""
    text = io.StringIO()
    writer = CsvWriter(text)
    for line in lines:
        writer.writerow(map(as_text, line))
    return text.getvalue()


def as_text(value: Any) -> str:
    """Format a value as a cell: None is empty, bools are lower case, floats have all digits.

    Bytes of a file name that are not UTF-8 are escaped, as in `caf\\udce9.csv`.
    """
    if value is None:
        return ""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, float):
        return repr(float(value))
    text = str(value)
    return text if text.isascii() else text.encode(errors="backslashreplace").decode()
