"""Notes on a group: facts that its table does not show."""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from typing import Any

import pandas as pd

from benchmarks.analysis.comparison import Arm, FailedArm
from benchmarks.analysis.formatting import listed
from benchmarks.analysis.labels import cell_text
from benchmarks.analysis.metrics import COSTS
from benchmarks.analysis.row_filter import SETTINGS, run_names

DISTINGUISHING = (
    "track",
    "metric_unit",
    "vocabulary",
    "train_size",
    "task_version",
    "split",
    "test_size",
    "validation_size",
    "schema_version",
    "dataset",
    "dataset_sha256",
)  # the clearest first

MOST_CHANGED = 4  # changed scores in a note
LONGEST = 30  # length beyond which a value is cut


def most_frequent(rows: pd.DataFrame, column: str) -> str:
    """Return the most frequent non-empty value of a column."""
    values = rows[column].astype("str")
    values = values[values != ""]
    return str(values.mode().iloc[0]) if len(values) else ""


def known_values(rows: pd.DataFrame, column: str) -> list[str]:
    """Return the distinct non-empty values of a column as text."""
    return sorted({cell_text(value) for value in rows[column].unique()} - {""})


def shortened(rows: pd.DataFrame, column: str) -> str:
    """Return the values of a column in a group, cut if they are long."""
    value = ", ".join(known_values(rows, column)) or "unknown"
    return value if len(value) <= LONGEST else f"{value[:12]}…"


def differing(rows: pd.DataFrame, other: pd.DataFrame) -> list[str]:
    """Return the columns in which two groups differ; a hash precedes a name."""
    hashes = [known_values(each, "dataset_sha256") for each in (rows, other)]
    columns = [name for name in DISTINGUISHING if name != "dataset" or not all(hashes)]
    return [n for n in columns if known_values(rows, n) != known_values(other, n)]


def difference_text(rows: pd.DataFrame, other: pd.DataFrame, here: str, there: str) -> str:
    """Return the difference between two groups: values of the first column, names of the others."""
    first, *more = differing(rows, other)
    also = f"; {', '.join(more)} too" if more else ""
    return f"{first} {shortened(rows, first)} {here}, {shortened(other, first)} {there}{also}"


def title_of(rows: pd.DataFrame, beside: list[pd.DataFrame]) -> str:
    """Return the task, and the columns that distinguish the group from others of the task."""
    task = str(rows["task"].iloc[0])
    if not beside:
        return task
    columns = [differing(rows, other) for other in beside]
    common = [name for name in DISTINGUISHING if all(name in each for each in columns)]
    chosen = common[:1] or list(dict.fromkeys(name for each in columns for name in each))
    return ", ".join([task, *(f"{name} {shortened(rows, name)}" for name in chosen)])


def notes_of(
    rows: pd.DataFrame,
    failed: pd.DataFrame,
    arms: list[Arm],
    failed_arms: list[FailedArm],
    beside: list[pd.DataFrame],
) -> list[str]:
    """Return the notes on a group; `beside` are the other groups of the same task and metric."""
    notes = []
    for other in beside:
        count = other["arm_number"].nunique()
        notes.append(
            f"not comparable with {count:,} arm{'s' * (count > 1)} of the same task: "
            f"{difference_text(rows, other, 'here', 'there')}"
        )
    hidden = rows["arm_number"].nunique() - len(arms)
    if hidden:
        notes.append(f"only the best {len(arms):,} arms are shown; {hidden:,} are worse")
    if "single" in rows:
        notes += pooling_notes(rows, failed, arms, failed_arms)
    notes += [*changed_score_notes(arms, str(rows["metric"].iloc[0])), *tuning_notes(arms)]
    naives = [arm.label for arm in arms if arm.baseline == "naive"]
    if len(naives) > 1:
        notes.append(f"several naive arms; skill is relative to the best, {naives[0]}")
    if len(arms) > 1 and not any(arm.is_among_best for arm in arms):
        notes.append("the order of these arms is not tested: no two of them can be tested")
    grouped = [arm.label for arm in arms if (arm.rows["trained_together"] > 1).any()]
    if grouped:
        notes.append(f"multi-seed runs without training time: {listed(grouped)}")
    doubts: dict[str, list[str]] = {}
    for arm in arms:
        if arm.doubtful_times:
            doubts.setdefault(arm.doubtful_times, []).append(arm.label)
    notes += [f"unreliable times (?) of {listed(names)}: {why}" for why, names in doubts.items()]
    return notes


