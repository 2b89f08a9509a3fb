"""Comparison of tables: groups of comparable arms with verdicts, and the excluded rows."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Sequence
from pathlib import Path

import pandas as pd

from benchmarks.analysis.across_tasks import across_tasks
from benchmarks.analysis.arm_differences import with_differences
from benchmarks.analysis.arms import (
    budget_text,
    limits_text,
    make_arms,
    recipe_text,
    with_skill,
    with_timing_doubts,
)
from benchmarks.analysis.comparison import NOT_COMPARABLE, Arm, Comparison, Group, best_baseline
from benchmarks.analysis.ensemble_notes import ensemble_notes, track_notes
from benchmarks.analysis.formatting import listed, significant
from benchmarks.analysis.item_tests import ItemTests
from benchmarks.analysis.kernel_notes import kernel_notes
from benchmarks.analysis.labels import labels
from benchmarks.analysis.metrics import COSTS, Metric
from benchmarks.analysis.notes import most_frequent, notes_of, title_of
from benchmarks.analysis.pairwise import (
    FEWEST_DRAWS,
    Rules,
    all_pairs,
    family_of,
    pairs_with,
    with_population_verdicts,
)
from benchmarks.analysis.pooling import pooled_periods
from benchmarks.analysis.ranking import with_marks
from benchmarks.analysis.run_notes import load_notes, scale_notes, source_notes, undertrained_notes
from benchmarks.analysis.seed_notes import check_planned, seed_notes
from benchmarks.analysis.selection import DEFAULTS, Options, Selection, select_rows
from benchmarks.errors import UserError, nearest
from benchmarks.results.reader import read_tables
from benchmarks.results.row import FACTS

MOST_BY_ITEMS = 40  # pairs of a group that are also tested over items: as many as are shown


def compare(tables: Sequence[Path], options: Options = DEFAULTS) -> Comparison:
    """Compare the arms of one or more tables.

    Raises:
        UserError: a table or an option is invalid.
    """
    read = read_tables(tables, options.by)
    selected = select_rows(read.frame, options)
    groups = make_groups(selected, options)
    if options.baseline is not None and all(group.asked is None for group in groups):
        found = sorted({arm.label for group in groups for arm in group.arms})
        failed = {arm.label for group in groups for arm in group.failed_arms}
        if options.baseline in failed:
            raise UserError(f"--baseline {options.baseline}: no run of it was completed")
        raise UserError(
            f"--baseline {options.baseline}: there is no such arm"
            f"{nearest(options.baseline, found)}; there are {listed(found, 10) or 'none'} with a "
            f"completed run"
        )
    notes = [*read.notes, *unfinished_notes(selected, options)]
    across = across_tasks(groups, options.by)
    periods = pooled_periods(groups, options.by) if options.items else []
    return Comparison(read.sources, groups, selected.excluded, notes, across, periods)


def make_groups(selected: Selection, options: Options) -> list[Group]:
    """Return the groups by task and metric, the largest first."""
    parts = [rows for _, rows in selected.rows.groupby("group", sort=False)]
    parts.sort(key=lambda rows: (*task_and_metric(rows), -len(rows)))
    same: dict[tuple[str, str], list[pd.DataFrame]] = {}
    for rows in parts:
        same.setdefault(task_and_metric(rows), []).append(rows)
    return [
        make_group(
            rows,
            selected.failed[selected.failed["group"] == rows["group"].iloc[0]],
            [other for other in peers if other is not rows],
            options,
        )
        for peers in same.values()
        for rows in peers
    ]


def task_and_metric(rows: pd.DataFrame) -> tuple[str, str]:
    """Return the task and the metric of a group's rows."""
    return str(rows["task"].iloc[0]), str(rows["metric"].iloc[0])


def unfinished_notes(selected: Selection, options: Options) -> list[str]:
    """Return notes on comparable rows of which no run was completed; they are no group."""
    is_grouped = selected.failed["group"].isin(selected.rows["group"])
    notes = []
    for _, rows in selected.failed[~is_grouped].groupby("group", sort=False):
        firsts = rows.drop_duplicates("arm_number")
        counts = rows.groupby("arm_number", sort=False).size()
        names = zip(labels(firsts, options.by), counts, strict=True)
        arms = listed([f"{label} 0 of {count:,}" for label, count in names], 10)
        task, metric = task_and_metric(rows)
        notes.append(f"{task}: no run was completed{f' for {metric}' * bool(metric)}: {arms}")
    return notes


