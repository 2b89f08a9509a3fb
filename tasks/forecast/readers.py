"""Series from tables with a time column, and closes of prices."""

from __future__ import annotations

import importlib.util
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tasks.base import DataError
from tasks.forecast.cells import first_line, listed, shown
from tasks.forecast.columns import close_column, time_column, usual_column
from tasks.forecast.dates import DATE_ORDERS, time_texts
from tasks.forecast.frequency import gap_notice, grid_of
from tasks.forecast.rows import in_order, open_table, read_rows, repeated

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["DATE_ORDERS", "SeriesTable", "read_closes", "read_series", "time_texts", "usual_column"]


@dataclass(frozen=True)
class SeriesTable:
    """Series over one time axis.

    Attributes:
        times: ascending and unique; row numbers (`pd.RangeIndex`) without a time column.
        values: float64 columns by name, index = times; NaN only where a cell was empty.
        frequency: pandas alias (MS, QS, YS, W, D, B for business days, h, min, …), maybe with a
            number before it, as 15min; empty if irregular; "row" without times.
        title: file name, first and last time.
        notices: sentences on what was repaired, left out or chosen.
    """

    times: pd.Index[Any]
    values: pd.DataFrame
    frequency: str
    title: str
    notices: tuple[str, ...] = ()


def read_series(
    path: Path,
    setting: str,
    columns: Sequence[str] = (),
    time: str | None = None,
    dates: str | None = None,
) -> SeriesTable:
    """Read series from a table; `setting` begins error messages, as `task.data=FILE`.

    Args:
        columns: names, the target first; empty for all columns of numbers. Rows without a target
            are left out.
        time: name of the time column; None for the one with a usual name or with times.
        dates: order of dates such as 01/02/2015, one of `DATE_ORDERS`; None to infer it.

    Raises:
        DataError: the file cannot be used; the text says the line and what to do.
    """
    import pandas as pd

    table, place = open_table(path, setting)
    rows = read_rows(table, place, time_column(table, time, place), columns, dates)
    notices = rows.notices
    if rows.times is None:
        times: pd.Index[Any] = pd.RangeIndex(len(rows.values))
        values = rows.values.set_axis(times)
        title = f"{path.name}, {len(times)} rows"
        return SeriesTable(times, values, "row", title, notices)
    rows = in_order(rows)
    assert rows.times is not None
    grid = grid_of(pd.DatetimeIndex(rows.times).as_unit("us"))
    first, last = time_texts(grid.times[[0, -1]], grid.frequency)
    values = rows.values.set_axis(grid.times)
    notices = rows.notices + grid.notices + gap_notice(grid)
    return SeriesTable(
        grid.times, values, grid.frequency, f"{path.name}, {first} to {last}", notices
    )


def read_closes(csv: str | None, column: str | None = None) -> tuple[pd.Series[float], str]:
    """Return the closes by day, ascending, and a title for the data.

    Args:
        csv: path of a table; None for the series in the arch package.
        column: of the closes; None for the one with a usual name.
    """
    if csv is None:
        return arch_closes(), "S&P 500 (arch package)"
    closes, _ = read_close_file(Path(csv), f"task.csv={csv}", column)
    return closes, f"CSV {Path(csv).name}"


def read_close_file(
    path: Path, setting: str, column: str | None = None
) -> tuple[pd.Series[float], tuple[str, ...]]:
    """Return positive closes by day, ascending, and notices; see `read_series`."""
    import pandas as pd

    table, place = open_table(path, setting, has_settings=False)
    axis = time_column(table, None, place)
    if axis.cells is None:
        raise DataError(f"{setting}: no column 'date'; the columns are: {listed(table.frame)}")
    rows = read_rows(table, place, axis, [column or close_column(table, axis)], None)
    closes = rows.values.iloc[:, 0]
    if (closes <= 0).any():
        line = first_line(closes <= 0)
        value = shown(table.frame[str(closes.name)][line])
        raise place.error(line, f"{closes.name} must be a positive number: {value}")
    assert rows.times is not None
    days = rows.times.dt.normalize()
    lines = repeated(days)
    if lines is not None:
        raise DataError(
            f"{setting}: several rows on {days[lines[1]].date()} ({place.word}s {lines[0]} and "
            f"{lines[1]}), as in minute bars; keep one row per day"
        )
    rows = in_order(replace(rows, times=days))
    assert rows.times is not None
    index = pd.DatetimeIndex(rows.times)
    return pd.Series(rows.values.iloc[:, 0].to_numpy(), index=index), rows.notices


def arch_closes() -> pd.Series[float]:
    """Read the arch package's file of float32 closes without its import, which takes seconds."""
    import pandas as pd

    spec = importlib.util.find_spec("arch")
    if spec is None or spec.origin is None:
        raise DataError("the arch package, which contains the S&P 500 series, is not installed")
    table = pd.read_csv(Path(spec.origin).parent / "data" / "sp500" / "sp500.csv.gz")
    days = pd.to_datetime(table["Date"], format="%m/%d/%Y")
    return pd.Series(table["Close"].round(2).to_numpy(float), index=pd.DatetimeIndex(days))
