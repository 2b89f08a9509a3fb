"""Header lines of files of series: one row of names from the two or three of yfinance."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from tasks.base import DataError
from tasks.common.tables import Table, ending, read_table, read_text, table_lines, table_of
from tasks.forecast.cells import fold, listed, shown

TIME_NAMES = (
    *("date", "datetime", "timestamp", "time", "month", "year", "period", "day", "ds", "week"),
    *("quarter", "observation_date", "time_period"),
)
PRICE_NAMES = ("open", "high", "low", "close", "adj close", "volume")
LEVEL_NAMES = ("ticker", "price", "symbol", "symbols", "attributes")
VALUE = r"[$€£]?[+-]?[\d.,:/ -]*\d[\d.,:/ -]*%?"


def read_file(path: Path, where: str) -> Table:
    """Read a table of series with one row of names."""
    table = read_any(path, where)
    names = {name: " ".join(str(name).split()) for name in table.frame.columns}
    return replace(table, frame=table.frame.rename(columns=names))


def read_any(path: Path, where: str) -> Table:
    """Read a table with the names of its columns as they are."""
    if ending(path) in (".parquet", ".jsonl", ".ndjson"):
        return read_table(path, where)
    return read_lines(read_text(path, where), where)


def read_lines(text: str, where: str) -> Table:
    """Read lines of separated cells, with one or several lines of names."""
    lines, separator = table_lines(text)
    lines, notices = with_one_header(lines, separator)
    refuse_values(lines, separator, where)
    table = table_of(lines, separator, where)
    return replace(table, notices=table.notices + notices)


def with_one_header(lines: list[str], separator: str) -> tuple[list[str], tuple[str, ...]]:
    """Return the lines with the header lines of pandas' column levels joined into the first."""
    used = [number for number, line in enumerate(lines) if line.strip()][:5]
    lines = list(lines)
    if len(used) < 2:
        return lines, ()
    rows = [split(lines[number], separator) for number in used]
    levels, time = levels_of(rows)
    if not levels:
        return lines, ()
    header, notice = joined(rows[:levels], time)
    written = io.StringIO()
    csv.writer(written, delimiter=separator, lineterminator="").writerow(header)
    lines[used[0]] = written.getvalue()
    dropped = levels + 1 if time and rows[levels][0] == time else levels
    for number in used[1:dropped]:
        lines[number] = ""
    return lines, notice


def split(line: str, separator: str) -> list[str]:
    """Return the cells of a line."""
    return [cell.strip() for cell in next(csv.reader([line], delimiter=separator))]


def levels_of(rows: list[list[str]]) -> tuple[int, str]:
    """Return the number of header lines and the name of the time column; 0 for a plain header."""
    for number in (1, 2):
        row = rows[number] if number < len(rows) else []
        # pandas writes the name of the index in a line of its own.
        if len(row) > 1 and fold(row[0]) in TIME_NAMES and not any(row[1:]):
            return number, row[0]
    first, second = rows[0], rows[1]
    if len(second) < 2 or any(re.fullmatch(VALUE, cell) for cell in second if cell):
        return 0, ""
    if fold(second[0]) in LEVEL_NAMES and all(second[1:]):
        return 2, "Date"
    empty = [n for n, cell in enumerate(second) if not cell]
    is_second = (
        bool(empty) and len(empty) < len(second) and any(fold(c) in PRICE_NAMES for c in first)
    )
    if is_second and all(fold(first[n]) in ("", *TIME_NAMES) for n in empty if n < len(first)):
        return 2, ""
    return 0, ""


def joined(levels: list[list[str]], time: str) -> tuple[list[str], tuple[str, ...]]:
    """Return one name per column, of the levels that differ between columns."""
    width = max(len(level) for level in levels)
    levels = [level + [""] * (width - len(level)) for level in levels]
    labels = int(bool(time))  # the names of the levels stand above the times
    series = [n for n in range(labels, width) if all(level[n] for level in levels)]
    differing = [level for level in levels if len({level[n] for n in series}) > 1]
    if not differing:
        is_price = [level for level in levels if any(fold(level[n]) in PRICE_NAMES for n in series)]
        differing = is_price[:1] or levels[:1]
    header = [" ".join(level[n] for level in differing if level[n]) for n in range(width)]
    for n in set(range(width)) - set(series):
        header[n] = next((level[n] for level in levels if level[n]), "")
    if time:
        header[0] = time
    constant = [level[series[0]] for level in levels if series and level not in differing]
    if len(levels) == 1:
        return header, ()
    of = f" (all columns: {listed(constant)})" if constant else ""
    return header, (f"{len(levels)} header lines are read as one{of}",)


def refuse_values(lines: Sequence[str], separator: str, where: str) -> None:
    """Raise DataError if the first line contains values in place of names."""
    first = next((number for number, line in enumerate(lines) if line.strip()), None)
    if first is None:
        return
    given = split(lines[first], separator)
    cells = [cell for cell in given if cell]
    # as pandas writes a table without names
    has_numbered_columns = given[0] == "" and cells == [*map(str, range(len(cells)))]
    if cells and not has_numbered_columns and all(re.fullmatch(VALUE, cell) for cell in cells):
        raise DataError(
            f"{where}: line {first + 1} contains values ({shown(lines[first])}), but must name "
            "the columns; put a line such as date,value above it"
        )
