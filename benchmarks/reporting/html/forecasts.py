"""Forecasts day by day: against the truth, what is left over, and who gains on the naive one."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd

from benchmarks.analysis.comparison import Arm, Group
from benchmarks.reporting.html.figure import (
    Figure,
    Record,
    by_label,
    data,
    layered,
    rounded,
    spec_of,
)
from benchmarks.reporting.html.formatting import metric_name, nets, number, plural
from benchmarks.reporting.html.run_files import Runs, first_runs
from benchmarks.reporting.html.theme import BASELINE_DASHES, GRID, INK, MUTED, Look, Looks

MOST_ARMS = 4
MOST_SEEDS = 20
DAYS_IN_DETAIL = 60
POINTS = 250

NAIVE_LOOK = Look(MUTED, "cross", BASELINE_DASHES["naive"])


@dataclass(frozen=True)
class Forecasts:
    """What some arms said of the same days.

    Attributes:
        days: YYYY-MM-DD, in order.
        actual: what came true.
        naive: what the reference said, under its name; None if there is none.
        by_arm: each arm's forecast, the mean over its seeds.
    """

    days: list[str]
    actual: pd.Series[float]
    naive: tuple[str, pd.Series[float]] | None
    by_arm: dict[str, pd.Series[float]]


def read(group: Group, runs_: Runs) -> Forecasts | None:
    """Read the forecasts of the best nets and of the best baseline; None if there are none."""
    actual: pd.Series[float] | None = None
    days: list[str] = []
    last: pd.Series[float] | None = None
    by_arm: dict[str, pd.Series[float]] = {}
    naive_arm = next((arm for arm in group.arms if arm.label == group.naive), None)
    for arm in [*nets(group)[:MOST_ARMS], group.best_baseline, naive_arm]:
        tables = _tables(arm, runs_) if arm is not None and arm.label not in by_arm else []
        if arm is None or not tables:
            continue
        first = tables[0]
        if actual is None:
            actual, days = first["actual"].astype(float), [str(day) for day in first["day"]]
            last = first["last"].astype(float) if "last" in first else None
        same = [table for table in tables if list(table["day"].astype(str)) == days]
        if same:
            by_arm[arm.label] = sum(
                (table["predicted"].astype(float) for table in same[1:]), same[0]["predicted"]
            ) / len(same)
    naive = None
    if naive_arm is not None and naive_arm.label in by_arm:
        naive = (naive_arm.label, by_arm.pop(naive_arm.label))
    elif last is not None:
        naive = ("random walk", last)
    if actual is None or not by_arm:
        return None
    return Forecasts(days, actual, naive, by_arm)


def _tables(arm: Arm, runs_: Runs) -> list[pd.DataFrame]:
    """Forecasts of an arm's seeds: predictions that name days and what came true."""
    found = (runs_.predictions(run_id) for run_id, _ in first_runs(arm, MOST_SEEDS))
    return [t for t in found if t is not None and {"day", "actual", "predicted"} <= set(t.columns)]


def advantage(forecasts: Forecasts) -> pd.DataFrame:
    """How far ahead of the naive forecast each arm is by each day.

    The squared errors it has saved up to then, in percent of all the naive forecast's: the last is
    100 (1 - (RMSE / naive RMSE)²).
    """
    assert forecasts.naive is not None
    naive = (forecasts.naive[1] - forecasts.actual) ** 2
    total = float(naive.sum()) or 1.0
    return pd.DataFrame(
        {
            label: (naive - (predicted - forecasts.actual) ** 2).cumsum() / total * 100
            for label, predicted in forecasts.by_arm.items()
        }
    )


def forecast_figures(group: Group, runs_: Runs, looks: Looks, name: str) -> list[Figure]:
    """Draw forecasts, residuals and the race against the naive one; none without forecasts."""
    forecasts = read(group, runs_)
    if forecasts is None:
        return []
    by_label = {arm.label: looks.of(arm) for arm in group.arms}
    arms = {label: by_label[label] for label in forecasts.by_arm}
    figures = [
        _against_truth(group, forecasts, arms, name),
        _residuals(group, forecasts, arms, name),
    ]
    if forecasts.naive is not None:
        figures.append(_race(group, forecasts, arms, name))
    return figures


