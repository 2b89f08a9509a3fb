"""Choices that follow from the training part of a series: target, season and window."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

from tasks.base import DataError

if TYPE_CHECKING:
    import numpy as np

    Floats = np.ndarray[Any, np.dtype[np.float64]]

SEASONS = {"MS": 12, "QS": 4, "W": 52, "D": 7, "B": 5, "h": 24, "min": 1440}
"""Steps of a season by frequency: a year, a week or a day; 1 for others, such as years."""

UNITS = {
    **{"MS": "months", "QS": "quarters", "YS": "years", "W": "weeks", "D": "days"},
    **{"B": "business days", "h": "hours", "min": "minutes"},
}
PLAIN_WINDOW = 30  # steps of an input without a season
SEASONS_IN_WINDOW = 2
LONGEST_WINDOW = 200  # chosen by default: longer ones train slowly
FEWEST_ITEMS = 10  # of training
LARGEST_SHARE = 4  # a window chosen is at most this fraction of the training part
DRIFT_RATIO = 2.0  # of the deviations of values and changes, above which a level is no target
SPREAD_POWER = 0.5  # of the level, above which the size of changes counts as proportional to it
LEVEL_RATIO = 1.2  # of high and low values, below which the power cannot be seen
NORMAL_90 = 1.645  # two-sided, as in the seasonality test of the M4 competition


def parts_of(frequency: str) -> tuple[int, str]:
    """Return the number and the alias of a frequency: 15 and min of 15min."""
    alias = frequency.lstrip("0123456789")
    return int(frequency[: len(frequency) - len(alias)] or 1), alias.partition("-")[0]


def unit_of(frequency: str) -> str:
    """Return what a step of the series is, in the plural."""
    count, alias = parts_of(frequency)
    unit = UNITS.get(alias, "steps")
    return unit if count == 1 or unit == "steps" else f"steps of {count} {unit}"


def usual_season(frequency: str) -> int:
    """Return the steps of a usual season; 1 without one."""
    count, alias = parts_of(frequency)
    season = SEASONS.get(alias, 1)
    return season // count if season % count == 0 else 1


def choose_target(train: Floats) -> tuple[str, str]:
    """Return the target for the values of training (steps,), and the reason.

    A log return, if the values are positive and their changes grow with the level (spread against
    level, Tukey 1977); else a difference, if the values wander, so that later ones may lie outside
    the range of training; else the level.
    """
    import numpy as np

    changes = np.diff(train)
    spread, step = float(train.std()), float(changes.std())
    if spread <= DRIFT_RATIO * step or not spread:
        return "level", "the values stay around their mean"
    power = spread_power(train)
    if power > SPREAD_POWER:
        return (
            "log_return",
            f"the values wander and are positive, and their changes grow with the level "
            f"(power {power:.1f})",
        )
    return "difference", "the values wander, and their changes do not grow with the level"


def spread_power(train: Floats) -> float:
    """Return p if changes of positive values grow as level ** p; 0 if it cannot be estimated."""
    import numpy as np

    if train.min() <= 0:
        return 0.0
    sizes, levels = np.abs(np.diff(train)), train[:-1]
    is_high = levels > np.median(levels)
    if is_high.all() or not is_high.any():
        return 0.0
    low, high = sizes[~is_high].mean(), sizes[is_high].mean()
    ratio = levels[is_high].mean() / levels[~is_high].mean()
    if min(low, high) <= 0 or ratio < LEVEL_RATIO:
        return 0.0
    return float(math.log(high / low) / math.log(ratio))


def choose_season(train: Floats, frequency: str) -> tuple[int, str]:
    """Return the steps of a season of the values of training (steps,), and the reason.

    The season of the frequency is kept if the changes correlate over it: the test of the M4
    competition (Makridakis, Spiliotis and Assimakopoulos 2020), on differences.
    """
    import numpy as np

    season = usual_season(frequency)
    unit = unit_of(frequency)
    if season == 1:
        known = f"of {unit}" if unit != "steps" else "without a known frequency"
        return 1, f"a series {known} has no usual season; set task.season=N if there is one"
    changes = np.diff(train)
    if len(changes) < 3 * season:
        return 1, f"training has fewer than 3 seasons of {season} {unit}"
    found = correlations(changes, season)
    bound = NORMAL_90 * math.sqrt((1 + 2 * float((found[:-1] ** 2).sum())) / len(changes))
    said = f"the correlation of changes {season} {unit} apart is {found[-1]:.2f}"
    if found[-1] > bound:
        return season, f"{said}, above {bound:.2f}"
    return 1, f"{said}, not above {bound:.2f}: no season of {season} {unit}"


def correlations(values: Floats, most: int) -> Floats:
    """Return the autocorrelations at the lags 1 to `most`; 0 of constant values."""
    import numpy as np

    centred = values - values.mean()
    total = float(centred @ centred) or 1.0
    return np.array([centred[lag:] @ centred[:-lag] for lag in range(1, most + 1)]) / total


def choose_window(train_steps: int, season: int, horizon: int) -> tuple[int, str]:
    """Return the steps of an input for a length of training, and the reason."""
    wanted, reason = PLAIN_WINDOW, "the default without a season"
    if season > 1:
        wanted, reason = SEASONS_IN_WINDOW * season, f"{SEASONS_IN_WINDOW} seasons"
    if horizon > wanted:
        wanted, reason = horizon, "the horizon"
    spare = train_steps - horizon - FEWEST_ITEMS
    limits = {
        f"a quarter of the training part of {train_steps}": max(1, train_steps // LARGEST_SHARE),
        f"the longest that leaves {FEWEST_ITEMS} training items": max(1, spare),
        "the longest by default": LONGEST_WINDOW,
    }
    for name, most in limits.items():
        if wanted > most:
            wanted, reason = most, f"{name}, as {reason} would be {wanted}"
    return wanted, reason


def check_season(season: int, train_steps: int, unit: str) -> None:
    """Raise DataError if training has fewer than two seasons."""
    if 2 * season > train_steps:
        raise DataError(
            f"task.season={season}: the training part has {train_steps} {unit}, fewer than two "
            f"seasons (allowed: at most {train_steps // 2})"
        )