def make_group(
    rows: pd.DataFrame, failed: pd.DataFrame, beside: list[pd.DataFrame], options: Options
) -> Group:
    """Compare the arms of comparable rows; `beside` are the other groups of task and metric."""
    task, name = task_and_metric(rows)
    is_own = bool((rows["own_metric"] == name).all()) or options.metric == "test_score"
    metric = Metric(name, bool(rows["higher_is_better"].iloc[0]), is_own)
    items = ItemTests() if options.items and is_own else None
    arms, failed_arms = make_arms(rows, failed, options.by, metric.higher_is_better)
    arms = with_timing_doubts(arms)
    naive = next((arm for arm in arms if arm.baseline == "naive"), None)
    if not is_own:
        arms = [dataclasses.replace(arm, validation=None) for arm in arms]
    elif naive is not None:
        arms = with_skill(arms, naive, name, metric.higher_is_better)
    seeds = {arm.label: arm.score.n if options.by else arm.attempted for arm in arms}
    check_planned(seeds | {arm.label: arm.attempted for arm in failed_arms}, options.planned)
    best = arms[0].score.mean
    margin = None if options.margin is None else options.margin.in_units(best, rows)
    rules = Rules(metric, items, margin, options.planned)
    family = family_of(arms, int(rows["arm_number"].nunique()) - len(arms))
    pairs = all_pairs(arms, rules, family, failed_arms)
    reference = requested_arm(arms, options.baseline)
    shown = pairs if reference is None else pairs_with(arms, reference, rules, failed_arms)
    arms = with_marks(arms, pairs, shown, rules, family)
    notes = [*notes_of(rows, failed, arms, failed_arms, beside), *kernel_notes(arms)]
    notes += seed_notes(arms, shown, options.planned)
    notes += [] if margin is None else [f"margin: {significant(margin, 2)}"]
    notes += scale_notes(arms, name) if is_own else []
    notes += [*track_notes(arms), *ensemble_notes(arms)]
    notes += source_notes(arms)
    notes += [*undertrained_notes(arms), *load_notes(arms)] if name not in COSTS else []
    if reference is None and options.baseline is not None:
        notes.append(f"there is no arm {options.baseline}: all pairs are shown")
    group = Group(
        task=task,
        title=title_of(rows, beside),
        metric=name,
        unit=unit_of(rows, name, is_own),
        higher_is_better=metric.higher_is_better,
        dataset=most_frequent(rows, "dataset"),
        split=most_frequent(rows, "split"),
        budget=budget_text(arms) + recipe_text(arms) + limits_text(arms),
        arms=arms,
        pairs=shown,
        naive=naive.label if naive is not None else None,
        confidence_set=[] if items is None else items.confidence_set(arms),
        notes=notes,
        asked=None if reference is None else reference.label,
        family=family if reference is None else 0,
        margin=margin,
        planned=options.planned,
        failed_arms=failed_arms,
        task_settings=task_settings(rows),
    )
    group = with_differences(group, rows, options.by)
    return group if items is None else add_item_tests(group, items, rules)


def task_settings(rows: pd.DataFrame) -> str:
    """Return the overrides of the task that all rows have; the data has its own line."""
    known = [str(text).split() for text in rows["overrides"].unique()]
    words = [word.lstrip("+") for word in known[0] if all(word in each for each in known)]
    return " ".join(w for w in words if re.match(r"task\.(?!data=|test=)", w))


def unit_of(rows: pd.DataFrame, name: str, is_own: bool) -> str:
    """Return the unit of scores: as the runs recorded it, else that of the column."""
    if is_own and "metric_unit" in rows:
        recorded = rows["metric_unit"].dropna().astype("str")
        if (recorded != "").any():
            return str(recorded[recorded != ""].iloc[0])
    return FACTS[name].unit if name in FACTS else ""


def add_item_tests(group: Group, items: ItemTests, rules: Rules) -> Group:
    """Add the tests over items to the pairs that are shown, and notes on unused predictions."""
    shown = [id(pair) for pair in group.pairs_to_show[:MOST_BY_ITEMS] if pair.items is None]
    pairs = []
    for pair in group.pairs:
        if id(pair) in shown and pair.verdict != NOT_COMPARABLE and not pair.has_failed_arm:
            a, b = group.arm(pair.a), group.arm(pair.b)
            found = items.compare(a, b, FEWEST_DRAWS)
            if found is not None:
                pair = dataclasses.replace(pair, items=found[0], items_of=found[1])
            pair = dataclasses.replace(pair, population=items.population(a, b))
        pairs.append(pair)
    pairs = with_population_verdicts(pairs, rules, group.family)
    return dataclasses.replace(group, pairs=pairs, notes=[*group.notes, *items.notes()])


def requested_arm(arms: list[Arm], name: str | None) -> Arm | None:
    """Return the arm with this label or model; "baseline" is the best baseline of the group."""
    if name is None:
        return None
    found = [arm for arm in arms if arm.label == name] or [arm for arm in arms if arm.model == name]
    if len(found) > 1:
        labels = ", ".join(repr(arm.label) for arm in found[:5])
        raise UserError(f"--baseline {name}: several arms have this model; choose one of {labels}")
    if not found and name == "baseline":
        return best_baseline(arms)
    return found[0] if found else None
