"""Options of a comparison: the task, the metric, and the columns that define an arm."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from benchmarks.analysis.comparison import ExcludedRows
from benchmarks.analysis.formatting import listed
from benchmarks.analysis.margin import Margin, parse_margin
from benchmarks.analysis.metrics import SHARES, direction, known_direction, plain_name
from benchmarks.analysis.row_filter import NEVER_POOLED, filter_rows
from benchmarks.analysis.seed_tests import ROUNDING
from benchmarks.errors import UserError, nearest
from benchmarks.results.row import Status


@dataclass(frozen=True)
class Options:
    """Options of a comparison.

    Attributes:
        task, metric: None for all tasks, and for the task's own metric.
        by: columns that define an arm.
        baseline: the arm that all others are compared with.
        items: test over items where predictions are kept.
        margin: the smallest difference worth a decision.
        planned: number of seeds per arm that was fixed beforehand.
    """

    task: str | None = None
    metric: str | None = None
    by: tuple[str, ...] = ()
    baseline: str | None = None
    items: bool = True
    margin: Margin | None = None
    planned: int | None = None


DEFAULTS = Options()
MOST_PLANNED = 200  # levels of more looks take seconds to compute


def options_of(*, margin: str | None, planned: int | None, **others: Any) -> Options:
    """Return the options of a command line, or raise UserError."""
    if planned is not None and not 2 <= planned <= MOST_PLANNED:
        raise UserError(f"--planned {planned}: must be from 2 to {MOST_PLANNED} seeds")
    found = None if margin is None else parse_margin(margin)
    return Options(margin=found, planned=planned, **others)


@dataclass(frozen=True)
class Selection:
    """The rows to compare, with `score` and `arm_number`, and the reasons for excluding others.

    `failed` has the latest run of each seed at which it failed, numbered in the same way, with its
    `failure`.
    """

    rows: pd.DataFrame
    failed: pd.DataFrame
    excluded: list[ExcludedRows]


def select_rows(frame: pd.DataFrame, options: Options) -> Selection:
    """Select the rows to compare."""
    frame, excluded = filter_rows(scored_rows(frame, options), options.metric or "a score")
    frame = pooled(frame, options.by) if options.by else frame
    is_failed = frame["failure"] != ""
    return Selection(frame[~is_failed], frame[is_failed], excluded)


def scored_rows(frame: pd.DataFrame, options: Options) -> pd.DataFrame:
    """Return the rows of the chosen task with `score`; each metric has one direction and scale."""
    scored = with_score(rows_of_task(frame, options.task), options.metric, options.task)
    check_scales(scored)
    return scored


def rows_of_task(frame: pd.DataFrame, task: str | None) -> pd.DataFrame:
    """Return the rows of a task, or all rows."""
    if task is None:
        return frame
    chosen = frame[frame["task"] == task]
    if chosen.empty:
        found = sorted(set(frame["task"].astype("str")) - {""})
        raise UserError(
            f"--task {task}: no rows for this task{nearest(task, found)}; "
            f"there are {listed(found, 10)}"
        )
    return chosen


def with_score(frame: pd.DataFrame, metric: str | None, task: str | None = None) -> pd.DataFrame:
    """Add the column `score`, and the task's own metric as `own_metric` and `own_higher`."""
    check_directions(frame)
    check_statuses(frame)
    frame = frame.assign(own_metric=frame["metric"], own_higher=frame["higher_is_better"])
    if metric is None or metric == "test_score":
        return frame.assign(score=frame["test_score"])
    higher = frame["own_higher"] if metric == "val_score" else float(direction(metric))
    if frame[metric].isna().all():
        tables = listed(sorted(set(frame["table"].astype("str"))))
        rows = f"row of task {task} in {tables}" if task else f"row of {tables}"
        raise UserError(f"--metric {metric}: no {rows} has a value in this column")
    names = pd.Categorical([metric] * len(frame))
    return frame.assign(score=frame[metric], metric=names, higher_is_better=higher)


