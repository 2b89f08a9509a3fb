"""The plan of a forecast: target, season and window, given or chosen on the training part."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

from tasks.base import DataError, Split
from tasks.forecast.choices import (
    FEWEST_ITEMS,
    check_season,
    choose_season,
    choose_target,
    choose_window,
)
from tasks.forecast.series import Series, amount
from tasks.forecast.targets import ForecastTarget
from tasks.forecast.windows import largest_horizon, origins_of, split_bounds, steps_needed

if TYPE_CHECKING:
    import numpy as np

    Floats = np.ndarray[Any, np.dtype[np.float64]]
    Mask = np.ndarray[Any, np.dtype[np.bool_]]
    Integers = np.ndarray[Any, np.dtype[np.int64]]

MINIMUM_ITEMS: dict[Split, int] = {"train": FEWEST_ITEMS, "validation": 3, "test": 3}


class Wishes(Protocol):
    """The settings that a plan follows."""

    features: list[str] | None
    horizon: int
    window: int | None
    season: int | None
    target: str
    metric: str


@dataclass(frozen=True)
class Plan:
    """What a forecast predicts, and from what."""

    target: str
    season: int
    window: int
    horizon: int
    features: tuple[str, ...] = ()

    def fit_target(self, train: Floats, origins: Integers) -> ForecastTarget:
        """Fit the scales of target and inputs to the values of training."""
        return ForecastTarget.fit(self.target, train, origins, self.window, self.horizon)

    def fit_scales(self, features: Floats) -> tuple[Floats, Floats]:
        """Return mean and deviation of features of training (steps, features)."""
        import numpy as np

        deviations = features.std(axis=0)
        return features.mean(axis=0), np.where(deviations > 0, deviations, 1.0)

    def mase_scale(self, train: Floats, is_known: Mask) -> float:
        """Return the mean absolute error of the seasonal naive forecast in training."""
        import numpy as np

        both = is_known[self.season :] & is_known[: -self.season]
        errors = np.abs(train[self.season :] - train[: -self.season])[both]
        return float(errors.mean()) if len(errors) else 0.0


def planned(settings: Wishes, series: Series) -> tuple[Plan, list[str]]:
    """Return the plan for a series, and sentences on what was chosen.

    Raises:
        DataError: the series is too short, or does not allow a setting.
    """
    check_length(settings, series)
    train = series.values[: split_bounds(len(series.values))["train"][1]]
    notices = check_changes(series, train)
    target, season, window = settings.target, settings.season, settings.window
    if target == "auto":
        target, reason = choose_target(train)
        if series.values.min() <= 0 and target == "log_return":
            target, reason = "difference", "a later value is 0 or less, without a logarithm"
        notices.append(f"task.target={target}: chosen, because {reason}")
    elif target == "log_return":
        refuse_without_logarithm(series)
    if season is None:
        season, reason = choose_season(transformed(train, target), series.frequency)
        notices.append(f"task.season={season}: chosen, because {reason}")
    check_season(season, len(train), series.unit)
    if window is None:
        window, reason = choose_window(len(train), season, settings.horizon)
        notices.append(f"task.window={window}: chosen, {reason}")
    plan = Plan(target, season, window, settings.horizon, tuple(settings.features or ()))
    check_items(plan, series)
    if settings.metric == "mase" and not plan.mase_scale(train, series.is_known[: len(train)]):
        raise DataError(
            "task.metric=mase: is undefined, because the training part repeats itself exactly; "
            "use task.metric=mae"
        )
    return plan, notices


def check_changes(series: Series, train: Floats) -> list[str]:
    """Raise DataError if all values are equal; return a notice if those of training are."""
    import numpy as np

    value = f"{series.values[0]:g}"
    if np.ptp(series.values) == 0:
        raise DataError(
            f"{series.title}: all values of {series.column} are {value}; there is nothing to "
            f"forecast"
        )
    if np.ptp(train) == 0:
        return [f"all values of {series.column} in training are {value}: no change can be learned"]
    return []


def transformed(values: Floats, target: str) -> Floats:
    """Return the logarithms of values for log returns, else the values."""
    import numpy as np

    return np.log(values) if target == "log_return" else values


def refuse_without_logarithm(series: Series) -> None:
    """Raise DataError if a value has no logarithm."""
    import numpy as np

    bad = np.flatnonzero(series.values <= 0)
    if len(bad):
        raise DataError(
            f"task.target=log_return: needs positive values, but {series.column} is "
            f"{series.values[bad[0]]:g} at {series.times[bad[0]]}; use task.target=difference"
        )


def check_length(settings: Wishes, series: Series) -> None:
    """Raise DataError if a series is too short for the horizon and the window."""
    window = settings.window or 1
    needed = steps_needed(window, settings.horizon, MINIMUM_ITEMS)
    if len(series.values) >= needed:
        return
    given = f"task.horizon={settings.horizon}"
    if settings.window is not None:
        given += f" with task.window={window}"
    largest = largest_horizon(len(series.values), window, MINIMUM_ITEMS)
    smaller = f", or task.horizon={largest} or less" if largest else ""
    if not largest and window > 1:
        smaller = ", or smaller values"
    raise DataError(
        f"{series.title}: {amount(len(series.values), series.unit)}, but {given} needs {needed:,}; "
        f"use a longer series{smaller}"
    )


def check_items(plan: Plan, series: Series) -> None:
    """Raise DataError if a split has too few items, because of a window or missing values."""
    for split, bounds in split_bounds(len(series.values)).items():
        count = len(origins_of(bounds, plan.window, plan.horizon, series.is_known))
        if count < MINIMUM_ITEMS[split]:
            raise DataError(
                f"{series.title}: the {split} split has {count} forecasts of {plan.horizon} "
                f"{series.unit} without missing values, but {MINIMUM_ITEMS[split]} are needed; "
                f"use a smaller task.horizon or fill the missing values"
            )
