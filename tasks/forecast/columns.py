"""The columns of a table of series: the times, and the numbers."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from tasks.base import DataError
from tasks.common.tables import Table
from tasks.forecast.cells import Place, fold, is_empty, listed, names_of
from tasks.forecast.dates import are_steps, look_like_times
from tasks.forecast.headers import TIME_NAMES
from tasks.forecast.numbers import are_numbers

if TYPE_CHECKING:
    import pandas as pd

CLOSE_NAMES = ("close", "close/last", "price", "closing price", "last")
ADJUSTED = ("adj close", "adj. close", "adj_close", "adjclose", "adjusted close")
CLOCK_NAMES = ("time", "hour", "hr", "time of day")
CLOCK = r"(\d{1,2}):?(\d{2})(?::?(\d{2}(?:\.\d+)?))?( ?[ap]m)?"
UNNAMED = r"index|unnamed: \d+|rownames|no\.?|nr\.?|id|row|#|"


@dataclass(frozen=True)
class TimeColumn:
    """The times of the rows as text.

    Attributes:
        cells: by line; None without a time column.
        name: for messages.
        used: names of columns that are not series.
    """

    cells: pd.Series[Any] | None
    name: str
    used: tuple[str, ...] = ()
    notices: tuple[str, ...] = ()


def is_close(name: str) -> bool:
    """Return True for a usual name of closes."""
    return fold(name) in (*CLOSE_NAMES, *ADJUSTED)


def usual_column(columns: Sequence[str], where: str = "") -> str | None:
    """Return the column with the close of prices; None if no name is usual.

    Raises:
        DataError: two columns differ only in case; `where` begins the message.
    """
    for name in CLOSE_NAMES:
        found = [column for column in columns if fold(column) == name]
        if len(found) > 1:
            raise DataError(
                f"{where}{': ' if where else ''}the columns {' and '.join(found)} differ only in "
                f"case; choose one: task.column={found[0]}"
            )
        if found:
            return found[0]
    return None


def close_column(table: Table, axis: TimeColumn) -> str:
    """Return the column of closes: the one with a usual name, else the only one of numbers."""
    name = usual_column(names_of(table.frame), table.where)
    if name is not None:
        return name
    numbers, _ = number_columns(table, axis)
    words = {column: fold(column).split() for column in numbers}
    closes = [c for c in numbers if "close" in words[c] and not words[c][0].startswith("adj")]
    if len(closes) > 1:
        raise DataError(f"{table.where}: several tickers in one file ({listed(closes)}); keep one")
    if len(closes) == 1 or len(numbers) == 1:
        return (closes or numbers)[0]
    raise DataError(
        f"{table.where}: no column 'close'; the columns are: {listed(table.frame.columns)}"
    )


def find_column(table: Table, name: str, setting: str) -> str:
    """Return the column of a name: the exact one, else the only one in another case."""
    columns = names_of(table.frame)
    found = [column for column in columns if fold(column) == fold(name)]
    if name in columns or len(found) == 1:
        return name if name in columns else found[0]
    if found:
        raise DataError(
            f"{table.where}: the columns {' and '.join(found)} differ only in case; "
            f"name one exactly with {setting}"
        )
    return table.named(name, setting)


def time_column(table: Table, name: str | None, place: Place) -> TimeColumn:
    """Return the times of the rows, of the given column or of the one that contains times."""
    frame = table.frame
    if name is not None:
        return with_clock(frame, find_column(table, name, "task.time"))
    parts = from_parts(frame)
    if parts is not None:
        return parts
    usual = [column for word in TIME_NAMES for column in names_of(frame) if fold(column) == word]
    fits = [column for column in usual if look_like_times(frame[column], numbers=True)]
    same = [column for column in fits if fold(column) == fold(fits[0])]
    if len(same) > 1:
        raise DataError(
            f"{table.where}: the columns {' and '.join(same)} differ only in case; "
            f"{place.choose_time()}"
        )
    if fits:
        return with_clock(frame, fits[0])
    return without_usual_name(table, usual, place)


def without_usual_name(table: Table, usual: list[str], place: Place) -> TimeColumn:
    """Return the times if no column with a usual name contains any."""
    frame = table.frame
    steps = [c for c in names_of(frame) if (c in usual or is_unnamed(c)) and are_steps(frame[c])]
    fits = [column for column in names_of(frame) if look_like_times(frame[column])]
    if len(fits) > 1:
        raise DataError(
            f"{table.where}: several columns contain times ({', '.join(fits)}); "
            f"{place.choose_time()}"
        )
    unnamed = [
        c for c in names_of(frame) if is_unnamed(c) and look_like_times(frame[c], numbers=True)
    ]
    fits = fits or [column for column in unnamed if column not in steps or is_years(frame[column])]
    if fits:
        found = with_clock(frame, fits[0])
        notice = () if is_unnamed(fits[0]) else (f"the times are those of the column {fits[0]}",)
        return TimeColumn(found.cells, found.name, found.used, notice + found.notices)
    if usual and usual[0] not in steps:
        return TimeColumn(frame[usual[0]], usual[0], (usual[0],))  # refused with its line
    what = f"the column {steps[0]} numbers the rows" if steps else "there is no column of times"
    return TimeColumn(None, "", tuple(steps), (f"{what}: the order of the file is taken as time",))


def is_unnamed(column: str) -> bool:
    """Return whether a column has the name of an index without one."""
    return re.fullmatch(UNNAMED, fold(column)) is not None


def is_years(cells: pd.Series[Any]) -> bool:
    """Return whether the cells are years, and not numbers of rows."""
    return float(cells.iloc[0]) >= 1500


def from_parts(frame: pd.DataFrame) -> TimeColumn | None:
    """Return times from the columns year and month (or quarter), with day and hour if given."""
    names = {fold(column): column for column in names_of(frame)}
    if "year" not in names or not {"month", "quarter"} & set(names):
        return None
    texts = {
        part: frame[names[part]].str.strip().str.replace(r"\.0+$", "", regex=True)
        for part in ("year", "month", "quarter", "day", "hour")
        if part in names
    }
    patterns = {"year": r"\d{4}", "month": r"\d{1,2}|[A-Za-z]{3,9}\.?", "quarter": r"[Qq]?[1-4]"}
    patterns |= {"day": r"\d{1,2}", "hour": r"\d{1,2}"}
    texts = {
        part: cells
        for part, cells in texts.items()
        if cells.fillna("x").str.fullmatch(patterns[part]).mean() > 0.5
    }
    if "year" not in texts:
        return None
    if "month" in texts:
        parts = ["year", "month", *(["day"] if "day" in texts else [])]
        cells = texts["year"] + "-" + month_numbers(texts["month"])
        if "day" in texts:
            cells = cells + "-" + texts["day"]
            if "hour" in texts:
                parts.append("hour")
                cells = cells + " " + texts["hour"] + ":00"
    elif "quarter" in texts:
        parts = ["year", "quarter"]
        cells = texts["year"] + "Q" + texts["quarter"].str.lstrip("Qq")
    else:
        return None
    used = tuple(names[part] for part in parts)
    notice = f"the times are joined from the columns {', '.join(used)}"
    return TimeColumn(cells, "+".join(used), used, (notice,))


def month_numbers(cells: pd.Series[Any]) -> pd.Series[Any]:
    """Return months as numbers where they are names."""
    names = ["jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec"]
    numbers = {name: str(number) for number, name in enumerate(names, 1)}
    return cells.str.slice(0, 3).str.lower().map(numbers).fillna(cells)


def with_clock(frame: pd.DataFrame, column: str) -> TimeColumn:
    """Return the times of a column, with the time of day of another one if days repeat."""
    days = frame[column]
    for name in names_of(frame):
        clock = clock_of(frame[name]) if name != column and fold(name) in CLOCK_NAMES else None
        if clock is None:
            continue
        if days.dropna().is_unique or days.str.contains(":", na=False).any():
            return TimeColumn(days, column, (column, name))
        cells = (days.str.strip() + " " + clock).where(days.notna())
        notice = f"the times are joined from the columns {column} and {name}"
        return TimeColumn(cells, f"{column}+{name}", (column, name), (notice,))
    return TimeColumn(days, column, (column,))


def clock_of(cells: pd.Series[Any]) -> pd.Series[Any] | None:
    """Return times of day as 15:30:00; None if the cells are not."""
    text = cells.str.strip().str.lower().fillna("")
    if text.str.fullmatch(r"\d{1,2}").all():
        hours = text.astype(int)
        return text + ":00" if hours.max() <= 24 and fold(str(cells.name)) != "time" else None
    parts = text.str.extract(f"^{CLOCK}$")
    if parts[0].isna().any():
        return None
    return parts[0] + ":" + parts[1] + ":" + parts[2].fillna("00") + parts[3].fillna("")


def number_columns(table: Table, axis: TimeColumn) -> tuple[list[str], list[str]]:
    """Return the columns of numbers, and those of other text."""
    frame = table.frame
    numbers, texts = [], []
    for column in names_of(frame):
        if column in axis.used or (is_unnamed(column) and are_steps(frame[column])):
            continue
        if are_numbers(frame[column]) > 0.5:
            numbers.append(column)
        elif not is_empty(frame[column]).all():
            texts.append(column)
    return numbers, texts


def reason_of_duplicates(frame: pd.DataFrame, columns: Sequence[str], axis: TimeColumn) -> str:
    """Return why times repeat: a column names several series or the time of day; else empty."""
    for column in columns:
        if column not in axis.used and clock_of(frame[column]) is not None:
            return f"minute bars, with the time of day in the column {column}; name it Time"
    words = ("ticker", "symbol", "name", "id", "stock", "series", "country", "store")
    candidates = sorted(
        (c for c in names_of(frame) if c not in axis.used and (c in columns or fold(c) in words)),
        key=lambda c: fold(c) not in words,
    )
    for column in candidates:
        values = frame[column].dropna().unique()
        pairs = frame.assign(_time=axis.cells)[["_time", column]]
        if 1 < len(values) <= len(frame) / 2 and not pairs.duplicated().any():
            what = "tickers" if fold(column) in ("ticker", "symbol", "name", "stock") else "series"
            return (
                f"several {what} in one file, in the column {column} ({listed(values)}); "
                "keep the rows of one"
            )
    return ""
