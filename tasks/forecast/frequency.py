"""The frequency of times, and the gaps in it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from tasks.forecast.dates import time_texts

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd

UNITS = {86_400_000_000: "D", 3_600_000_000: "h", 60_000_000: "min", 1_000_000: "s", 1_000: "ms"}
WORDS = {"MS": "months", "QS": "quarters", "YS": "years", "W": "weeks", "B": "business days"}
WORDS |= {"D": "days", "h": "hours", "min": "minutes", "s": "seconds"}


@dataclass(frozen=True)
class Grid:
    """Times on a regular grid.

    Attributes:
        frequency: pandas alias; empty if the times are irregular.
        times: the times; of months, quarters and years, their first days.
        positions: of every time on the grid.
    """

    frequency: str
    times: pd.DatetimeIndex
    positions: np.ndarray[Any, Any]
    notices: tuple[str, ...] = ()


def grid_of(times: pd.DatetimeIndex) -> Grid:
    """Return the grid of ascending, unique times; rows may be missing from it."""
    import numpy as np

    if len(times) < 2:
        return Grid("", times, np.arange(len(times)))
    for find in (months, weeks, business_days, fixed_steps):
        grid = find(times)
        if grid is not None:
            return grid
    gaps = times[1:] - times[:-1]
    notice = f"the times are irregular: steps from {gaps.min()} to {gaps.max()}"
    return Grid("", times, np.arange(len(times)), (notice,))


def months(times: pd.DatetimeIndex) -> Grid | None:
    """Return a grid of months, quarters or years, if the days have the same place in them."""
    import numpy as np
    import pandas as pd

    day, last = times.day.to_numpy(), times.days_in_month.to_numpy()
    is_late, is_early = bool((day >= 24).all()), bool((day <= 7).all())
    if not (is_late or is_early or (day == np.minimum(day.max(), last)).all()):
        return None
    count = times.year.to_numpy() * 12 + times.month.to_numpy() - 1
    step = step_of(count)
    if not step:
        return None
    unit, alias = (12, "YS") if step % 12 == 0 else (3, "QS") if step == 3 else (1, "MS")
    first = (count // unit * unit - 1970 * 12).astype("datetime64[M]").astype("datetime64[s]")
    starts = pd.DatetimeIndex(first).as_unit(times.unit)
    notices: tuple[str, ...] = ()
    if not times.equals(starts):
        word = {"MS": "month", "QS": "quarter", "YS": "year"}[alias]
        notices = (f"dates such as {times[0].date()} are shown as the first day of the {word}",)
    return Grid(multiple(step // unit, alias), starts, (count - count[0]) // step, notices)


def weeks(times: pd.DatetimeIndex) -> Grid | None:
    """Return a grid of weeks, if each has at most one time; holidays may move the weekday."""
    import numpy as np

    days = times.as_unit("s").asi8 // 86_400
    if np.median(np.diff(days)) != 7:
        return None
    count = (days + 3) // 7  # weeks begin on Mondays; 1970-01-01 was a Thursday
    if step_of(count) != 1:
        return None
    weekdays = set(times.day_name())
    anchor = f"-{weekdays.pop()[:3].upper()}" if len(weekdays) == 1 else ""
    return Grid(f"W{anchor}", times, count - count[0])


def business_days(times: pd.DatetimeIndex) -> Grid | None:
    """Return a grid of Mondays to Fridays, if a weekend passes without a time."""
    import numpy as np

    days = times.to_numpy().astype("datetime64[D]")
    if (times.day_of_week >= 5).any() or len(set(times - times.normalize())) > 1:
        return None
    count = np.busday_count(days[0], days)
    if count[-1] == (days[-1] - days[0]).astype(int) or step_of(count) != 1:
        return None
    return Grid("B", times, count)


def fixed_steps(times: pd.DatetimeIndex) -> Grid | None:
    """Return a grid with a fixed step, such as a day or ten minutes."""
    count = times.as_unit("us").asi8
    step = step_of(count)
    if not step:
        return None
    size, alias = next(((s, a) for s, a in UNITS.items() if step % s == 0), (1, "us"))
    return Grid(multiple(step // size, alias), times, (count - count[0]) // step)


def multiple(count: int, alias: str) -> str:
    """Return the alias of a multiple of a frequency."""
    return alias if count == 1 else f"{count}{alias}"


def step_of(count: np.ndarray[Any, Any]) -> int:
    """Return the most frequent step if it is most steps and divides the others, else 0."""
    import numpy as np

    steps, times = np.unique(np.diff(count), return_counts=True)
    step = int(steps[times.argmax()])
    regular = steps[0] > 0 and 2 * times.max() >= times.sum() and not (steps % step).any()
    return step if regular else 0


def gap_notice(grid: Grid) -> tuple[str, ...]:
    """Return a notice that counts the missing times and names the longest gap."""
    import numpy as np

    missing = int(grid.positions[-1]) + 1 - len(grid.positions)
    if not missing:
        return ()
    gaps = np.diff(grid.positions) - 1
    longest = int(gaps.argmax())
    texts = time_texts(grid.times[[0, longest, longest + 1, -1]], grid.frequency)
    unit = WORDS.get(grid.frequency.partition("-")[0], f"steps of {grid.frequency}")
    reason = ", as on holidays" if grid.frequency == "B" else ""
    return (
        f"{unit} without a value: {missing:,} of {missing + len(grid.positions):,} from {texts[0]} "
        f"to {texts[3]}{reason}; the longest gap is {gaps[longest]:,}, between {texts[1]} and "
        f"{texts[2]}",
    )