def pooling_notes(
    rows: pd.DataFrame, failed: pd.DataFrame, arms: list[Arm], failed_arms: list[FailedArm]
) -> list[str]:
    """Return notes on pooled arms: their number, their differences, missing runs and seeds."""
    numbers = [arm.rows["arm_number"].iloc[0] for arm in arms]
    gone = failed.loc[~failed["arm_number"].isin(rows["arm_number"]), "arm_number"].unique()
    found = dict(list(pd.concat([rows, failed]).groupby("arm_number", sort=False)))
    names = [*(arm.label for arm in arms), *(arm.label for arm in failed_arms)]
    texts = zip(names, [pooling_text(found[n]) for n in (*numbers, *gone)], strict=True)
    return [f"{label}: {text}" for label, text in texts if text]


def pooling_text(rows: pd.DataFrame) -> str:
    """Return what was pooled to an arm, of all its runs; empty for a single arm."""
    done = rows[rows["failure"] == ""]
    count, with_score = rows["single"].nunique(), done["single"].nunique()
    if count == 1:
        return ""
    varying = [name for name in ("model", *SETTINGS) if len(known_values(rows, name)) > 1]
    parts = [f"differ in {', '.join(varying) or 'settings that have no column'}"]
    sizes = done.groupby("replicate")["single"].nunique()
    parts += ["not every seed has a score of all of them"] if (sizes < with_score).any() else []
    parts += [f"{count - with_score} of them completed no run"] if with_score < count else []
    mean = ", the score of a seed is their mean" if with_score > 1 else ""
    return f"{count} arms are pooled{mean}; they {'; '.join(parts)}"


def changed_score_notes(arms: list[Arm], metric: str) -> list[str]:
    """Return a note on scores that another run of the same arm and seed does not repeat.

    Costs vary from run to run, and scores do under a budget of time.
    """
    if metric in COSTS:
        return []
    parts = []
    for arm in arms:
        if arm.match != "time":
            parts += changed_texts(arm.label, arm.rows)
    return changed_note(parts)


def changed_texts(label: str, all_rows: pd.DataFrame) -> list[str]:
    """Return the scores of an arm that another run of the same seed does not repeat."""
    is_changed = all_rows["changed_from"].notna()
    if not is_changed.any():
        return []
    rows = all_rows[is_changed]
    cells = rows.assign(latest=run_names(rows)).to_dict("records")
    return [changed_text(label, row) for row in cells]


def changed_text(label: str, row: Mapping[Hashable, Any]) -> str:
    """Return both scores of a seed with their runs, and with their epochs if they differ."""
    where = f"{label}, seed {row['seed']}" if isinstance(row["seed"], int) else label
    epochs = [row["changed_epochs"], row["epochs"]]
    more = [""] * 2
    if len({*map(cell_text, epochs)} - {""}) == 2:
        more = [f", {cell_text(each)} epochs" for each in epochs]
    before = f"{row['changed_from']:.8g} ({row['changed_run']}{more[0]})"
    return f"{where}: {before}, then {row['score']:.8g} ({row['latest']}{more[1]})"


def changed_note(parts: Sequence[str]) -> list[str]:
    """Return the note on changed scores; none without any."""
    if not parts:
        return []
    more = f"; and {len(parts) - MOST_CHANGED} more" if len(parts) > MOST_CHANGED else ""
    shown = "; ".join(parts[:MOST_CHANGED])
    return [f"the score changed at the same seed and settings: {shown}{more}"]


def tuning_notes(arms: list[Arm]) -> list[str]:
    """Return a note on different numbers of search trials."""
    nets = [arm for arm in arms if not arm.baseline]
    if len({arm.trials or 0 for arm in nets}) < 2:
        return []
    parts = [f"{arm.model}: {arm.trials or 'none'}" for arm in nets]
    return [f"unequal tuning, trials of a search: {listed(parts, 6)}"]
