"""Forecasts by time: against the actual values, residuals, and cumulative error.

Of forecasts several steps ahead, every time is shown once: those of origins a whole horizon apart,
with the last one.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Any

import altair as alt
import numpy as np
import pandas as pd

from benchmarks.analysis.comparison import Arm, Group
from benchmarks.analysis.statistics.common import unit_of
from benchmarks.reporting.answer import nets
from benchmarks.reporting.html.figure import (
    Figure,
    Record,
    chart,
    encode,
    lines,
    rounded,
    spec_of,
    spread,
    zero_line,
)
from benchmarks.reporting.html.formatting import data_unit, metric_name, number
from benchmarks.reporting.html.run_files import Runs, first_runs
from benchmarks.reporting.html.theme import BASELINE_DASHES, GRID, INK, MUTED, Look, Looks, Style

MOST_ARMS = 4
MOST_SEEDS = 20
STEPS_IN_DETAIL = 60
POINTS = 250
ZONE = re.compile(r"(Z|[+-]\d\d:?\d\d)$")
OTHER_UNITS = ("mase", "smape")  # metrics that are not in the unit of the series

NAIVE_LOOK = Look(MUTED, "cross", BASELINE_DASHES["naive"])


@dataclass(frozen=True)
class Forecasts:
    """Forecasts of several arms for the same times."""

    times: list[str]  # in ISO format, or numbers of rows, in order
    actual: pd.Series[float]
    naive: dict[str, pd.Series[float]]  # the reference; empty if there is none
    by_arm: dict[str, pd.Series[float]]  # means over the seeds
    horizon: int = 1  # steps ahead
    # Several steps ahead: for each of the times, the time of its origin and the value there.
    origins: list[tuple[str, float]] = field(default_factory=list)

    @property
    def has_dates(self) -> bool:
        """True if the times are dates."""
        return "-" in self.times[0]

    @property
    def has_hours(self) -> bool:
        """True if the times are dates with a time of day."""
        return "T" in self.times[0]

    @property
    def in_detail(self) -> int:
        """The number of the last times that are shown one by one, of whole forecasts."""
        whole = max(1, STEPS_IN_DETAIL // self.horizon) * self.horizon
        return min(whole, len(self.times))


def read(group: Group, runs_: Runs) -> Forecasts | None:
    """Return the forecasts of the best networks and of the best baseline; None without any."""
    first: pd.DataFrame | None = None
    times: list[str] = []
    by_arm: dict[str, pd.Series[float]] = {}
    naive_arm = next((arm for arm in group.arms if arm.label == group.naive), None)
    for arm in [*nets(group)[:MOST_ARMS], group.best_baseline, naive_arm]:
        tables = _tables(arm, runs_) if arm is not None and arm.label not in by_arm else []
        if arm is None or not tables:
            continue
        if first is None:
            first, times = tables[0], _times_of(tables[0]["day"])
        same = [table for table in tables if _times_of(table["day"]) == times]
        if same:
            by_arm[arm.label] = sum(
                (table["predicted"].astype(float) for table in same[1:]), same[0]["predicted"]
            ) / len(same)
    naive: dict[str, pd.Series[float]] = {}
    if naive_arm is not None and naive_arm.label in by_arm:
        naive = {naive_arm.label: by_arm.pop(naive_arm.label)}
    elif first is not None and "last" in first:
        naive = {"random walk": first["last"].astype(float)}
    if first is None or not by_arm:
        return None
    horizon = int(first["step"].max()) if "step" in first else 1
    has_origins = horizon > 1 and {"origin", "last"} <= set(first.columns)
    origins = (
        list(zip(_times_of(first["origin"]), first["last"].astype(float), strict=True))
        if has_origins
        else []
    )
    return Forecasts(times, first["actual"].astype(float), naive, by_arm, horizon, origins)


def _times_of(column: pd.Series[str]) -> list[str]:
    """Return times as text; times of day without a zone are marked as UTC, as the axis is."""
    return [
        f"{time}Z" if "T" in time and not ZONE.search(time) else time for time in column.astype(str)
    ]


def _tables(arm: Arm, runs_: Runs) -> list[pd.DataFrame]:
    """Return the predictions of the seeds of an arm that contain times and actual values."""
    found = (runs_.predictions(run_id) for run_id, _ in first_runs(arm, MOST_SEEDS))
    return [
        without_overlap(table)
        for table in found
        if table is not None and {"day", "actual", "predicted"} <= set(table.columns)
    ]


def without_overlap(table: pd.DataFrame) -> pd.DataFrame:
    """Return the predictions of origins that lie a horizon apart, the last one included."""
    if "step" not in table:
        return table
    horizon = int(table["step"].max())
    origin = table.index // horizon
    shown: pd.DataFrame = table[(origin.max() - origin) % horizon == 0]
    return shown


def advantage(forecasts: Forecasts) -> pd.DataFrame:
    """Compute the squared error saved against the naive forecast up to each time.

    In percent of the naive forecast's total; the last value is 100 (1 - (RMSE / naive RMSE)²).
    """
    (reference,) = forecasts.naive.values()
    naive = (reference - forecasts.actual) ** 2
    total = float(naive.sum()) or 1.0
    return pd.DataFrame(
        {
            label: (naive - (predicted - forecasts.actual) ** 2).cumsum() / total * 100
            for label, predicted in forecasts.by_arm.items()
        }
    )


def forecast_figures(group: Group, runs_: Runs, looks: Looks, name: str) -> list[Figure]:
    """Plot forecasts, residuals and the cumulative error; empty without forecasts."""
    forecasts = read(group, runs_)
    if forecasts is None:
        return []
    all_looks = looks.style(group.arms)
    arms = {label: all_looks[label] for label in forecasts.by_arm}
    draw = [_against_actual, _residuals] + ([_cumulative_error] if forecasts.naive else [])
    return [figure(group, forecasts, arms, name) for figure in draw]


def _records(series: dict[str, pd.Series[float]], times: list[str], digits: int) -> list[Record]:
    """Return the values of the last times of each series."""
    return [
        {"arm": label, "time": time, "value": rounded(value, digits)}
        for label, values in series.items()
        for time, value in zip(times, values.iloc[-len(times) :], strict=True)
    ]


def _fans(forecasts: Forecasts, records: list[Record]) -> list[Record]:
    """Return records of forecasts several steps ahead with their origins, where lines begin."""
    origins = dict(zip(forecasts.times, forecasts.origins, strict=True))
    ends = (
        record | {"time": origins[record["time"]][0], "value": origins[record["time"]][1]}
        for record in records[:: forecasts.horizon]
    )
    forecast = [record | {"origin": origins[record["time"]][0]} for record in records]
    begun = [end | {"origin": end["time"]} for end in ends]
    return begun + forecast


def _against_actual(group: Group, forecasts: Forecasts, arms: Style, name: str) -> Figure:
    style = {"actual": Look(INK, "circle", [1, 0])} | dict.fromkeys(forecasts.naive, NAIVE_LOOK)
    style |= arms
    times = forecasts.times[-forecasts.in_detail :]
    actual, predicted = {"actual": forecasts.actual}, forecasts.naive | forecasts.by_arm
    records = _records(predicted, times, 7)
    if forecasts.origins:
        records = _fans(forecasts, records)
    y = alt.Y("value:Q", title=_unit(group), scale=alt.Scale(zero=False))
    layers = lines(
        style,
        _records(actual, times, 7) + records,
        _axis(forecasts),
        y,
        _tips(forecasts),
        "origin" if forecasts.origins else "",
        strokeWidth=1.8,
    )
    part = f"the last {len(times)} of " if len(times) < len(forecasts.times) else ""
    return Figure(
        name=f"{name}-forecasts",
        title="Forecasts and actual values",
        caption=f"Shown are {part}{len(forecasts.times):,} test {_steps(group, forecasts)}; "
        "forecasts are means over the seeds. "
        + (
            _horizon_note(group, forecasts)
            or "A forecast that repeats the previous value looks right, one step late."
        ),
        summary=f"Forecasts by {', '.join(list(style)[1:])} of {times[0]} to {times[-1]}.",
        spec=spec_of(layers, style),
        header=["time", *style],
        rows=[
            [
                time,
                *(
                    number(float(values.iloc[i - len(times)]), 6)
                    for values in (actual | predicted).values()
                ),
            ]
            for i, time in enumerate(times)
        ],
    )


def _residuals(group: Group, forecasts: Forecasts, arms: Style, name: str) -> Figure:
    series = forecasts.by_arm | forecasts.naive
    steps = _steps(group, forecasts)
    residuals = {label: forecasts.actual - values for label, values in series.items()}
    rows = []
    for label, values in residuals.items():
        error = np.asarray(values, dtype=np.float64)
        unit = unit_of(error)
        rmse = unit * float(np.sqrt(((error / unit) ** 2).mean()))
        rows.append([label, number(rmse), number(float(error.mean())), number(np.abs(error).max())])
    return Figure(
        name=f"{name}-residuals",
        title="Residuals of the forecasts",
        caption="".join(
            f"Bars: {naive}. A mark at the end of its bar is equal to it. "
            for naive in forecasts.naive
        )
        + f"The same {forecasts.in_detail} {steps}; the numbers are of all "
        f"{len(forecasts.times):,}{_distance(forecasts)}.",
        summary="Residuals by arm: "
        + "; ".join(f"{label}: RMSE {rmse}, mean {mean}" for label, rmse, mean, _ in rows),
        spec=spec_of(_residual_layers(group, forecasts, residuals, arms), arms),
        header=["arm", "RMSE of the mean forecast", "mean residual", "largest residual"],
        rows=rows,
    )


def _residual_layers(
    group: Group, forecasts: Forecasts, residuals: dict[str, pd.Series[float]], arms: Style
) -> list[Any]:
    """Return the bars of the naive forecast and the marks of the arms."""
    title = f"actual − forecast ({_unit(group)})"  # noqa: RUF001  a minus sign
    x, y = _axis(forecasts), alt.Y("value:Q", title=title)
    tips = _tips(forecasts, "residual")
    records = _records(residuals, forecasts.times[-forecasts.in_detail :], 5)
    bars = chart([r | {"zero": 0} for r in records if r["arm"] not in arms])
    marks = chart([r for r in records if r["arm"] in arms])
    return [
        bars.mark_rule(color=GRID, strokeWidth=4).encode(x=x, y=y, y2="zero:Q", tooltip=tips),
        zero_line(),
        marks.mark_point(filled=True, size=30, opacity=0.8).encode(
            x=x,
            y=y,
            color=encode(arms, "color", "shape"),
            shape=encode(arms, "shape", "shape"),
            tooltip=tips,
        ),
    ]


def _cumulative_error(group: Group, forecasts: Forecasts, arms: Style, name: str) -> Figure:
    (naive,) = forecasts.naive
    table = advantage(forecasts)
    records: list[Record] = [
        {"arm": label, "time": forecasts.times[i], "value": rounded(float(table[label].iloc[i]), 4)}
        for label in table
        for i in spread(len(table), POINTS)
    ]
    x = _axis(forecasts)
    y = alt.Y("value:Q", title=f"squared error saved (% of {naive}'s)")
    last = {label: number(float(table[label].iloc[-1]), 3) for label in arms}
    return Figure(
        name=f"{name}-race",
        title=f"Cumulative squared error against {naive}",
        caption=f"Above 0, an arm has a smaller error so far than {naive}, the naive forecast; a "
        f"single jump is a single forecast.{_reference_line(group, forecasts)}",
        summary="Share of the naive forecast's squared error saved by the end: "
        + "; ".join(f"{label} {value} %" for label, value in last.items()),
        spec=spec_of([zero_line(), *lines(arms, records, x, y, _tips(forecasts, "%"))], arms),
        header=["arm", "squared error saved by the end (%)"],
        rows=[[label, value] for label, value in last.items()],
    )


def _reference_line(group: Group, forecasts: Forecasts) -> str:
    """Return a sentence that names the line of the best baseline."""
    best = group.best_baseline
    if best is None:
        return ""
    if best.label in forecasts.naive:
        return " It is also the best baseline, so the line at 0 is the reference."
    if best.label in forecasts.by_arm:
        return f" The reference line is that of {best.label}, the best baseline."
    return f" The best baseline, {best.label}, has no forecasts and is not drawn."


def _steps(group: Group, forecasts: Forecasts) -> str:
    """Return the steps of the series in the data's own word, such as months."""
    return steps_of(group, forecasts.horizon)


