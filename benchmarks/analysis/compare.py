"""From tables to a comparison: groups of comparable arms, their verdicts, and what was left out."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from pathlib import Path

import pandas as pd

from benchmarks.analysis import pairwise as verdicts
from benchmarks.analysis.arms import budget_text, make_arms, with_doubts, with_skill
from benchmarks.analysis.comparison import Arm, Comparison, Group
from benchmarks.analysis.formatting import listed
from benchmarks.analysis.item_tests import ItemTests
from benchmarks.analysis.kernel_notes import kernel_notes
from benchmarks.analysis.metrics import unit_of
from benchmarks.analysis.notes import notes_of, percent_notes, title_of, value_of
from benchmarks.analysis.pairwise import Question
from benchmarks.analysis.ranking import marked
from benchmarks.analysis.selection import EVERYTHING, Options, rows_that_count
from benchmarks.errors import UserError, nearest
from benchmarks.results.reader import read_tables

MOST_BY_ITEMS = 40
"""Pairs of a group whose items are looked at: as many as are shown."""


def compare(tables: Sequence[Path], options: Options = EVERYTHING) -> Comparison:
    """Compare the arms of one or more tables.

    Args:
        tables: CSV files or results folders.
        options: see there.

    Raises:
        UserError: a table cannot be used, or an option names nothing that is there.
    """
    read = read_tables(tables, options.by)
    frame, left_out = rows_that_count(read.frame, options)
    groups = make_groups(frame, options)
    if options.baseline is not None and groups and all(group.asked is None for group in groups):
        found = sorted({arm.label for group in groups for arm in group.arms})
        raise UserError(
            f"--baseline {options.baseline}: there is no such arm"
            f"{nearest(options.baseline, found)}; there are {listed(found, 10)}"
        )
    return Comparison(read.sources, groups, left_out, read.notes)


def make_groups(frame: pd.DataFrame, options: Options) -> list[Group]:
    """Make the groups, by task; of one task and metric the largest first."""
    parts = [rows for _, rows in frame.groupby("group", sort=False)]
    parts.sort(key=lambda rows: (*question_of(rows), -len(rows)))
    questions = [question_of(rows) for rows in parts]
    groups = []
    for place, rows in enumerate(parts):
        alike = (n for n, question in enumerate(questions) if question == questions[place])
        groups.append(make_group(rows, [parts[n] for n in alike if n != place], options))
    return groups


def question_of(rows: pd.DataFrame) -> tuple[str, str]:
    """Task and metric of a group's rows."""
    return str(rows["task"].iloc[0]), str(rows["metric"].iloc[0])


def make_group(rows: pd.DataFrame, beside: list[pd.DataFrame], options: Options) -> Group:
    """Compare the arms of comparable rows.

    Args:
        rows: that count, sorted by arm and seed.
        beside: rows of the same task and metric that are not comparable with them.
        options: of the comparison.
    """
    task, metric = question_of(rows)
    higher = bool(rows["higher_is_better"].iloc[0])
    is_own = bool((rows["own_metric"] == metric).all()) or options.metric == "test_score"
    question = Question(metric, higher, is_own)
    items = ItemTests() if options.items and is_own else None
    arms = with_doubts(make_arms(rows, options.by, higher))
    naive = next((arm for arm in arms if arm.baseline == "naive"), None)
    if not is_own:
        arms = [dataclasses.replace(arm, validation=None) for arm in arms]
    elif naive is not None:
        arms = with_skill(arms, naive, metric, higher)
    worse = int(rows["arm_number"].nunique()) - len(arms)
    pairs = verdicts.all_pairs(arms, question, items, worse)
    family = verdicts.choice_of(arms, worse)
    asked = asked_for(arms, options.baseline)
    shown = pairs if asked is None else verdicts.pairs_with(arms, asked, question, items)
    arms, untested = marked(arms, [*pairs, *shown], question, items)
    notes = [*notes_of(rows, arms, beside), *kernel_notes(arms), *untested]
    notes += percent_notes(arms, metric) if is_own else []
    if asked is None and options.baseline is not None:
        notes.append(f"has no arm {options.baseline}: all pairs are shown")
    group = Group(
        task=task,
        title=title_of(rows, beside),
        metric=metric,
        unit=unit_of(metric),
        higher_is_better=higher,
        dataset=value_of(rows, "dataset"),
        split=value_of(rows, "split"),
        budget=budget_text(arms),
        arms=arms,
        pairs=shown,
        naive=naive.label if naive is not None else None,
        confidence_set=[] if items is None else items.confidence_set(arms),
        notes=notes,
        asked=None if asked is None else asked.label,
        family=family if asked is None else 0,
    )
    return group if items is None else with_items(group, items)


def with_items(group: Group, items: ItemTests) -> Group:
    """Add what the items say to the pairs that will be shown."""
    shown = {id(pair) for pair in group.pairs_to_show[:MOST_BY_ITEMS]}
    pairs = [
        verdicts.with_items(pair, group, items) if id(pair) in shown else pair
        for pair in group.pairs
    ]
    return dataclasses.replace(group, pairs=pairs)


def asked_for(arms: list[Arm], name: str | None) -> Arm | None:
    """Find the arm of a label or of a model; "baseline" is the best one of the group.

    Raises:
        UserError: several arms are of the model.
    """
    if name is None:
        return None
    found = [arm for arm in arms if arm.label == name] or [arm for arm in arms if arm.model == name]
    if len(found) > 1:
        labels = ", ".join(repr(arm.label) for arm in found[:5])
        raise UserError(f"--baseline {name}: is the model of several arms; say which: {labels}")
    if not found and name == "baseline":
        return verdicts.best_baseline(arms)
    return found[0] if found else None
