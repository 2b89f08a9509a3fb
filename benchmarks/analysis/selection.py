"""What of the tables is compared: rows of a task, by a metric, as arms."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import pandas as pd

from benchmarks.analysis.comparison import LeftOut
from benchmarks.analysis.formatting import listed
from benchmarks.analysis.metrics import direction
from benchmarks.analysis.row_filter import ALWAYS_APART, counted
from benchmarks.errors import UserError, nearest


@dataclass(frozen=True)
class Options:
    """What of the tables is compared, and how.

    Attributes:
        task: the only one that is; all by default.
        metric: a column instead of the task's own metric.
        by: columns whose values make the arms; else whatever differs but in seed is one.
        baseline: label of the arm, or its model, against which all others are set.
        items: whether the runs' predictions are read.
    """

    task: str | None = None
    metric: str | None = None
    by: tuple[str, ...] = ()
    baseline: str | None = None
    items: bool = True


EVERYTHING = Options()


def rows_that_count(frame: pd.DataFrame, options: Options) -> tuple[pd.DataFrame, list[LeftOut]]:
    """Choose task and metric, sort out what does not count, and number the arms.

    Raises:
        UserError: an option names nothing that is there, or a run id stands for two runs.
    """
    scored = with_score(of_task(frame, options.task), options.metric)
    frame, left_out = counted(scored, options.metric or "a score")
    return (pooled(frame, options.by) if options.by else frame), left_out


def of_task(frame: pd.DataFrame, task: str | None) -> pd.DataFrame:
    """Choose the rows of a task.

    Raises:
        UserError: there are none.
    """
    if task is None:
        return frame
    chosen = frame[frame["task"] == task]
    if chosen.empty:
        found = sorted(set(frame["task"].astype("str")) - {""})
        raise UserError(
            f"--task {task}: no row is of it{nearest(task, found)}; there are {listed(found, 10)}"
        )
    return chosen


def with_score(frame: pd.DataFrame, metric: str | None) -> pd.DataFrame:
    """Add the column `score`: the test score, or the column that was asked for.

    The columns `own_metric` and `own_higher` keep what the task is judged by.

    Raises:
        UserError: the rows of a task disagree on which way is better, or the column has none.
    """
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
    """Refuse rows that leave open which way is better.

    Raises:
        UserError: they do.
    """
    by_metric = frame.groupby(["task", "metric"], observed=True)["higher_is_better"]
    mixed = by_metric.nunique() > 1
    if mixed.any():
        task, name = mixed.index[int(mixed.to_numpy().argmax())]
        raise UserError(f"column higher_is_better: is both true and false for {name} of {task}")
    unsaid = frame["test_score"].notna() & (
        frame["higher_is_better"].isna() | (frame["metric"] == "") | (frame["task"] == "")
    )
    if unsaid.any():
        row = frame[unsaid].iloc[0]
        empty = [name for name in ("task", "metric") if not row[name]]
        name = (empty or ["higher_is_better"])[0]
        raise UserError(f"{row['table']}: row {row['line']} has a score and no {name}")


def pooled(frame: pd.DataFrame, by: Sequence[str]) -> pd.DataFrame:
    """Number the arms anew: rows are one arm if they are equal in these columns.

    Baselines stay what they are, and what is not comparable is not pooled. The column `single`
    keeps the numbers from before.
    """
    is_net = frame["baseline"] == ""
    keys = frame.assign(
        of_baseline=frame["arm_key"].astype("str").mask(is_net, ""),
        baseline_model=frame["model"].astype("str").mask(is_net, ""),
    )
    for name in by:  # what tells nets apart says nothing of a baseline
        keys[name] = keys[name].astype("str").where(is_net, "")
    columns = list(dict.fromkeys([*by, *ALWAYS_APART, "of_baseline", "baseline_model"]))
    number = keys.groupby(columns, sort=False, observed=True, dropna=False).ngroup()
    frame = frame.assign(single=frame["arm_number"], arm_number=number)
    return frame.sort_values(["arm_number", "seed", "run_id", "line"], kind="stable")
