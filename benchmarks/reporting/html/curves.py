"""Learning curves: validation score against steps, seconds and tokens."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import altair as alt
import numpy as np
import pandas as pd
from numpy.typing import NDArray

from benchmarks.analysis.comparison import Arm, Group
from benchmarks.analysis.statistics.common import unit_of
from benchmarks.reporting.answer import nets
from benchmarks.reporting.html.figure import Figure, Record, chart, encode, rounded, spec_of, spread
from benchmarks.reporting.html.formatting import metric_name, number, plural
from benchmarks.reporting.html.run_files import Runs, first_runs
from benchmarks.reporting.html.theme import Looks, Style
from benchmarks.reporting.sentences import direction_text

MOST_ARMS = 8
MOST_SEEDS = 20
MOST_THIN_LINES = 10
POINTS = 60

AXES = {"steps": "optimiser steps", "train_seconds": "training time (s)", "tokens": "tokens seen"}

Curve = tuple[NDArray[np.float64], NDArray[np.float64]]  # places of evaluation, and the scores


def _curves_of(runs_: Runs, arm: Arm, axis: str, metric: str) -> list[tuple[str, Curve]]:
    """Return the seed and curve of each run of an arm that has one."""
    found = []
    for run_id, seed in first_runs(arm, MOST_SEEDS):
        history = runs_.history(run_id)
        score = f"validation_{metric}"
        if history is None or axis not in history or score not in history:
            continue
        clean = history[[axis, score]].replace([np.inf, -np.inf], np.nan).dropna().sort_values(axis)
        if len(clean):
            found.append((seed, (clean[axis].to_numpy(float), clean[score].to_numpy(float))))
    return found


def mean_and_band(curves: Sequence[Curve]) -> pd.DataFrame:
    """Compute the mean, lowest and highest of curves over their common range.

    Beyond the end of the first curve, the mean would be over other seeds and could jump. The table
    is empty if the curves have no common range.
    """
    begin = max(float(x[0]) for x, _ in curves)
    end = min(float(x[-1]) for x, _ in curves)
    if end < begin:
        return pd.DataFrame(columns=["x", "mean", "low", "high"])
    places = np.unique(np.concatenate([x for x, _ in curves]))
    places = places[(places >= begin) & (places <= end)]
    if len(places) > POINTS or any(len(x) != len(places) for x, _ in curves):
        places = np.linspace(begin, end, min(POINTS, max(2, len(places))))
    values = np.stack([np.interp(places, x, y) for x, y in curves])
    unit = unit_of(values)
    mean = unit * (values / unit).mean(0)
    return pd.DataFrame({"x": places, "mean": mean, "low": values.min(0), "high": values.max(0)})


def thinned(curve: Curve) -> Curve:
    """Return a curve with at most POINTS points, including its first and last."""
    keep = spread(len(curve[0]), POINTS)
    return curve[0][keep], curve[1][keep]


@dataclass
class _Drawn:
    """The curves of a figure."""

    arms: list[Arm] = field(default_factory=list)
    means: list[Record] = field(default_factory=list)  # mean and band of each arm
    thin: list[Record] = field(default_factory=list)  # single seeds
    # Curves of a single evaluation, where a line would be invisible.
    points: list[Record] = field(default_factory=list)
    rows: list[list[str]] = field(default_factory=list)

    def add(self, arm: Arm, curves: list[tuple[str, Curve]], higher_is_better: bool) -> None:
        self.arms.append(arm)
        band = mean_and_band([curve for _, curve in curves])
        for line in band.to_dict("records"):
            numbers = {str(key): rounded(value) for key, value in line.items()}
            self.means.append({"arm": arm.label, **numbers})
        self.points += self.means[-1:] if len(band) == 1 else []
        if band.empty or 1 < len(curves) <= MOST_THIN_LINES:
            for seed, curve in curves:
                seen = [
                    {"arm": arm.label, "seed": seed, "x": rounded(a), "y": rounded(b)}
                    for a, b in zip(*thinned(curve), strict=True)
                ]
                self.thin += seen
                if band.empty and len(seen) == 1:
                    self.points.append(seen[0] | {"mean": seen[0]["y"]})
        best = (max if higher_is_better else min)(float(y[-1]) for _, (_, y) in curves)
        ends = float(np.mean([float(x[-1]) for _, (x, _) in curves]))
        self.rows.append([arm.label, str(len(curves)), number(ends), number(best)])


def curve_figures(group: Group, runs_: Runs, looks: Looks, name: str) -> list[Figure]:
    """Plot the curves once per axis; empty if no run has one."""
    figures = (_figure(group, runs_, looks, name, axis) for axis in AXES)
    return [figure for figure in figures if figure is not None]


def _figure(group: Group, runs_: Runs, looks: Looks, name: str, axis: str) -> Figure | None:
    drawn = _Drawn()
    for arm in nets(group)[:MOST_ARMS]:
        if curves := _curves_of(runs_, arm, axis, group.metric):
            drawn.add(arm, curves, group.higher_is_better)
    if not drawn.arms:
        return None
    style = looks.style(drawn.arms)
    return Figure(
        name=f"{name}-curve-{axis.removeprefix('train_')}",
        title=f"Learning against {AXES[axis].partition(' (')[0]}",
        caption=_caption(group, drawn, axis),
        summary=f"Validation {metric_name(group)} ({direction_text(group.higher_is_better)}) of "
        + "; ".join(f"{r[0]}, {plural(int(r[1]), 'seed')}, best end {r[3]}" for r in drawn.rows),
        spec=spec_of(_layers(group, drawn, style, axis), style),
        header=["arm", "seeds", f"mean {AXES[axis]} at the end", "best seed's score at the end"],
        rows=drawn.rows,
    )


def _layers(group: Group, drawn: _Drawn, style: Style, axis: str) -> list[Any]:
    x = alt.X("x:Q", title=AXES[axis], axis=alt.Axis(format="~s", tickCount=5))
    scale = alt.Scale(zero=False, domain=list(_scale(group, drawn)), nice=True)
    vertical: dict[str, Any] = {"title": f"validation {metric_name(group)}", "scale": scale}
    y = alt.Y("mean:Q", **vertical)
    colour = encode(style, "color", "stroke")
    tips = [
        "arm:N",
        alt.Tooltip("x:Q", title=AXES[axis], format=",.4~g"),
        "mean:Q",
        alt.Tooltip("low:Q", title="lowest seed"),
        alt.Tooltip("high:Q", title="highest seed"),
    ]
    means, thin, points = (
        chart(records).encode(x=x, color=colour)
        for records in (drawn.means, drawn.thin, drawn.points)
    )
    return [
        means.mark_area(opacity=0.14, clip=True).encode(y="low:Q", y2="high:Q"),
        thin.mark_line(strokeWidth=0.8, opacity=0.4, clip=True).encode(
            y=alt.Y("y:Q", **vertical), detail="seed:N"
        ),
        means.mark_line(clip=True).encode(y=y, strokeDash=encode(style, "strokeDash", "stroke")),
        means.mark_point(size=70, opacity=0, filled=True).encode(y=y, tooltip=tips),
        points.mark_point(size=70, opacity=1, filled=True).encode(
            y=y, shape=encode(style, "shape"), tooltip=tips[:3]
        ),
    ]


def _caption(group: Group, drawn: _Drawn, axis: str) -> str:
    contenders = nets(group)
    caption = "Mean of the seeds until the first of them stops; band: lowest to highest seed"
    caption += "; thin: single seeds." if drawn.thin else "."
    caption += " A run with a single evaluation is a point." if drawn.points else ""
    if len(contenders) > MOST_ARMS:
        caption += f" The best {MOST_ARMS} of {len(contenders)} networks are drawn."
    if len(drawn.arms) < len(contenders[:MOST_ARMS]):
        caption += " Networks whose runs have no history are not drawn."
    doubts = [arm.doubtful_times for arm in drawn.arms if arm.doubtful_times]
    if axis == "train_seconds" and doubts:
        caption += f" Times are in doubt: {doubts[0]}."
    return caption


def _scale(group: Group, drawn: _Drawn) -> tuple[float, float]:
    """Return the ends of the score axis, excluding the first steps of an untrained network."""
    values = [r[key] for r in drawn.means for key in ("mean", "low", "high")]
    values += [r["y"] for r in drawn.thin]
    found = np.array([value for value in values if value is not None])
    low, high = float(found.min()), float(found.max())
    if group.higher_is_better:
        low = max(low, float(np.quantile(found, 0.02)))
    else:
        high = min(high, float(np.quantile(found, 0.95)))
    ends = [low, high, *(r["mean"] for r in drawn.points)]
    low, high = min(ends), max(ends)
    return (low, high) if high > low else (low - 0.5, high + 0.5)
