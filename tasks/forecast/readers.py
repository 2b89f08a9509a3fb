"""Daily closing prices from a CSV file, or from the file in the arch package."""

from __future__ import annotations

import importlib.util
import math
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tasks.base import DataError

if TYPE_CHECKING:
    import pandas as pd

DAY_FORMATS = {r"\d+/.*": "%m/%d/%Y", r"\d{8}": "%Y%m%d"}  # or 2015-12-31, with any time of day


def read_closes(csv: str | None) -> tuple[pd.Series[float], str]:
    """Return the closes by day, ascending, and a title for the data."""
    import pandas as pd

    if csv is None:
        return closes_of(arch_series(), "the arch package's series"), "S&P 500 (arch package)"
    try:
        # Blank lines are kept as empty rows, so that an error can name the line in the file.
        table = pd.read_csv(csv, skip_blank_lines=False, dtype=str)
    except (OSError, ValueError, pd.errors.ParserError) as error:
        reason = " ".join(str(error).split())
        raise DataError(f"task.csv={csv}: cannot be read as CSV ({reason})") from error
    return closes_of(table.dropna(how="all"), f"task.csv={csv}"), f"CSV {Path(csv).name}"


def arch_series() -> pd.DataFrame:
    """Read the arch package's file of float32 closes without its import, which takes seconds."""
    import pandas as pd

    spec = importlib.util.find_spec("arch")
    if spec is None or spec.origin is None:
        raise DataError("the arch package, which contains the S&P 500 series, is not installed")
    table = pd.read_csv(Path(spec.origin).parent / "data" / "sp500" / "sp500.csv.gz")
    return table.assign(Close=table["Close"].round(2))


def closes_of(table: pd.DataFrame, where: str) -> pd.Series[float]:
    """Return the closes by day of a table with the columns date and close, in any case.

    Row i is line i + 2 of the file; `where` is the start of error messages.
    """
    import pandas as pd

    names = {str(column).strip().lower(): column for column in table.columns}
    for name in ("date", "close"):
        if name not in names:
            found = " ".join(", ".join(str(column) for column in table.columns).split())
            raise DataError(f"{where}: no column '{name}'; the columns are: {found}")
    written = table[names["date"]].astype(str).str.strip()
    closes = pd.to_numeric(table[names["close"]], errors="coerce")
    days = parse_days(written)

    def refuse(bad: pd.Series[bool], what: str, values: pd.Series[Any]) -> None:
        if bad.any():
            row, value = next(iter(values[bad].items()))
            shown = " ".join(str(value).split())
            raise DataError(f"{where}: line {int(str(row)) + 2}: {what}: {shown}")

    refuse(days.isna(), "not a date like 2015-12-31 or 12/31/2015", written)
    refuse(days.diff().dt.total_seconds() <= 0, "dates must ascend, this one does not", written)
    refuse(table[names["close"]].isna(), "close is empty or NaN on the day", written)
    refuse(~(closes > 0), "close must be a positive number", table[names["close"]])
    refuse(closes == math.inf, "close must be finite", table[names["close"]])
    return pd.Series(closes.to_numpy(float), index=pd.DatetimeIndex(days))


def parse_days(written: pd.Series[str]) -> pd.Series[pd.Timestamp]:
    """Parse dates in the format of the first; dates in other formats become missing values."""
    import pandas as pd

    for pattern, form in DAY_FORMATS.items():
        if len(written) and re.fullmatch(pattern, written.iloc[0]):
            return pd.to_datetime(written, errors="coerce", format=form)
    iso = written.where(written.str.fullmatch(r"\d{4}-\d{2}-\d{2}(?:[T ].*)?")).str.slice(0, 10)
    return pd.to_datetime(iso, errors="coerce", format="%Y-%m-%d")
