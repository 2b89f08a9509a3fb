"""The series of a forecasting task, from a table of a user."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from tasks.base import DataError
from tasks.forecast.choices import parts_of, unit_of

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd

    from tasks.forecast.readers import SeriesTable

    Floats = np.ndarray[Any, np.dtype[np.float64]]
    Mask = np.ndarray[Any, np.dtype[np.bool_]]


MONTH = re.compile(
    r"(jan|feb|mar|apr|may|jun|jul|aug|sep|oct|nov|dec)[a-z]*\.?", flags=re.IGNORECASE
)
WIDE_YEARS = (
    ("month", "1949-01", MONTH, 6),
    ("quarter", "1949Q1", re.compile(r"(q[1-4]|[1-4]q)", flags=re.IGNORECASE), 4),
)
"""Columns of tables with one row per year: unit, example, names, and how many show such a table."""


@dataclass(frozen=True)
class Series:
    """A series to forecast, with further inputs.

    Attributes:
        title: of the data.
        column: name of the values.
        values: (steps,); a missing value repeats the one before.
        is_known: (steps,) False for missing values, which are no targets.
        features: further inputs (steps, features), likewise.
        times: of the steps, ascending.
        frequency: see `SeriesTable`.
    """

    title: str
    column: str
    values: Floats
    is_known: Mask
    features: Floats
    times: pd.Index[Any]
    frequency: str

    @property
    def unit(self) -> str:
        """What a step is, in the plural."""
        return unit_of(self.frequency)

    def sha256(self) -> str:
        """Return the hash of times and numbers."""
        lines = (
            f"{time},{value!r},{known},{features}\n"
            for time, value, known, features in zip(
                times_as_text(self.times),
                self.values.tolist(),
                self.is_known.tolist(),
                self.features.tolist(),
                strict=True,
            )
        )
        return hashlib.sha256("".join(lines).encode()).hexdigest()

    def ends(self) -> list[str]:
        """Return the first and the last time as text."""
        from tasks.forecast.dates import time_texts

        return time_texts(self.times[[0, -1]], self.frequency)

    def following(self, count: int) -> list[str]:
        """Return the times of the next steps after the end; empty texts if they are unknown."""

        from tasks.forecast.dates import time_texts

        if self.frequency == "row":
            start = len(self.times) + 1
            return [str(row) for row in range(start, start + count)]
        if not self.frequency:
            return [""] * count
        return time_texts(
            regular_times(self.times[-1], count + 1, self.frequency)[1:], self.frequency
        )


def amount(count: int, unit: str) -> str:
    """Return a count with its unit, in the singular if it is 1."""
    first, _, rest = unit.partition(" of ")
    if count == 1:
        words = first.removesuffix("s")
        return f"1 {words}{' of ' if rest else ''}{rest}"
    return f"{count:,} {unit}"


def regular_times(first: pd.Timestamp, count: int, frequency: str) -> pd.DatetimeIndex:
    """Return times that begin with the given one."""
    import pandas as pd

    number, alias = parts_of(frequency)
    # Weeks keep the weekday of the first time.
    step = f"{7 * number}D" if alias == "W" else f"{number}{alias}"
    offset = pd.tseries.frequencies.to_offset(step)
    return pd.DatetimeIndex([first + i * offset if i else first for i in range(count)])


def times_as_text(times: pd.Index[Any]) -> list[str]:
    """Return times in ISO format, without a time of day if there is none; or row numbers."""
    import pandas as pd

    if not isinstance(times, pd.DatetimeIndex):
        return [str(row + 1) for row in range(len(times))]
    if (times == times.normalize()).all():
        return [time.date().isoformat() for time in times]
    return [time.isoformat() for time in times]


def chosen_column(column: str | None, features: Sequence[str], table: SeriesTable) -> str:
    """Return the name of the column to forecast, as it is in the table."""
    names = [str(name) for name in table.values.columns]
    if column is not None:
        return names[0]
    if len(names) == 1:
        return names[0]
    refuse_wide(names, table.title)
    if features:
        raise DataError(f"task.column: is required with task.features={list(features)}")
    raise DataError(
        f"task.column: is required, because {table.title} has {len(names)} columns of numbers; "
        f"choose one of {', '.join(names)}"
    )


def refuse_wide(names: Sequence[str], title: str) -> None:
    """Raise DataError if the columns are the months or quarters of a year."""
    for unit, example, pattern, fewest in WIDE_YEARS:
        found = {m[1].lower(): m[0] for name in names if (m := pattern.fullmatch(name.strip()))}
        if len(found) >= fewest:
            raise DataError(
                f"{title}: the columns {', '.join(list(found.values())[:3])}, … are {unit}s; put "
                f"the table into long form: one row per {unit}, with the columns date (as in "
                f"{example}) and value"
            )


def series_of(table: SeriesTable, column: str, setting: str) -> tuple[Series, list[str]]:
    """Return the series of a column, the others as further inputs, and notices.

    Rows that are missing from a regular frequency are added. Empty cells at both ends are cut off,
    others repeat the value before.
    """
    import numpy as np

    frame = on_grid(table)
    rows = np.flatnonzero(frame.notna().all(axis=1))
    known = np.flatnonzero(frame[column].notna())
    if not len(rows):
        raise DataError(f"{setting}: no row has a number in every column of {list(frame)}")
    kept = frame.iloc[rows[0] : known[-1] + 1]
    is_known = kept[column].notna().to_numpy()
    notices = []
    if len(kept) < len(frame):
        notices.append(
            f"{setting}: {len(frame) - len(kept)} rows at the ends without {column} or a feature "
            f"are left out"
        )
    missing = int((~is_known).sum())
    if missing:
        notices.append(
            f"{setting}: {missing} of {len(kept)} values of {column} are missing; inputs repeat "
            f"the value before, and forecasts of them are neither trained nor scored"
        )
    gaps = int(kept.drop(columns=column).isna().any(axis=1).sum())
    if gaps:
        notices.append(f"{setting}: features are missing in {gaps} rows; inputs repeat the last")
    filled = kept.ffill()
    values = filled[column].to_numpy(np.float64)
    features = filled.drop(columns=column).to_numpy(np.float64)
    series = Series(table.title, column, values, is_known, features, kept.index, table.frequency)
    return series, notices


def on_grid(table: SeriesTable) -> pd.DataFrame:
    """Return the values with empty rows for the times that are missing from the frequency.

    Business days without a row are holidays, and are left out.
    """
    import numpy as np
    import pandas as pd

    from tasks.forecast.frequency import grid_of

    if table.frequency in ("", "row", "B"):
        return table.values
    times = pd.DatetimeIndex(table.times)
    positions = grid_of(times).positions
    count = int(positions[-1]) + 1
    if count == len(times):
        return table.values
    all_times = regular_times(times[0], count, table.frequency).to_numpy().copy()
    all_times[positions] = times.to_numpy()
    frame = pd.DataFrame(np.nan, index=pd.DatetimeIndex(all_times), columns=table.values.columns)
    frame.iloc[positions] = table.values.to_numpy()
    return frame
