"""Options of a comparison: the task, the metric, and the columns that define an arm."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import pandas as pd

from benchmarks.analysis.comparison import ExcludedRows
from benchmarks.analysis.formatting import listed
from benchmarks.analysis.metrics import direction
from benchmarks.analysis.row_filter import NEVER_POOLED, filter_rows
from benchmarks.errors import UserError, nearest


@dataclass(frozen=True)
class Options:
    """Options of a comparison.

    The task and the metric (None: all tasks, the task's own metric), the columns that define an
    arm, the arm that all others are compared with, and whether to test over items.
    """

    task: str | None = None
    metric: str | None = None
    by: tuple[str, ...] = ()
    baseline: str | None = None
    items: bool = True


DEFAULTS = Options()


def select_rows(frame: pd.DataFrame, options: Options) -> tuple[pd.DataFrame, list[ExcludedRows]]:
    """Return the rows to compare, with `score` and `arm_number`, and the excluded rows."""
    scored = with_score(rows_of_task(frame, options.task), options.metric)
    frame, excluded = filter_rows(scored, options.metric or "a score")
    return (pooled(frame, options.by) if options.by else frame), excluded


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


def with_score(frame: pd.DataFrame, metric: str | None) -> pd.DataFrame:
    """Add the column `score`, and the task's own metric as `own_metric` and `own_higher`."""
    check_directions(frame)
    frame = frame.assign(own_metric=frame["metric"], own_higher=frame["higher_is_better"])
    if metric is None or metric == "test_score":
        return frame.assign(score=frame["test_score"])
    higher = frame["own_higher"] if metric == "val_score" else float(direction(metric))
    if frame[metric].isna().all():
        tables = listed(sorted(set(frame["table"].astype("str"))))
        raise UserError(f"--metric {metric}: no row of {tables} has a value in this column")
    names = pd.Categorical([metric] * len(frame))
    return frame.assign(score=frame[metric], metric=names, higher_is_better=higher)


def check_directions(frame: pd.DataFrame) -> None:
    """Check that every score has a task, a metric and one direction."""
    by_metric = frame.groupby(["task", "metric"], observed=True)["higher_is_better"]
    mixed = by_metric.nunique() > 1
    if mixed.any():
        task, name = mixed.index[int(mixed.to_numpy().argmax())]
        raise UserError(f"column higher_is_better: is both true and false for {name} of {task}")
    unstated = frame["test_score"].notna() & (
        frame["higher_is_better"].isna() | (frame["metric"] == "") | (frame["task"] == "")
    )
    if unstated.any():
        row = frame[unstated].iloc[0]
        empty = [name for name in ("task", "metric") if not row[name]]
        name = (empty or ["higher_is_better"])[0]
        raise UserError(f"{row['table']}: row {row['line']} has a score and no {name}")


def pooled(frame: pd.DataFrame, by: Sequence[str]) -> pd.DataFrame:
    """Return the rows with arms defined by these columns, and the previous numbers as `single`."""
    is_net = frame["baseline"] == ""
    keys = frame.assign(
        of_baseline=frame["arm_key"].astype("str").mask(is_net, ""),
        baseline_model=frame["model"].astype("str").mask(is_net, ""),
    )
    for name in by:  # the settings of nets do not apply to baselines
        keys[name] = keys[name].astype("str").where(is_net, "")
    columns = list(dict.fromkeys([*by, *NEVER_POOLED, "of_baseline", "baseline_model"]))
    number = keys.groupby(columns, sort=False, observed=True, dropna=False).ngroup()
    frame = frame.assign(single=frame["arm_number"], arm_number=number)
    return frame.sort_values(["arm_number", "seed", "run_id", "line"], kind="stable")