def steps_of(group: Group, horizon: int) -> str:
    """Return the word for the steps of a series; `steps` if the table has no unit of its data."""
    return data_unit(group, "steps").removeprefix(f"forecasts of {horizon} ")


def _horizon_note(group: Group, forecasts: Forecasts) -> str:
    """Return a sentence on forecasts several steps ahead."""
    if forecasts.horizon == 1:
        return ""
    steps = _steps(group, forecasts)
    start = " and starts at the value of its origin" if forecasts.origins else ""
    return (
        f"Each forecast is one of {forecasts.horizon} {steps}{start}; they begin "
        f"{forecasts.horizon} {steps} apart, so that every time is shown once."
    )


def _distance(forecasts: Forecasts) -> str:
    """Return which origins the numbers of a figure are of, if they are not of all."""
    return f", from origins {forecasts.horizon} apart" if forecasts.horizon > 1 else ""


def _axis(forecasts: Forecasts) -> alt.X:
    """Return an axis of times, equal in every time zone, or of row numbers."""
    if not forecasts.has_dates:
        return alt.X("time:Q", title="row", scale=alt.Scale(zero=False))
    form = "%d %b %H:%M" if forecasts.has_hours else "%b %Y"
    axis = alt.Axis(format=form, tickCount=5, labelOverlap=True)
    return alt.X("time:T", title=None, scale=alt.Scale(type="utc"), axis=axis)


def _tips(forecasts: Forecasts, title: str | None = None) -> list[Any]:
    time = alt.Tooltip("time:Q", title="row")
    if forecasts.has_hours:
        form = "%d %b %Y %H:%M"
        time = alt.Tooltip(
            "time:T", timeUnit="utcyearmonthdatehoursminutes", format=form, title="time"
        )
    elif forecasts.has_dates:
        time = alt.Tooltip("time:T", timeUnit="utcyearmonthdate", format="%d %b %Y", title="time")
    return ["arm:N", time, alt.Tooltip("value:Q", title=title) if title else "value:Q"]


def _unit(group: Group) -> str:
    """Return the unit of the series."""
    return "value" if group.metric in OTHER_UNITS else group.unit or metric_name(group)
