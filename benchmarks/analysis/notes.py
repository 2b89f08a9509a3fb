"""What must be known to read a comparison, in words."""

from __future__ import annotations

import numpy as np
import pandas as pd

from benchmarks.analysis.comparison import Arm
from benchmarks.analysis.formatting import listed
from benchmarks.analysis.labels import text
from benchmarks.analysis.metrics import SHARES
from benchmarks.analysis.row_filter import SETTINGS

TELLING = (
    "train_size",
    "task_version",
    "split",
    "test_size",
    "validation_size",
    "schema_version",
    "dataset_sha256",
)
"""What makes rows of one task and metric comparable, in the order in which a reader understands."""

ROUNDING = 1e-6
"""How far beyond 1 a share may come by rounding."""

LONGEST = 30
"""Longer values are cut: hashes and long descriptions of splits."""


def value_of(rows: pd.DataFrame, column: str) -> str:
    """What the rows say in a column; the most frequent if they differ."""
    values = rows[column].astype("str")
    values = values[values != ""]
    return str(values.mode().iloc[0]) if len(values) else ""


def known_values(rows: pd.DataFrame, column: str) -> list[str]:
    """The values of a column that are known, as text."""
    return sorted({text(value) for value in rows[column].unique()} - {""})


def shortened(rows: pd.DataFrame, column: str) -> str:
    """A group's value of a column, or how it begins."""
    value = ", ".join(known_values(rows, column)) or "unknown"
    return value if len(value) <= LONGEST else f"{value[:12]}…"


def differing(rows: pd.DataFrame, other: pd.DataFrame) -> list[str]:
    """The columns in which two groups differ."""
    return [name for name in TELLING if known_values(rows, name) != known_values(other, name)]


def title_of(rows: pd.DataFrame, beside: list[pd.DataFrame]) -> str:
    """The task, and what tells this group from others of the task: one column if one is enough."""
    task = str(rows["task"].iloc[0])
    if not beside:
        return task
    columns = [differing(rows, other) for other in beside]
    common = [name for name in TELLING if all(name in each for each in columns)]
    chosen = common[:1] or list(dict.fromkeys(name for each in columns for name in each))
    return ", ".join([task, *(f"{name} {shortened(rows, name)}" for name in chosen)])


def notes_of(rows: pd.DataFrame, arms: list[Arm], beside: list[pd.DataFrame]) -> list[str]:
    """Say of a group what its table does not show.

    Args:
        rows: that count.
        arms: best first, marked.
        beside: rows of the same task and metric that are not comparable with them.
    """
    notes = []
    for other in beside:
        first, *more = differing(rows, other)
        also = f"; {', '.join(more)} too" if more else ""
        count = other["arm_number"].nunique()
        notes.append(
            f"not comparable with {count:,} arm{'s' * (count > 1)} of the same task: {first} "
            f"{shortened(rows, first)} here, {shortened(other, first)} there{also}"
        )
    hidden = rows["arm_number"].nunique() - len(arms)
    if hidden:
        notes.append(f"only the best {len(arms):,} arms are shown; {hidden:,} are worse")
    if "single" in rows:
        notes += pooling_notes(arms)
    notes += tuning_notes(arms)
    naives = [arm.label for arm in arms if arm.baseline == "naive"]
    if len(naives) > 1:
        notes.append(f"several naive arms; skill is counted from the best, {naives[0]}")
    if len(arms) > 1 and not any(arm.is_among_best for arm in arms):
        notes.append("nothing of this order is shown: no two of these arms can be tested")
    together = [arm.label for arm in arms if (arm.rows["trained_together"] > 1).any()]
    if together:
        notes.append(
            f"seeds of {listed(together)} were trained together: "
            "those runs have no times of training"
        )
    doubts: dict[str, list[str]] = {}
    for arm in arms:
        if arm.doubtful_times:
            doubts.setdefault(arm.doubtful_times, []).append(arm.label)
    notes += [f"times in doubt (?) of {listed(names)}: {why}" for why, names in doubts.items()]
    return notes


def percent_notes(arms: list[Arm], metric: str) -> list[str]:
    """Ask whether scores that are better than perfect are per cent."""
    beyond = []
    for arm in arms:
        perfect = arm.rows["perfect_score"].iloc[0]
        is_share = perfect == 1 or (np.isnan(perfect) and metric in SHARES)
        is_higher = arm.rows["higher_is_better"].iloc[0] == 1
        if is_share and is_higher and arm.score.mean > 1 + ROUNDING:
            beyond.append(arm.label)
    if not beyond:
        return []
    return [f"{metric} of {listed(beyond)} lies beyond its perfect score 1: are these per cent?"]


def pooling_notes(arms: list[Arm]) -> list[str]:
    """Say which arms hold several, in what those differ, and whether each seed has them all."""
    notes = []
    for arm in arms:
        count = arm.rows["single"].nunique()
        if count > 1:
            varying = [n for n in ("model", *SETTINGS) if len(known_values(arm.rows, n)) > 1]
            sizes = arm.rows.groupby("seed", dropna=False)["single"].nunique()
            uneven = "" if (sizes == count).all() else "; not every seed has all of them"
            notes.append(
                f"{arm.label}: {count} arms are pooled, a seed's score is their mean; they differ "
                f"in {', '.join(varying) or 'settings that have no column'}{uneven}"
            )
    return notes


def tuning_notes(arms: list[Arm]) -> list[str]:
    """Say where arms were not tuned alike."""
    nets = [arm for arm in arms if not arm.baseline]
    if len({arm.trials or 0 for arm in nets}) < 2:
        return []
    parts = [f"{arm.model}: {arm.trials or 'none'}" for arm in nets]
    return [f"unequal tuning, trials of a search: {listed(parts, 6)}"]
