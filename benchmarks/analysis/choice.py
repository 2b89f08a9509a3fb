"""Choice of a setting's value by validation score, for each model, by a rule fixed beforehand.

The value with the best mean replaces that of the recipe if their difference exceeds its pooled
standard error; else the recipe's value stays. A value at which a run failed is not chosen.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from benchmarks.analysis.formatting import significant
from benchmarks.analysis.selection import Options, select_rows
from benchmarks.analysis.statistics.common import Interval, Vector
from benchmarks.analysis.statistics.seeds import interval
from benchmarks.errors import UserError, counted, nearest
from benchmarks.results.reader import read_tables

RecipeValue = Callable[[str, Mapping[str, str]], Any]
"""Return the value of a key for the options of the groups model, task and recipe."""

SAME = ("group", "task", "model", "recipe", "match", "match_budget", "others")


@dataclass(frozen=True)
class Candidate:
    """A value of the setting with its validation scores, one per seed, and its failed runs."""

    value: str
    scores: Vector
    seeds: Vector
    failed: int
    is_of_recipe: bool

    @property
    def score(self) -> Interval | None:
        """Mean and interval of the scores; None without a completed run."""
        return interval(self.scores) if len(self.scores) else None


@dataclass(frozen=True)
class Choice:
    """The values of a setting that were run with one model on one task, in ascending order.

    Attributes:
        settings: what the runs have in common: model, recipe and overrides.
        chosen: one of the values; None if the rule cannot be applied.
        reason: why, in one sentence.
    """

    task: str
    settings: str
    metric: str
    higher_is_better: bool
    candidates: list[Candidate]
    chosen: str | None
    reason: str


def choices(
    tables: Sequence[Path], key: str, task: str | None, recipe_value: RecipeValue
) -> list[Choice]:
    """Return the choice of a setting's value for every model, task and recipe with other values.

    Raises:
        UserError: a table is invalid, no run sets the key, or runs of a value differ otherwise.
    """
    read = read_tables(tables)
    selected = select_rows(read.frame, Options(task=task, metric="val_score"))
    rows = pd.concat([selected.rows, selected.failed])
    rows = with_values(rows[rows["baseline"] == ""], key)
    found = []
    for _, runs in rows.groupby([*SAME], sort=False, observed=True, dropna=False):
        if (runs["value"] != "").any():
            found.append(choice_of(runs, key, recipe_value))
    if not found:
        keys = sorted({each.partition("=")[0] for text in rows["others"] for each in text.split()})
        known = f" (they set: {', '.join(keys)})" if keys else ""
        raise UserError(f"--choose {key}: no run sets this key{known}{nearest(key, keys)}")
    return found


def with_values(rows: pd.DataFrame, key: str) -> pd.DataFrame:
    """Add the `value` of a key in the overrides, empty without it, and the `others`."""
    values, others = [], []
    for text in rows["overrides"].astype("str"):
        words = [word.lstrip("+") for word in text.split()]
        own = [word.partition("=")[2] for word in words if word.partition("=")[0] == key]
        values.append(own[-1] if own else "")
        others.append(" ".join(word for word in words if word.partition("=")[0] != key))
    return rows.assign(value=values, others=others)


def choice_of(runs: pd.DataFrame, key: str, recipe_value: RecipeValue) -> Choice:
    """Return the choice among the values of runs that are equal in everything else."""
    first = runs.iloc[0]
    groups = {name: str(first[name]) for name in ("model", "task", "recipe")}
    default = text_of(recipe_value(key, groups))
    runs = runs.assign(value=[text_of(value) if value else default for value in runs["value"]])
    candidates = [
        candidate_of(part, str(value), str(value) == default)
        for value, part in runs.groupby("value", sort=False)
    ]
    candidates.sort(key=lambda each: (is_text(each.value), as_number(each.value), each.value))
    settings = f"{first['model']} recipe={first['recipe']} {first['others']}".rstrip()
    higher = bool(first["own_higher"])
    chosen, reason = chosen_value(candidates, default, higher)
    metric = str(first["own_metric"])
    return Choice(groups["task"], settings, metric, higher, candidates, chosen, reason)


def candidate_of(runs: pd.DataFrame, value: str, is_of_recipe: bool) -> Candidate:
    """Return a candidate, or raise UserError if its runs are of several arms."""
    if (arms := runs["arm_number"].nunique()) > 1:
        first = runs.iloc[0]
        raise UserError(
            f"{first['model']} on {first['task']} at {value}: {arms} arms differ in settings that "
            f"their overrides do not contain; give each search a results_dir of its own"
        )
    completed = runs[runs["failure"] == ""]
    scores, seeds = (completed[name].to_numpy("float64") for name in ("score", "seed"))
    return Candidate(value, scores, seeds, len(runs) - len(completed), is_of_recipe)


def chosen_value(
    candidates: Sequence[Candidate], default: str, higher_is_better: bool
) -> tuple[str | None, str]:
    """Apply the rule of this module: return the chosen value, if any, and the reason."""
    sign = 1.0 if higher_is_better else -1.0
    complete = [each for each in candidates if not each.failed and len(each.scores)]
    own = next((each for each in candidates if each.is_of_recipe), None)
    if own is None:
        return None, f"no choice: the recipe's value, {default}, was not run"
    if not complete:
        return None, "no choice: a run failed at every value"
    best = max(complete, key=lambda each: (sign * each.scores.mean(), each.is_of_recipe))
    if best is own:
        return default, f"{default}, the recipe's value, has the best mean"
    if own not in complete:
        failed = counted(own.failed, "run")
        return best.value, f"{best.value} replaces {default}, at which {failed} failed"
    if min(len(best.scores), len(own.scores)) < 2:
        return None, f"no choice: {best.value} has the best mean, but of one seed only"
    gain = abs(float(best.scores.mean() - own.scores.mean()))
    error = pooled_error(best.scores, own.scores)
    numbers = f"by {significant(gain, 2)}, pooled standard error {significant(error, 2)}"
    if gain > error:
        return best.value, f"{best.value} replaces {default}: better {numbers}"
    return default, f"{default} stays: {best.value} is better {numbers}"


def pooled_error(a: Vector, b: Vector) -> float:
    """Return the standard error of a difference of means, from the pooled variance."""
    squares = ((a - a.mean()) ** 2).sum() + ((b - b.mean()) ** 2).sum()
    return math.sqrt(squares / (len(a) + len(b) - 2) * (1 / len(a) + 1 / len(b)))


def text_of(value: Any) -> str:
    """Return a value as text, equal for equal numbers."""
    text = "null" if value is None else str(value)
    return text if is_text(text) else f"{float(text):g}"


def is_text(value: str) -> bool:
    """Return True for a value that is no number."""
    return math.isnan(as_number(value, math.nan))


def as_number(value: str, otherwise: float = 0.0) -> float:
    """Return text as a number."""
    try:
        return float(value)
    except ValueError:
        return otherwise
