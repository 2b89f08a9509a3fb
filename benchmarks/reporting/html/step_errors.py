"""Errors of forecasts by the number of steps ahead."""

from __future__ import annotations

import itertools

import altair as alt
import numpy as np

from benchmarks.analysis.comparison import Arm, Group
from benchmarks.reporting.answer import nets
from benchmarks.reporting.html.figure import Figure, Record, lines, rounded, spec_of
from benchmarks.reporting.html.forecasts import MOST_ARMS, MOST_SEEDS, NAIVE_LOOK, steps_of
from benchmarks.reporting.html.formatting import metric_name, number
from benchmarks.reporting.html.run_files import Runs, first_runs
from benchmarks.reporting.html.theme import MUTED, Look, Looks, Style

SEASONAL_LOOK = Look(MUTED, "triangle-down", [1, 5])

Errors = dict[str, list[float]]  # by arm, of each step ahead


def step_figure(group: Group, runs_: Runs, looks: Looks, name: str) -> Figure | None:
    """Plot the error of each step ahead; None for forecasts of a single step."""
    naive_arm = next((arm for arm in group.arms if arm.label == group.naive), None)
    errors: Errors = {}
    for arm in [*nets(group)[:MOST_ARMS], group.best_baseline, naive_arm]:
        found = [] if arm is None else mean_by_step(arm, runs_, group.metric)
        if arm is not None and found:
            errors[arm.label] = found
    if not errors:
        return None
    all_looks = looks.style(group.arms)
    style = {label: all_looks[label] for label in errors}
    for label, (values, look) in references(group, runs_, errors).items():
        errors[label], style[label] = values, look
    return _figure(group, errors, style, name)


def by_step(metrics: dict[str, float], name: str) -> list[float]:
    """Return the values of the metrics `NAME_step_1`, `NAME_step_2`, …"""
    keys = (f"{name}_step_{step}" for step in itertools.count(1))
    return [metrics[key] for key in itertools.takewhile(metrics.__contains__, keys)]


def mean_by_step(arm: Arm, runs_: Runs, name: str) -> list[float]:
    """Return the mean of a metric over the seeds by step; empty without one."""
    ids = (run_id for run_id, _ in first_runs(arm, MOST_SEEDS))
    found = [by_step(runs_.other_metrics(run_id), name) for run_id in ids]
    longest = max(map(len, found), default=0)
    complete = [values for values in found if len(values) == longest]
    return [float(value) for value in np.mean(complete, axis=0)] if longest else []


def references(group: Group, runs_: Runs, drawn: Errors) -> dict[str, tuple[list[float], Look]]:
    """Return the RMSE of the naive forecasts that no arm of the figure is."""
    if group.metric != "rmse":
        return {}
    horizon = len(next(iter(drawn.values())))
    found = {}
    for arm in group.arms:
        for run_id, _ in first_runs(arm, 1):
            metrics = runs_.other_metrics(run_id)
            rmse = by_step(metrics, "rmse")
            naive = by_step(metrics, "rmse_naive")
            ratios = by_step(metrics, "rmse_over_seasonal_naive")
            if group.naive not in drawn and len(naive) == horizon:
                found["random walk"] = (naive, NAIVE_LOOK)
            is_known = len(rmse) == len(ratios) == horizon and min(ratios) > 0
            if "seasonal_naive" not in drawn and is_known:
                values = [error / ratio for error, ratio in zip(rmse, ratios, strict=True)]
                found["seasonal naive"] = (values, SEASONAL_LOOK)
    return found


def _figure(group: Group, errors: Errors, style: Style, name: str) -> Figure:
    horizon = max(map(len, errors.values()))
    steps = steps_of(group, horizon)
    records: list[Record] = [
        {"arm": label, "step": step, "value": rounded(value)}
        for label, values in errors.items()
        for step, value in enumerate(values, start=1)
    ]
    metric = metric_name(group, with_unit=False)
    axis = alt.Axis(format="d", tickMinStep=1, grid=False)
    x = alt.X("step:Q", title=f"{steps} ahead", axis=axis, scale=alt.Scale(zero=False))
    y = alt.Y("value:Q", title=metric_name(group), scale=alt.Scale(zero=True))
    tips = ["arm:N", alt.Tooltip("step:Q", title=f"{steps} ahead"), alt.Tooltip("value:Q")]
    ends = {label: (number(values[0]), number(values[-1])) for label, values in errors.items()}
    return Figure(
        name=f"{name}-steps",
        title=f"{metric} by step ahead",
        caption="Over all origins of the test split, mean over the seeds. Where a line is above "
        "that of a naive forecast, the arm is worse than it at this distance.",
        summary="; ".join(
            f"{label}: {first} one step ahead, {last} {horizon} {steps} ahead"
            for label, (first, last) in ends.items()
        ),
        spec=spec_of(lines(style, records, x, y, tips), style),
        header=[f"{steps} ahead", *errors],
        rows=[
            [str(step + 1), *(number(v[step]) if step < len(v) else "" for v in errors.values())]
            for step in range(horizon)
        ],
    )