def _against_truth(group: Group, forecasts: Forecasts, arms: dict[str, Look], name: str) -> Figure:
    import altair as alt

    looks = {"actual": Look(INK, "circle", [1, 0])}
    series = {"actual": forecasts.actual}
    if forecasts.naive is not None:
        looks[forecasts.naive[0]] = NAIVE_LOOK
        series[forecasts.naive[0]] = forecasts.naive[1]
    looks |= arms
    series |= forecasts.by_arm
    days = forecasts.days[-DAYS_IN_DETAIL:]
    records: list[Record] = [
        {"arm": label, "day": day, "value": rounded(value, 7)}
        for label, values in series.items()
        for day, value in zip(days, values.iloc[-len(days) :], strict=True)
    ]
    labels, all_looks = list(looks), list(looks.values())
    x = _days()
    y = alt.Y("value:Q", title=_unit(group), scale=alt.Scale(zero=False))
    colour = by_label(labels, all_looks, "color", legend="stroke")
    base = alt.Chart(data(records))
    chart = layered(
        base.mark_line(strokeWidth=1.8).encode(
            x=x, y=y, color=colour, strokeDash=by_label(labels, all_looks, "strokeDash", "stroke")
        ),
        base.mark_point(size=50, opacity=0, filled=True).encode(
            x=x, y=y, tooltip=[alt.Tooltip("arm:N"), _day_tip(), alt.Tooltip("value:Q")]
        ),
    )
    part = f"the last {len(days)} of " if len(days) < len(forecasts.days) else ""
    return Figure(
        name=f"{name}-forecasts",
        title="Forecasts and what came true",
        caption=f"Shown are {part}{plural(len(forecasts.days), 'test day')}; forecasts are means "
        "over the seeds. A forecast that repeats the day before looks right here, one day late.",
        summary=f"Forecasts by {', '.join(labels[1:])} of {days[0]} to {days[-1]}.",
        spec=spec_of(chart, 260, labels),
        header=["day", *labels],
        rows=[
            [day, *(number(float(values.iloc[i - len(days)]), 6) for values in series.values())]
            for i, day in enumerate(days)
        ],
    )


def _residuals(group: Group, forecasts: Forecasts, arms: dict[str, Look], name: str) -> Figure:
    import altair as alt

    days = forecasts.days[-DAYS_IN_DETAIL:]
    series = dict(forecasts.by_arm)
    if forecasts.naive is not None:
        series |= {forecasts.naive[0]: forecasts.naive[1]}
    residuals = {label: forecasts.actual - values for label, values in series.items()}

    def records(label: str) -> list[Record]:
        last = residuals[label].iloc[-len(days) :]
        return [
            {"arm": label, "day": day, "value": rounded(value)}
            for day, value in zip(days, last, strict=True)
        ]

    labels, all_looks = list(arms), list(arms.values())
    x, y = _days(), alt.Y("value:Q", title=f"truth − forecast ({_unit(group)})")  # noqa: RUF001  that very sign
    tips = [alt.Tooltip("arm:N"), _day_tip(), alt.Tooltip("value:Q", title="residual")]
    layers = [
        alt.Chart(data([{"zero": 0}])).mark_rule(color=MUTED).encode(y=alt.Y("zero:Q")),
        alt.Chart(data([r for label in labels for r in records(label)]))
        .mark_point(filled=True, size=30, opacity=0.8)
        .encode(
            x=x,
            y=y,
            color=by_label(labels, all_looks, "color", legend="shape"),
            shape=by_label(labels, all_looks, "shape", legend="shape"),
            tooltip=tips,
        ),
    ]
    bars = ""
    if forecasts.naive is not None:
        naive = [r | {"zero": 0} for r in records(forecasts.naive[0])]
        bar = alt.Chart(data(naive)).mark_rule(color=GRID, strokeWidth=4)
        layers.insert(0, bar.encode(x=x, y=y, y2=alt.Y2("zero:Q"), tooltip=tips))
        bars = f"Bars: {forecasts.naive[0]}. A mark at the end of its bar says no more than it. "
    rows = []
    for label, values in residuals.items():
        error = values.to_numpy(float)
        rmse = float(np.sqrt((error**2).mean()))
        rows.append([label, number(rmse), number(float(error.mean())), number(np.abs(error).max())])
    return Figure(
        name=f"{name}-residuals",
        title="What the forecasts left over",
        caption=f"{bars}The same {len(days)} days; the numbers are of all {len(forecasts.days)}.",
        summary="Residuals by arm: "
        + "; ".join(f"{label}: RMSE {rmse}, mean {mean}" for label, rmse, mean, _ in rows),
        spec=spec_of(layered(*layers), 260, labels),
        header=["arm", "RMSE of the mean forecast", "mean residual", "largest residual"],
        rows=rows,
    )


