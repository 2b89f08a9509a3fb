"""Daily closing prices from a CSV, or from the file that the arch package carries."""

from __future__ import annotations

import importlib.util
import math
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tasks.base import DataError

if TYPE_CHECKING:
    import pandas as pd


def read_closes(csv: str | None) -> tuple[pd.Series[float], str]:
    """Return the closes by day, ascending, and what to call them.

    Raises:
        DataError: the file is not such a series; the text names the line.
    """
    import pandas as pd

    if csv is None:
        return read_closes_of(arch_series(), "S&P 500 (arch package)", "the arch package's series")
    try:
        table = pd.read_csv(csv)
    except (OSError, ValueError, pd.errors.ParserError) as error:
        reason = str(error).strip().splitlines()[0]
        raise DataError(f"task.csv={csv}: cannot be read as CSV ({reason})") from error
    return read_closes_of(table, f"CSV {Path(csv).name}", f"task.csv={csv}")


def arch_series() -> pd.DataFrame:
    """Read the file the arch package carries, without the seconds its import takes."""
    import pandas as pd

    spec = importlib.util.find_spec("arch")
    if spec is None or spec.origin is None:
        raise DataError("the arch package, which carries the S&P 500 series, is not installed")
    return pd.read_csv(Path(spec.origin).parent / "data" / "sp500" / "sp500.csv.gz")


def read_closes_of(table: pd.DataFrame, title: str, where: str) -> tuple[pd.Series[float], str]:
    """Check a table's date and close columns; `where` begins the message of any error."""
    import pandas as pd

    names = {str(column).strip().lower(): column for column in table.columns}
    for wanted in ("date", "close"):
        if wanted not in names:
            found = ", ".join(str(column) for column in table.columns)
            raise DataError(f"{where}: no column '{wanted}'; the columns are: {found}")
    written, closes = table[names["date"]], pd.to_numeric(table[names["close"]], errors="coerce")
    american = written.astype(str).str.contains("/").any()
    days = pd.to_datetime(
        written, errors="coerce", utc=True, format="%m/%d/%Y" if american else "ISO8601"
    ).dt.tz_localize(None)

    def refuse(bad: pd.Series[bool], what: str, values: pd.Series[Any]) -> None:
        if bad.any():
            row = int(bad.to_numpy().argmax())
            # The header is line 1.
            raise DataError(f"{where}: line {row + 2}: {what}: {values.iloc[row]}")

    refuse(days.isna(), "not a date like 2015-12-31 or 12/31/2015", written)
    refuse(days.diff().dt.total_seconds() <= 0, "dates must ascend, this one does not", written)
    refuse(~(closes > 0), "close must be a positive number", table[names["close"]])
    refuse(closes == math.inf, "close must be finite", table[names["close"]])
    return pd.Series(closes.to_numpy(float), index=pd.DatetimeIndex(days.dt.normalize())), title
