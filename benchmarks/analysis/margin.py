"""The smallest difference worth a decision, given by the user or by the task."""

from __future__ import annotations

import math
from dataclasses import dataclass

import pandas as pd

from benchmarks.errors import UserError

OF_TASK = "task"


@dataclass(frozen=True)
class Margin:
    """A margin in units of the metric, in per cent of a score, or as the task states it."""

    value: float | None
    is_percent: bool = False

    def in_units(self, score: float, rows: pd.DataFrame) -> float:
        """Return the margin in units of the metric, in per cent of a score; `rows` state it."""
        if self.value is None:
            return stated_by(rows).in_units(score, rows)
        return self.value / 100 * abs(score) if self.is_percent else self.value


def stated_by(rows: pd.DataFrame) -> Margin:
    """Return the margin that the rows of a task state, or raise UserError."""
    task, metric = str(rows["task"].iloc[0]), str(rows["metric"].iloc[0])
    if metric != str(rows["own_metric"].iloc[0]):
        raise UserError(f"--margin task: {task} has no margin for {metric}; give a number")
    stated = sorted(set(rows["margin"].astype("str")) - {""})
    if len(stated) != 1:
        found = f"several margins ({', '.join(stated)})" if stated else "no margin"
        raise UserError(f"--margin task: the rows of {task} state {found}; give a number")
    return parse_margin(stated[0])


def parse_margin(text: str) -> Margin:
    """Parse a number, a number of per cent such as `2%`, or `task`; raise UserError."""
    if text == OF_TASK:
        return Margin(None)
    try:
        value = float(text.removesuffix("%"))
    except ValueError:
        value = math.nan
    if not 0 < value < math.inf:
        raise UserError(
            f"--margin {text}: must be a number above 0, per cent of the score such as 2%, "
            f"or task for the task's own margin"
        )
    return Margin(value, text.endswith("%"))
