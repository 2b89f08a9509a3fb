"""Changes between two tables, arm by arm."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from functools import cache
from pathlib import Path

import numpy as np
import pandas as pd

from benchmarks.analysis.comparison import (
    FAILED,
    IMPROVED,
    NOT_COMPARABLE,
    NOT_SHOWN,
    ONLY_IN_A,
    ONLY_IN_B,
    SAME,
    WORSE,
    Change,
    Changes,
)
from benchmarks.analysis.diff_pairing import ArmPair, Side, failed_rows, number_arms, paired_arms
from benchmarks.analysis.formatting import listed
from benchmarks.analysis.kernel_notes import change_notes
from benchmarks.analysis.metrics import EXACT, TIMES
from benchmarks.analysis.notes import difference_text
from benchmarks.analysis.seed_tests import Scores, difference, equal_to_rounding
from benchmarks.analysis.selection import DEFAULTS, Options, select_rows
from benchmarks.analysis.statistics.common import LEVEL, Paired
from benchmarks.analysis.statistics.power import holm, minimum_detectable
from benchmarks.analysis.statistics.seeds import interval
from benchmarks.errors import UserError
from benchmarks.results.reader import read_tables

GroupDifference = Callable[[int, int], str]

ORDER = (WORSE, FAILED, IMPROVED, NOT_SHOWN, SAME, NOT_COMPARABLE, ONLY_IN_A, ONLY_IN_B)


def changes(before: Path, after: Path, options: Options = DEFAULTS) -> Changes:
    """Compare each arm of a table with the same arm of another."""
    read = [read_tables([path], options.by) for path in (before, after)]
    if Path(read[0].sources[0]).resolve() == Path(read[1].sources[0]).resolve():
        raise UserError(f"{after}: duplicate table")
    selected = [select_rows(tables.frame, options) for tables in read]
    sides = [rows.assign(side=number) for number, (rows, _) in enumerate(selected)]
    filled = [rows for rows in sides if len(rows)] or sides[:1]
    frame = number_arms(pd.concat(filled, ignore_index=True), options)
    groups = dict(list(frame.groupby("group")))

    @cache
    def group_difference(a: int, b: int) -> str:
        return difference_text(groups[a], groups[b], "in A", "in B") if a != b else ""

    arms = list(paired_arms(frame, options, failed_rows(read[1].frame)))
    found = [change_of(pair, group_difference, len(arms)) for pair in arms]
    notes = [note for tables in read for note in tables.notes]
    return Changes(
        sources=(read[0].sources[0], read[1].sources[0]),
        changes=with_holm(found),
        left_out=(selected[0][1], selected[1][1]),
        notes=[*notes, *dropped_notes(found), *change_notes(arms)],
    )


def dropped_notes(found: Sequence[Change]) -> list[str]:
    """Return notes on arms with seeds that only one table contains."""
    arms: dict[tuple[int, int], list[str]] = {}
    for change in found:
        if any(change.dropped):
            arms.setdefault(change.dropped, []).append(change.label)
    return [
        f"only seeds in both tables are paired and shown; dropped are {a} of A and {b} of B: "
        f"{listed(labels)}"
        for (a, b), labels in arms.items()
    ]


def incomparable_reason(a: Side, b: Side, metric: str, group_difference: GroupDifference) -> str:
    """Return why the two sides of an arm are not comparable; empty if they are."""
    reason = group_difference(a.group, b.group)
    versions = [a.model_version, b.model_version]
    if not reason and versions[0] != versions[1] and not np.isnan(versions).any():
        reason = f"model version {versions[0]:.0f} in A, {versions[1]:.0f} in B"
    if reason or metric not in TIMES:
        return reason
    if a.doubt or b.doubt:
        return f"unreliable times: {a.doubt or b.doubt}"
    return f"times of {a.machine} in A, of {b.machine} in B" if a.machine != b.machine else ""


def change_of(pair: ArmPair, group_difference: GroupDifference, family: int) -> Change:
    """Return the change of an arm, before the correction for the number of arms."""
    a, b = pair.a, pair.b
    change = Change(
        task=pair.task,
        metric=pair.metric,
        higher_is_better=pair.higher_is_better,
        label=pair.label,
        verdict=ONLY_IN_B if a is None else ONLY_IN_A,
        before=None if a is None else interval(a.scores.values),
        after=None if b is None else interval(b.scores.values),
        is_deterministic=all(side.scores.is_deterministic for side in (a, b) if side is not None),
    )
    if pair.has_failed:
        return dataclasses.replace(change, verdict=FAILED, reason="no run ended with a score")
    if a is None or b is None:
        return change
    reason = incomparable_reason(a, b, change.metric, group_difference)
    if reason:
        return dataclasses.replace(change, verdict=NOT_COMPARABLE, reason=reason)
    change = tested(change, a.scores, b.scores, family)
    if pair.by_settings:
        note = "the same settings, but the column arm differs"
        change = dataclasses.replace(change, reason=f"{change.reason}; {note}")
    return change


def tested(change: Change, a: Scores, b: Scores, family: int) -> Change:
    """Test the change of an arm; the verdict is preliminary where a p-value decides."""
    if not np.array_equal(a.seeds, b.seeds, equal_nan=True):
        _, in_a, in_b = np.intersect1d(a.seeds, b.seeds, return_indices=True)
        if len(in_a) >= 2:
            dropped = (a.n - len(in_a), b.n - len(in_a))
            a, b = a.at(in_a), b.at(in_b)
            before, after = (interval(each.values) for each in (a, b))
            change = dataclasses.replace(change, before=before, after=after, dropped=dropped)
    same_seeds = np.array_equal(a.seeds, b.seeds, equal_nan=True)
    is_equal = same_seeds and np.array_equal(a.values, b.values)
    can_be_rounded = same_seeds and change.metric not in EXACT
    if is_equal or (can_be_rounded and equal_to_rounding(a.values, b.values)):
        common = " in common" if any(change.dropped) else ""
        to = "" if is_equal else " up to rounding"
        reason = f"the same{to} at all {a.n} seeds{common}" if a.n > 1 else f"the same score{to}"
        return dataclasses.replace(change, verdict=SAME, reason=reason)
    if change.metric in EXACT or (a.is_deterministic and b.is_deterministic):
        verdict = direction_of(float(b.values.mean() - a.values.mean()), change)
        return dataclasses.replace(change, verdict=verdict, reason="exact, independent of the seed")
    found, reason = difference(b, a, family)
    verdict = NOT_COMPARABLE if found is None else NOT_SHOWN
    return dataclasses.replace(change, verdict=verdict, seeds=found, reason=reason)


def direction_of(between: float, change: Change) -> str:
    """Return the verdict of a shown change B - A."""
    return IMPROVED if (between > 0) == change.higher_is_better else WORSE


def with_holm(found: Sequence[Change]) -> list[Change]:
    """Return the changes with final verdicts, in the order of verdicts."""
    tested = [each.seeds.p for each in found if each.seeds is not None and each.seeds.p is not None]
    adjusted, level = iter(holm(tested)), LEVEL / max(1, len(tested))
    decided = [
        decide(each, each.seeds, next(adjusted), level)
        if each.seeds is not None and each.seeds.p is not None
        else each
        for each in found
    ]
    return sorted(decided, key=lambda e: (e.task, e.metric, ORDER.index(e.verdict), e.label))


def decide(change: Change, seeds: Paired, p_adjusted: float, level: float) -> Change:
    """Return a change with its verdict."""
    change = dataclasses.replace(change, p_adjusted=p_adjusted)
    if p_adjusted < LEVEL and seeds.difference != 0:
        return dataclasses.replace(change, verdict=direction_of(seeds.difference, change))
    if seeds.deviation is None:
        return change
    detectable = minimum_detectable(seeds.deviation, seeds.n, level)
    return dataclasses.replace(change, detectable=detectable)
