"""Targets set before the runs, and what the runs reached."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pandas as pd
from omegaconf import OmegaConf

from benchmarks.analysis.formatting import mean_text, significant
from benchmarks.analysis.statistics.common import Interval
from benchmarks.analysis.statistics.seeds import interval
from scripts.documentation.markdown import text_table
from scripts.documentation.scores import with_interval

FEWEST_SEEDS = 5
HEADER = ["task", "arm", "score", "n", "reach", "", "beyond", ""]


def targets_table(file: Path) -> str:
    """Return one row per target of a YAML file: the measured score, and a verdict per bound."""
    rows = []
    sets: Any = OmegaConf.load(file)
    for of in sets:
        table = pd.read_csv(of.table) if Path(of.table).exists() else None
        rows += [target_row(table, of, target) for target in of.targets]
    return text_table(HEADER, rows)


def target_row(table: pd.DataFrame | None, of: Any, target: Any) -> list[str]:
    """Compare the runs of a target with its bounds."""
    bounds = [target.reach, target.beyond]
    scores = [] if table is None else scores_of(table, of.column, target.where).tolist()
    if not scores:
        return [of.task, target.arm, "not run", "0", f"{bounds[0]}", "", f"{bounds[1]}", ""]
    score = interval(scores)
    measured = f"{with_interval(mean_text(score), score)} {of.unit}"
    verdicts = [verdict(score, bound, of.higher_is_better) for bound in bounds]
    cells = [f"{bounds[0]}", verdicts[0], f"{bounds[1]}", verdicts[1]]
    return [of.task, target.arm, measured, str(score.n), *cells]


def scores_of(table: pd.DataFrame, column: str, where: Any) -> pd.Series:
    """Return the scores of the successful runs that have the given values."""
    is_chosen = table["status"].eq("ok")
    for name, value in where.items():
        is_chosen &= table[name].astype(str).eq(str(value))
    return table.loc[is_chosen, column].dropna()


def verdict(score: Interval, bound: float, higher: bool) -> str:
    """Return "met" if the mean reaches a bound, and whether the whole interval does."""
    sign = 1 if higher else -1
    if score.n < FEWEST_SEEDS:
        return f"fewer than {FEWEST_SEEDS} seeds"
    if sign * (score.mean - bound) < 0:
        return f"missed by {significant(abs(score.mean - bound), 2)}"
    worst = score.low if higher else score.high
    return "met" if worst is not None and sign * (worst - bound) >= 0 else "met by the mean alone"
