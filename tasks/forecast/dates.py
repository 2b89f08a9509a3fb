"""Times as they are written in files, from years to fractions of seconds."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from tasks.base import DataError
from tasks.forecast.cells import Place, first_line, is_empty, shown, spread

if TYPE_CHECKING:
    import pandas as pd

DATE_ORDERS = ("day_first", "month_first")
PIVOT = 40  # two-digit years from here on are of the 20th century
_NAMES = (
    "jan(?:uary)?|feb(?:ruary)?|mar(?:ch)?|apr(?:il)?|may|june?|july?|aug(?:ust)?|"
    "sept?(?:ember)?|oct(?:ober)?|nov(?:ember)?|dec(?:ember)?"
)
_MONTHS = ["jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec"]
_NAME = rf"(?P<name>{_NAMES})\.?"
_YEAR, _SHORT = r"(?P<year>\d{4})", r"(?P<year>\d{4}|\d{2})"
_MONTH, _DAY = r"(?P<month>\d{1,2})", r"(?P<day>\d{1,2})"
_CLOCK = (
    r"(?:[t ,]+(?P<hour>\d{1,2}):(?P<minute>\d{2})(?::(?P<second>\d{2}(?:\.\d+)?))?"
    r" ?(?P<half>[ap]\.?m\.?)?)? ?(?P<zone>z|(?:utc|gmt)?(?:[+-]\d{2}:?\d{2}(?::\d{2})?)?)"
)
_WEEKDAY = r"(?:(?:mon|tue|wed|thu|fri|sat|sun)[a-z]*\.?,? )?"
_DIGITS = rf"{_YEAR}(?P<month>\d{{2}})(?P<day>\d{{2}})"
FORMATS = (
    rf"{_YEAR}(?P<mark>[-/.]){_MONTH}(?P=mark){_DAY}{_CLOCK}",
    rf"{_DIGITS}{_CLOCK}",
    rf"{_DIGITS}[t ]?(?P<hour>\d{{2}})(?P<minute>\d{{2}})(?P<second>\d{{2}})?",
    rf"{_WEEKDAY}(?P<first>\d{{1,2}})(?P<mark>[-/.])(?P<second_part>\d{{1,2}})(?P=mark)"
    rf"(?P<third>\d{{4}}|\d{{2}}){_CLOCK}",
    rf"{_WEEKDAY}{_NAME}[ -]{_DAY}(?:st|nd|rd|th)?,? {_YEAR}{_CLOCK}",
    rf"{_WEEKDAY}{_DAY}\.?[ /-]{_NAME}[ /-]{_SHORT}{_CLOCK}",
    rf"{_YEAR}(?:[-/]|-?m){_MONTH}",
    rf"{_MONTH}[-/.]{_YEAR}",
    rf"{_NAME}[ ,/-]{{1,2}}'?{_SHORT}",
    rf"{_YEAR}[ /-]?{_NAME}",
    rf"{_YEAR}[ :/-]?q(?P<quarter>[1-4])",
    rf"(?:q(?P<quarter>[1-4])|(?P<quarter_first>[1-4])q)[ :/-]?{_YEAR}",
    rf"{_YEAR}[ -]?w(?P<week>\d{{1,2}})(?:-?(?P<weekday>[1-7]))?",
)


@dataclass(frozen=True)
class Times:
    """Parsed times.

    Attributes:
        values: by line; NaT where a cell does not have the format of the column.
        example: a line and its cell in the format of the column.
    """

    values: pd.Series[Any]
    example: tuple[Any, str]
    notices: tuple[str, ...] = ()


def parse_times(cells: pd.Series[Any], column: str, place: Place, dates: str | None) -> Times:
    """Parse cells of which none is empty.

    Raises:
        DataError: no cell is a time; or the order of day and month is open.
    """
    pattern = format_of(cells)
    if pattern is not None:
        return by_format(cells, pattern, column, place, dates)
    found = numeric_times(cells)
    if found is not None:
        return found
    raise place.error(
        cells.index[0],
        f"the column {column} contains no dates like 2015-12-31, 12/31/2015, 1949-01 or 1990Q1: "
        f"{shown(cells.iloc[0])}; {place.choose_time()}",
    )


def checked(times: Times, written: pd.Series[Any], place: Place, dates: str | None = None) -> Times:
    """Return the times; raise DataError at the first cell in another format than the others."""
    bad = times.values.isna()
    if bad.any():
        number = first_line(bad)
        line, example = times.example
        like = f"like {example} in {place.word} {line}"
        cell = written[number]
        text = "no date" if cell is None or cell != cell else f"not a date {like}: {shown(cell)}"
        text += f" (task.dates={dates})" if dates else ""
        raise place.error(number, text)
    return times


def matches(cells: pd.Series[Any], pattern: str) -> pd.Series[bool]:
    """Return which cells have a pattern, in any case and without spaces around them."""
    return cells.str.strip().str.lower().str.fullmatch(pattern, na=False)


def format_of(cells: pd.Series[Any]) -> str | None:
    """Return the pattern that most cells have; None if fewer than half have any."""
    sample = spread(cells)
    counts = [int(matches(sample, pattern).sum()) for pattern in FORMATS]
    best = max(range(len(FORMATS)), key=lambda n: counts[n])
    return FORMATS[best] if 2 * counts[best] >= max(len(sample), 1) else None


def by_format(
    cells: pd.Series[Any],
    pattern: str,
    column: str,
    place: Place,
    dates: str | None,
) -> Times:
    """Parse cells by a pattern of `FORMATS`."""
    groups = cells.str.strip().str.lower().str.extract(f"^(?:{pattern})$")
    if "first" in groups:
        groups = ordered(groups, cells, column, place, dates)
    groups["year"], notices = whole_years(groups["year"], column)
    values = built(groups)
    if "hour" in groups and groups["hour"].notna().any():
        values, more = local_times(values, groups.get("zone"), column)
        notices += more
    line = values.first_valid_index()
    if line is None:
        raise place.error(cells.index[0], f"no such date: {shown(cells.iloc[0])}")
    return Times(values, (line, str(cells[line])), notices)


def ordered(
    groups: pd.DataFrame, cells: pd.Series[Any], column: str, place: Place, dates: str | None
) -> pd.DataFrame:
    """Return groups in which the parts of dates such as 01/02/2015 are day, month and year."""
    orders = {
        "day_first": ("second_part", "first", "third"),
        "month_first": ("first", "second_part", "third"),
        "year_first": ("second_part", "third", "first"),
    }
    numbers = groups[["first", "second_part", "third"]].astype(float)
    if dates is None:
        dates = order_of(numbers, cells, column, place)
    month, day, year = orders[dates]
    return groups.assign(month=groups[month], day=groups[day], year=groups[year])


def order_of(numbers: pd.DataFrame, cells: pd.Series[Any], column: str, place: Place) -> str:
    """Return the order of day, month and year that is possible for most cells."""
    first, second, third = (numbers[name] for name in numbers)
    fits = {
        "day_first": (first <= 31) & (second <= 12),
        "month_first": (first <= 12) & (second <= 31),
    }
    # In 15-12-31, the year varies less than the day.
    if third.max() < 100 and first.nunique() < third.nunique():
        fits["year_first"] = (second <= 12) & (third <= 31)
    counts = {order: int(fit.sum()) for order, fit in fits.items()}
    best = [order for order, count in counts.items() if count == max(counts.values())]
    differs = first.notna() & (first != second)
    if len(best) == 1 or ("year_first" not in best and not differs.any()):
        return best[0]
    line = first_line(differs if differs.any() else first.notna())
    todo = "set task.dates=day_first or task.dates=month_first"
    if not place.has_settings or "year_first" in best:
        todo = "write the dates as 2015-12-31"
    raise DataError(
        f"{place.where}: the order of day, month and year in the column {column} is ambiguous: "
        f"{shown(cells[line])} in {place.word} {line}, and no other date decides; {todo}"
    )


def whole_years(years: pd.Series[Any], column: str) -> tuple[pd.Series[Any], tuple[str, ...]]:
    """Return years of four digits, and a notice if they were of two."""
    short = years.str.len() == 2
    if not short.any():
        return years, ()
    century = years.where(short).astype(float).ge(PIVOT).map({True: "19", False: "20"})
    full = years.where(~short, century + years)
    return full, (
        f"the years of two digits in the column {column} are read as years from "
        f"{full[short].min()} to {full[short].max()}",
    )


def built(groups: pd.DataFrame) -> pd.Series[Any]:
    """Return times from columns of year, month, day and so on; NaT where they are not valid."""
    import pandas as pd

    if "week" in groups:
        weekday = groups["weekday"].fillna("1")
        text = groups["year"] + "-" + groups["week"].str.zfill(2) + "-" + weekday
        return pd.to_datetime(text, format="%G-%V-%u", errors="coerce")
    if "quarter" in groups:
        quarter = groups["quarter"].fillna(groups.get("quarter_first", groups["quarter"]))
        month = (quarter.astype(float) * 3 - 2).map("{:02.0f}".format)
    elif "name" in groups:
        names = {name: f"{number:02}" for number, name in enumerate(_MONTHS, 1)}
        month = groups["name"].str.slice(0, 3).map(names)
    else:
        month = groups["month"].str.zfill(2)
    day = groups["day"].str.zfill(2) if "day" in groups else "01"
    text = groups["year"] + "-" + month + "-" + day
    days = pd.to_datetime(text.where(groups["year"].notna()), format="%Y-%m-%d", errors="coerce")
    return days + time_of_day(groups) if "hour" in groups else days


def time_of_day(groups: pd.DataFrame) -> pd.Series[Any]:
    """Return the times of day, NaT where they are not valid."""
    import pandas as pd

    parts = {
        part: (groups[part] if part in groups else pd.Series("0", groups.index))
        .fillna("0")
        .astype(float)
        for part in ("hour", "minute", "second")
    }
    hour = parts["hour"]
    if "half" in groups:
        half = groups["half"].str.slice(0, 1)
        hour = hour.where(half.isna(), hour % 12 + 12 * (half == "p"))
    seconds = 3600 * hour + 60 * parts["minute"] + parts["second"]
    valid = (hour <= 24) & (parts["minute"] < 60) & (parts["second"] < 60) & (seconds <= 86400)
    return pd.to_timedelta(seconds.where(valid), unit="s")


def local_times(
    values: pd.Series[Any], zones: pd.Series[Any] | None, column: str
) -> tuple[pd.Series[Any], tuple[str, ...]]:
    """Return times without their time zones.

    Local time is kept, so that a day stays the day. If the offset changes within a day's times, as
    with daylight saving time, times are converted to UTC; else hours would repeat.
    """
    import pandas as pd

    if zones is None:
        return values, ()
    parts = zones.str.extract(r"([+-])(\d{2}):?(\d{2})")
    minutes = parts[1].astype(float) * 60 + parts[2].astype(float)
    minutes = minutes.where(parts[0] != "-", -minutes).fillna(0)
    if minutes.nunique() == 1 or values.dt.time.nunique() == 1 or values.dt.date.is_unique:
        return values, ()
    utc = values - pd.to_timedelta(minutes, unit="min")
    return utc, (f"the times in the column {column} have several time zones: converted to UTC",)


def numeric_times(cells: pd.Series[Any]) -> Times | None:
    """Return times that are written as numbers: years, 194901, 1949.0833 or seconds since 1970."""
    import numpy as np
    import pandas as pd

    if not matches(cells, r"\d+(?:\.\d*)?").all():
        return None
    numbers = cells.astype(float)
    example = (cells.index[0], str(cells.iloc[0]))
    whole = (numbers % 1 == 0).all()

    def months(count: pd.Series[Any]) -> pd.Series[Any]:
        start = (count.astype(int) - 1970 * 12).to_numpy().astype("datetime64[M]")
        return pd.Series(start.astype("datetime64[s]"), cells.index)

    if whole and numbers.between(1500, 2200).all():
        return Times(months(numbers * 12), example)
    if whole and numbers.between(150001, 220012).all() and (numbers % 100).between(1, 12).all():
        return Times(months(numbers // 100 * 12 + numbers % 100 - 1), example)
    for digits, unit, word in ((10, "s", "seconds"), (13, "ms", "milliseconds")):
        if whole and cells.str.split(".").str[0].str.len().eq(digits).all():
            since = numbers.to_numpy().astype("int64").astype(f"datetime64[{unit}]")
            values = pd.Series(since, cells.index)
            notice = f"times such as {example[1]} are read as {word} since 1970 (UTC)"
            return Times(values, example, (notice,))
    if numbers.between(1500, 2200).all():
        for name, parts in (("quarter", 4), ("month", 12)):
            steps = numbers * parts
            if np.abs(steps - steps.round()).max() < 0.1:
                notice = f"times such as {example[1]} are read as years with {parts} {name}s"
                return Times(months(steps.round() * (12 // parts)), example, (notice,))
    return None


def are_steps(cells: pd.Series[Any]) -> bool:
    """Return whether the cells are numbers with equal steps, such as 0, 1, 2."""
    import numpy as np

    if is_empty(cells).any() or not cells.str.strip().str.fullmatch(r"-?\d+(?:\.\d*)?").all():
        return False
    steps = np.diff(cells.astype(float).to_numpy())
    return len(steps) == 0 or (steps[0] > 0 and bool(np.allclose(steps, steps[0], rtol=1e-6)))


def look_like_times(cells: pd.Series[Any], numbers: bool = False) -> bool:
    """Return whether the cells are times; `numbers` admits years and the like."""
    cells = cells[~is_empty(cells)]
    if not len(cells):
        return False
    pattern = format_of(cells)
    if pattern is not None:
        matched = matches(cells, pattern)
        return bool(matched.mean() > 0.5) if numbers else bool(matched.all())
    return numbers and numeric_times(cells) is not None


def time_texts(times: pd.Index[Any], frequency: str) -> list[str]:
    """Return times as text, as short as their frequency allows."""
    import pandas as pd

    if not isinstance(times, pd.DatetimeIndex):
        return [str(number) for number in times]
    unit = re.sub(r"^\d+", "", frequency)
    if unit == "QS":
        return [f"{time.year}Q{time.quarter}" for time in times]
    formats = {"MS": "%Y-%m", "YS": "%Y"}
    precise = "%Y-%m-%d"
    if (times != times.normalize()).any():
        precise += " %H:%M" if (times == times.floor("min")).all() else " %H:%M:%S"
    return list(times.strftime(formats.get(unit, precise)))