def _race(group: Group, forecasts: Forecasts, arms: dict[str, Look], name: str) -> Figure:
    import altair as alt

    assert forecasts.naive is not None
    table = advantage(forecasts)
    keep = np.unique(np.linspace(0, len(table) - 1, min(POINTS, len(table))).round().astype(int))
    records: list[Record] = [
        {"arm": label, "day": forecasts.days[i], "value": rounded(float(table[label].iloc[i]), 4)}
        for label in table
        for i in keep
    ]
    naive, labels, all_looks = forecasts.naive[0], list(arms), list(arms.values())
    x, y = _days(), alt.Y("value:Q", title=f"squared error saved (% of {naive}'s)")
    colour = by_label(labels, all_looks, "color", legend="stroke")
    base = alt.Chart(data(records))
    chart = layered(
        alt.Chart(data([{"zero": 0}])).mark_rule(color=MUTED).encode(y=alt.Y("zero:Q")),
        base.mark_line().encode(
            x=x, y=y, color=colour, strokeDash=by_label(labels, all_looks, "strokeDash", "stroke")
        ),
        base.mark_point(size=50, opacity=0, filled=True).encode(
            x=x, y=y, tooltip=[alt.Tooltip("arm:N"), _day_tip(), alt.Tooltip("value:Q", title="%")]
        ),
    )
    last = {label: float(table[label].iloc[-1]) for label in arms}
    return Figure(
        name=f"{name}-race",
        title=f"Squared error against {naive}'s, day by day",
        caption=f"Above 0 an arm has erred less than {naive}, the naive forecast, so far; one step "
        f"is one lucky day.{_line_to_beat(group, forecasts)}",
        summary="Share of the naive forecast's squared error saved by the last day: "
        + "; ".join(f"{label} {number(value, 3)} %" for label, value in last.items()),
        spec=spec_of(chart, 260, labels),
        header=["arm", "squared error saved by the last day (%)"],
        rows=[[label, number(value, 3)] for label, value in last.items()],
    )


def _line_to_beat(group: Group, forecasts: Forecasts) -> str:
    """Name the best baseline, and where it is drawn: to beat the naive one may be less."""
    assert forecasts.naive is not None
    best = group.best_baseline
    if best is None:
        return ""
    if best.label == forecasts.naive[0]:
        return " It is the best baseline too, so the line at 0 is the one to beat."
    if best.label in forecasts.by_arm:
        return f" The line to beat is that of {best.label}, the best baseline."
    return f" The best baseline, {best.label}, has left no forecasts and is not drawn."


def _days() -> object:
    """An axis of days, at the same place in every time zone."""
    import altair as alt

    return alt.X(
        "day:T",
        title=None,
        scale=alt.Scale(type="utc"),
        axis=alt.Axis(format="%b %Y", tickCount=5, labelOverlap=True),
    )


def _day_tip() -> object:
    import altair as alt

    return alt.Tooltip("day:T", timeUnit="utcyearmonthdate", format="%d %b %Y", title="day")


def _unit(group: Group) -> str:
    return group.unit or metric_name(group)
