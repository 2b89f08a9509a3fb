"""Learning curves: the score on validation against steps, seconds and tokens."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd
from numpy.typing import NDArray

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
from benchmarks.reporting.html.formatting import direction, metric_name, nets, number, plural
from benchmarks.reporting.html.run_files import Runs, first_runs
from benchmarks.reporting.html.theme import Looks

MOST_ARMS = 8
MOST_SEEDS = 20
MOST_THIN_LINES = 10
POINTS = 60

AXES = {"steps": "optimiser steps", "train_seconds": "training time (s)", "tokens": "tokens seen"}

Curve = tuple[NDArray[np.float64], NDArray[np.float64]]
"""Where a run was evaluated, and the score there."""


def curves_of(runs_: Runs, arm: Arm, axis: str, metric: str) -> list[tuple[str, Curve]]:
    """Read an arm's curves, with the seed of each; runs without one are passed over."""
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
    """Mean, lowest and highest of some curves, from where all have begun to where the first ends.

    Beyond that end the mean would be of other seeds than before it, and could jump.

    Returns:
        Columns x, mean, low, high; empty if the curves have no stretch in common.
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
    return pd.DataFrame(
        {"x": places, "mean": values.mean(0), "low": values.min(0), "high": values.max(0)}
    )


def thinned(curve: Curve) -> Curve:
    """Leave so many points of a curve that it looks the same, its last among them."""
    x, y = curve
    if len(x) <= POINTS:
        return curve
    keep = np.unique(np.linspace(0, len(x) - 1, POINTS).round().astype(int))
    return x[keep], y[keep]


def curve_figures(group: Group, runs_: Runs, looks: Looks, name: str) -> list[Figure]:
    """Draw the curves once for each axis; none if no run has left one."""
    figures = (_figure(group, runs_, looks, name, axis) for axis in AXES)
    return [figure for figure in figures if figure is not None]


def _figure(group: Group, runs_: Runs, looks: Looks, name: str, axis: str) -> Figure | None:
    import altair as alt

    contenders = nets(group)
    means: list[Record] = []
    thin: list[Record] = []
    points: list[Record] = []  # a line through one of them could not be seen
    drawn: list[Arm] = []
    rows: list[list[str]] = []
    for arm in contenders[:MOST_ARMS]:
        curves = curves_of(runs_, arm, axis, group.metric)
        if not curves:
            continue
        drawn.append(arm)
        band = mean_and_band([curve for _, curve in curves])
        for line in band.to_dict("records"):
            numbers = {str(key): rounded(value) for key, value in line.items()}
            means.append({"arm": arm.label, **numbers})
        points += means[-1:] if len(band) == 1 else []
        if band.empty or 1 < len(curves) <= MOST_THIN_LINES:
            for seed, curve in curves:
                seen = [
                    {"arm": arm.label, "seed": seed, "x": rounded(a), "y": rounded(b)}
                    for a, b in zip(*thinned(curve), strict=True)
                ]
                thin += seen
                if band.empty and len(seen) == 1:
                    points.append(seen[0] | {"mean": seen[0]["y"]})
        best = (max if group.higher_is_better else min)(float(y[-1]) for _, (_, y) in curves)
        ends = [float(x[-1]) for _, (x, _) in curves]
        rows.append([arm.label, str(len(curves)), number(float(np.mean(ends))), number(best)])
    if not drawn:
        return None
    labels, all_looks = [arm.label for arm in drawn], [looks.of(arm) for arm in drawn]
    x = alt.X("x:Q", title=AXES[axis], axis=alt.Axis(format="~s", tickCount=5))
    low, high = _scale(group, means, thin, points)
    y_title = f"validation {metric_name(group)}"
    y_scale = alt.Scale(zero=False, domain=[low, high], nice=True)
    y = alt.Y("mean:Q", title=y_title, scale=y_scale)
    colour = by_label(labels, all_looks, "color", legend="stroke")
    base = alt.Chart(data(means))
    tips = [alt.Tooltip("arm:N"), alt.Tooltip("x:Q", title=AXES[axis], format=",.4~g")]
    tips += [alt.Tooltip("mean:Q"), alt.Tooltip("low:Q", title="lowest seed")]
    tips += [alt.Tooltip("high:Q", title="highest seed")]
    chart = layered(
        base.mark_area(opacity=0.14, clip=True).encode(
            x=x, y=alt.Y("low:Q"), y2="high:Q", color=colour
        ),
        alt.Chart(data(thin))
        .mark_line(strokeWidth=0.8, opacity=0.4, clip=True)
        .encode(x=x, y=alt.Y("y:Q", title=y_title, scale=y_scale), color=colour, detail="seed:N"),
        base.mark_line(clip=True).encode(
            x=x, y=y, color=colour, strokeDash=by_label(labels, all_looks, "strokeDash", "stroke")
        ),
        base.mark_point(size=70, opacity=0, filled=True).encode(
            x=x, y=y, color=colour, tooltip=tips
        ),
        alt.Chart(data(points))
        .mark_point(size=70, opacity=1, filled=True)
        .encode(
            x=x,
            y=y,
            color=colour,
            shape=by_label(labels, all_looks, "shape"),
            tooltip=tips[:3],
        ),
    )
    caption = "Mean of the seeds until the first of them stops; band: lowest to highest seed"
    caption += "; thin: each seed." if thin else "."
    caption += " What was evaluated once is a point." if points else ""
    if len(contenders) > MOST_ARMS:
        caption += f" Drawn are the best {MOST_ARMS} of {len(contenders)} nets."
    if len(drawn) < len(contenders[:MOST_ARMS]):
        caption += " Nets whose runs left no history are not drawn."
    if axis == "train_seconds" and any(arm.doubtful_times for arm in drawn):
        doubt = next(arm.doubtful_times for arm in drawn if arm.doubtful_times)
        caption += f" Times are doubtful: {doubt}."
    return Figure(
        name=f"{name}-curve-{axis.removeprefix('train_')}",
        title=f"Learning against {AXES[axis].partition(' (')[0]}",
        caption=caption,
        summary=f"Validation {metric_name(group)} ({direction(group)}) of "
        + "; ".join(f"{r[0]}, {plural(int(r[1]), 'seed')}, best end {r[3]}" for r in rows),
        spec=spec_of(chart, 260, labels),
        header=["arm", "seeds", f"mean {AXES[axis]} at the end", "best seed's score at the end"],
        rows=rows,
    )


def _scale(
    group: Group, means: list[Record], thin: list[Record], points: list[Record]
) -> tuple[float, float]:
    """Ends of the score's axis, without the first steps of a net that has learnt nothing yet."""
    values = [r[key] for r in means for key in ("mean", "low", "high")] + [r["y"] for r in thin]
    found = np.array([value for value in values if value is not None])
    low, high = float(found.min()), float(found.max())
    if group.higher_is_better:
        low = max(low, float(np.quantile(found, 0.02)))
    else:
        high = min(high, float(np.quantile(found, 0.95)))
    low, high = min([low, *(r["mean"] for r in points)]), max([high, *(r["mean"] for r in points)])
    return (low, high) if high > low else (low - 0.5, high + 0.5)
