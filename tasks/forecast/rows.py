"""The rows of a file of series: checked, parsed and in order of time."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tasks.base import DataError
from tasks.common.tables import Table, ending
from tasks.forecast.cells import Place, first_line, fold, is_empty, listed, shown
from tasks.forecast.columns import (
    ADJUSTED,
    TimeColumn,
    find_column,
    number_columns,
    reason_of_duplicates,
    usual_column,
)
from tasks.forecast.dates import checked, parse_times
from tasks.forecast.headers import read_file
from tasks.forecast.numbers import parse_numbers

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True)
class Rows:
    """The rows of a file that have values; all three have the lines of the file as index.

    Attributes:
        values: of the wanted columns.
        times: None without a time column.
        written: the times as in the file.
    """

    table: Table
    place: Place
    axis: TimeColumn
    values: pd.DataFrame
    times: pd.Series[Any] | None
    written: pd.Series[Any] | None
    notices: tuple[str, ...]


def open_table(path: Path, setting: str, has_settings: bool = True) -> tuple[Table, Place]:
    """Read a table as text; its index is that of error messages."""
    table = read_file(path, setting)
    if not len(table.frame):
        raise DataError(f"{setting}: there are no rows below the names of the columns")
    if ending(path) != ".parquet":
        return table, Place(setting, "line", has_settings)
    table.frame.index = table.frame.index + 1
    return table, Place(setting, "row", has_settings)


def read_rows(
    table: Table, place: Place, axis: TimeColumn, columns: Sequence[str], dates: str | None
) -> Rows:
    """Return the rows of a file in its order, without those that have no value of the target."""
    values, target, notices = read_values(table, axis, columns, place)
    absent = values[target].isna() if columns else values.isna().all(axis="columns")
    if absent.any():
        notices += (notice_of_absent(absent, values, target if columns else "", axis, place),)
    if absent.all():
        raise DataError(f"{place.where}: the column {target} contains no numbers")
    values = values[~absent]
    if axis.cells is None:
        return Rows(table, place, axis, values, None, None, axis.notices + notices)
    written = axis.cells[~absent]
    full = written[~is_empty(written)]
    if not len(full):
        raise DataError(f"{place.where}: the column {axis.name} contains no times")
    times = parse_times(full, axis.name, place, dates)
    times = replace(times, values=times.values.reindex(written.index))
    parsed = checked(times, written, place, dates).values
    notices = axis.notices + times.notices + notices
    rows = Rows(table, place, axis, values, parsed, written, table.notices + notices)
    refuse_duplicates(rows)
    return rows


def read_values(
    table: Table, axis: TimeColumn, columns: Sequence[str], place: Place
) -> tuple[pd.DataFrame, str, tuple[str, ...]]:
    """Return the wanted columns as numbers, the target's name and notices."""
    numbers, texts = number_columns(table, axis)
    notices: tuple[str, ...] = ()
    settings = ["task.column", *["task.features"] * (len(columns) - 1)]
    wanted = [
        find_column(table, name, setting) for name, setting in zip(columns, settings, strict=False)
    ]
    for name, setting in zip(wanted, settings, strict=False):
        if name in axis.used:
            raise DataError(f"{setting}={name}: this is the column of times of {table.where}")
    if not wanted:
        wanted = numbers
        if texts:
            notices = (f"left out, as they are not numbers: {listed(texts)}",)
    if not wanted:
        names = listed(table.frame.columns)
        raise DataError(f"{table.where}: there is no column of numbers (the columns are: {names})")
    wanted = list(dict.fromkeys(wanted))
    frame = table.frame[list(dict.fromkeys([*numbers, *wanted]))]
    values = parse_numbers(frame, wanted, table.separator, place)
    for name in wanted:
        infinite = values[name].abs() == float("inf")
        if infinite.any():
            line = first_line(infinite)
            raise place.error(line, f"{name} must be finite: {shown(table.frame[name][line])}")
    target = wanted[0] if columns else usual_column(wanted, table.where) or wanted[0]
    return values, target, notices + notice_of_adjusted(table, numbers, target, place)


def notice_of_adjusted(
    table: Table, numbers: list[str], target: str, place: Place
) -> tuple[str, ...]:
    """Return a notice if the file has adjusted closes that differ from the closes used."""
    adjusted = [column for column in numbers if fold(column) in ADJUSTED]
    if fold(target) != "close" or not adjusted:
        return ()
    both = parse_numbers(table.frame[numbers], [target, adjusted[0]], table.separator, place)
    both = both.dropna()
    differ = int((both[target] != both[adjusted[0]]).sum())
    if not differ:
        return ()
    return (
        f"{adjusted[0]} (adjusted for dividends and splits) differs from {target} in {differ:,} of "
        f"{len(both):,} rows; task.column='{adjusted[0]}' uses it",
    )


def notice_of_absent(
    absent: pd.Series[bool], values: pd.DataFrame, target: str, axis: TimeColumn, place: Place
) -> str:
    """Return a notice that counts the rows without a value."""
    count = int(absent.sum())
    line = first_line(absent)
    when = f", {shown(axis.cells[line])}" if axis.cells is not None else ""
    rows = "1 row" if count == 1 else f"{count:,} rows"
    return (
        f"{rows} without a value{f' of {target}' if target else ''} left out "
        f"(the first: {place.word} {line}{when})"
    )


def refuse_duplicates(rows: Rows) -> None:
    """Raise DataError if a time occurs twice, with both lines and the probable reason."""
    times, table, place = rows.times, rows.table, rows.place
    assert times is not None
    assert rows.written is not None
    lines = repeated(times)
    if lines is None:
        return
    first, second = lines
    texts = number_columns(table, rows.axis)[1]
    reason = reason_of_duplicates(table.frame.loc[times.index], texts, rows.axis)
    text = f"duplicate date {shown(rows.written[second])} ({place.word}s {first} and {second})"
    count = int(times.duplicated().sum())
    if not reason:
        more = f"; {count} rows repeat a date" if count > 1 else ""
        raise DataError(f"{place.where}: {text}{more}; keep one row per date")
    raise DataError(f"{place.where}: {text}: {reason}")


def repeated(times: pd.Series[Any]) -> tuple[int, int] | None:
    """Return the two lines of the first repeated time; None if there is none."""
    again = times.duplicated()
    if not again.any():
        return None
    second = first_line(again)
    return first_line(times == times[second]), second


def in_order(rows: Rows) -> Rows:
    """Return the rows in order of time, with a notice if they were not."""
    times = rows.times
    assert times is not None
    if times.is_monotonic_increasing:
        return rows
    line = times.index[(times.diff().dt.total_seconds() < 0).to_numpy()][0]
    notice = f"sorted by time: {rows.place.word} {line} is earlier than the one before"
    if times.is_monotonic_decreasing:
        notice = "newest first in the file: turned around"
    times = times.sort_values()
    return replace(
        rows, times=times, values=rows.values.loc[times.index], notices=(*rows.notices, notice)
    )