def check_statuses(frame: pd.DataFrame) -> None:
    """Check that the status of every row is documented: others would silently be left out."""
    known = [status.value for status in Status]
    wrong = ~frame["status"].isin(["", *known])
    if wrong.any():
        row = frame[wrong].iloc[0]
        raise UserError(
            f"{row_name(row)}: status {row['status']} is unknown{nearest(row['status'], known)}; "
            f"allowed: {', '.join(known)}, or empty"
        )


def check_directions(frame: pd.DataFrame) -> None:
    """Check that every score has a task, a metric and one direction: the documented one if any."""
    higher = frame["higher_is_better"]
    directions = {name: known_direction(name) for name in frame["metric"].unique()}
    known = frame["metric"].astype("str").map(directions).astype("float64")
    wrong = abs(known - higher) == 1
    if wrong.any():
        row = frame[wrong].iloc[0]
        given, better = ("true", "lower") if row["higher_is_better"] else ("false", "higher")
        raise UserError(
            f"{row_name(row)}: higher_is_better is {given} for {row['metric']}; {better} is better"
        )
    metrics = frame.groupby(["task", "metric"], observed=True)["higher_is_better"]
    mixed = metrics.transform("nunique") > 1
    if mixed.any():
        first = frame[mixed & higher.notna()].iloc[0]
        same = (frame["task"] == first["task"]) & (frame["metric"] == first["metric"])
        other = frame[same & (higher == 1 - first["higher_is_better"])].iloc[0]
        raise UserError(
            f"column higher_is_better: is both true and false for {first['metric']} of "
            f"{first['task']}: in {row_name(first)} and {row_name(other)}"
        )
    unstated = frame["test_score"].notna() & (
        higher.isna() | (frame[["task", "metric", "model"]] == "").any(axis="columns")
    )
    if unstated.any():
        row = frame[unstated].iloc[0]
        empty = [name for name in ("task", "metric", "model") if not row[name]]
        name = (empty or ["higher_is_better"])[0]
        raise UserError(f"{row['table']}: row {row['line']} has a score and no {name}")


def check_scales(frame: pd.DataFrame) -> None:
    """Check that the scores of a task and metric are not partly shares and partly per cents.

    A score is known to be a share by its unit, or by the perfect score 1.
    """
    names, own_names = frame["metric"].astype("str"), frame["own_metric"].astype("str")
    own_scale = (names == "val_score") | (names == own_names)
    perfect = frame["perfect_score"].where(own_scale)
    is_perfect = (perfect == 1) | (perfect.isna() & names.map(plain_name).isin(SHARES))
    share = is_perfect & (frame["higher_is_better"] == 1)
    share |= own_scale & (frame["metric_unit"] == "share")
    scored = frame[np.isfinite(frame["score"])].assign(share=share)
    for (_, metric), rows in scored.groupby(["task", "metric"], observed=True, sort=False):
        beyond = rows["score"] > 1 + ROUNDING
        within = (rows["score"] > 0) & ~beyond  # 0 is the same in both scales
        if rows["share"].any() and beyond.any() and within.any():
            row, other = rows[beyond].iloc[0], rows[within].iloc[0]
            raise UserError(
                f"{metric} of {row_name(row)} is {row['score']:.6g}, others are shares up to 1: "
                f"{other['score']:.6g} in {row_name(other)}"
            )


def row_name(row: pd.Series[Any]) -> str:
    """Return the table and the number of a row."""
    return f"{row['table']}, row {row['line']}"


def pooled(frame: pd.DataFrame, by: Sequence[str]) -> pd.DataFrame:
    """Return the rows with arms defined by these columns, and the previous numbers as `single`."""
    is_net = frame["baseline"] == ""
    keys = frame.assign(
        of_baseline=frame["arm_key"].astype("str").mask(is_net, ""),
        baseline_model=frame["model"].astype("str").mask(is_net, ""),
    )
    for name in (*by, "recipe"):  # the settings of nets do not apply to baselines
        keys[name] = keys[name].astype("str").where(is_net, "")
    columns = list(dict.fromkeys([*by, *NEVER_POOLED, "recipe", "of_baseline", "baseline_model"]))
    number = keys.groupby(columns, sort=False, observed=True, dropna=False).ngroup()
    frame = frame.assign(single=frame["arm_number"], arm_number=number)
    return frame.sort_values(["arm_number", "replicate", "run_id"], kind="stable")
