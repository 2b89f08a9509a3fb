"""What changed from one table to another, arm by arm."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from benchmarks.analysis import statistics
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
from benchmarks.analysis.diff_pairing import Both, Side, both_sides, numbered
from benchmarks.analysis.failing import failed_rows
from benchmarks.analysis.formatting import listed
from benchmarks.analysis.kernel_notes import change_notes
from benchmarks.analysis.metrics import EXACT, is_time
from benchmarks.analysis.notes import differing, shortened
from benchmarks.analysis.seed_tests import Scores, difference, equal_to_rounding
from benchmarks.analysis.selection import EVERYTHING, Options, rows_that_count
from benchmarks.analysis.statistics import LEVEL
from benchmarks.errors import UserError
from benchmarks.results.reader import read_tables


def changes(before: Path, after: Path, options: Options = EVERYTHING) -> Changes:
    """Compare each arm of a table with itself in another.

    Args:
        before, after: A and B, CSV files or results folders.
        options: `baseline` and `items` mean nothing here.

    Raises:
        UserError: a table cannot be used, or an option names nothing that is there.
    """
    read = [read_tables([path], options.by) for path in (before, after)]
    if Path(read[0].sources[0]).resolve() == Path(read[1].sources[0]).resolve():
        raise UserError(f"{after}: a table is given twice")
    sides, left_out = [], []
    for number, tables in enumerate(read):
        rows, out = rows_that_count(tables.frame, options)
        sides.append(rows.assign(side=number))
        left_out.append(out)
    filled = [rows for rows in sides if len(rows)] or sides[:1]
    frame = numbered(pd.concat(filled, ignore_index=True), options)
    texts = GroupTexts(frame)
    arms = list(both_sides(frame, options, failed_rows(read[1].frame)))
    found = [change_of(each, texts, len(arms)) for each in arms]
    notes = [note for tables in read for note in tables.notes]
    return Changes(
        sources=(read[0].sources[0], read[1].sources[0]),
        changes=with_holm(found),
        left_out=(left_out[0], left_out[1]),
        notes=[*notes, *dropped_notes(found), *change_notes(arms)],
    )


def dropped_notes(found: Sequence[Change]) -> list[str]:
    """Say of which arms seeds do not count, as the other table lacks them."""
    arms: dict[tuple[int, int], list[str]] = {}
    for change in found:
        if any(change.dropped):
            arms.setdefault(change.dropped, []).append(change.label)
    return [
        f"only seeds in both tables are paired and shown; dropped are {a} of A and {b} of B: "
        f"{listed(labels)}"
        for (a, b), labels in arms.items()
    ]


class GroupTexts:
    """Says in what two groups of rows differ; asked for many arms, so it remembers."""

    def __init__(self, frame: pd.DataFrame) -> None:
        self._rows = dict(list(frame.groupby("group")))
        self._known: dict[tuple[int, int], str] = {}

    def between(self, a: int, b: int) -> str:
        """In words; empty if they are the same."""
        if a == b:
            return ""
        if (a, b) not in self._known:
            before, after = self._rows[a], self._rows[b]
            first, *more = differing(before, after)
            also = f"; {', '.join(more)} too" if more else ""
            self._known[a, b] = (
                f"{first} {shortened(before, first)} in A, {shortened(after, first)} in B{also}"
            )
        return self._known[a, b]


def why_not(a: Side, b: Side, metric: str, texts: GroupTexts) -> str:
    """Why an arm's two sides are not comparable, or nothing if they are."""
    reason = texts.between(a.group, b.group)
    versions = [a.model_version, b.model_version]
    if not reason and versions[0] != versions[1] and not np.isnan(versions).any():
        reason = f"model version {versions[0]:.0f} in A, {versions[1]:.0f} in B"
    if reason or not is_time(metric):
        return reason
    if a.doubt or b.doubt:
        return f"times in doubt: {a.doubt or b.doubt}"
    return f"times of {a.machine} in A, of {b.machine} in B" if a.machine != b.machine else ""


def change_of(both: Both, texts: GroupTexts, family: int) -> Change:
    """Say what became of an arm, before it is known how many others there are."""
    a, b = both.a, both.b
    change = Change(
        task=both.task,
        metric=both.metric,
        higher_is_better=both.higher_is_better,
        label=both.label,
        verdict=ONLY_IN_B if a is None else ONLY_IN_A,
        before=None if a is None else a.interval,
        after=None if b is None else b.interval,
        is_deterministic=all(side.scores.is_deterministic for side in (a, b) if side is not None),
    )
    if both.has_failed:
        return dataclasses.replace(change, verdict=FAILED, reason="no run of it ended with a score")
    if a is None or b is None:
        return change
    reason = why_not(a, b, change.metric, texts)
    if reason:
        return dataclasses.replace(change, verdict=NOT_COMPARABLE, reason=reason)
    change = judged_alone(change, a.scores, b.scores, family)
    if both.is_guess:
        guess = "the same settings, though the column arm differs"
        change = dataclasses.replace(change, reason=f"{change.reason}; {guess}")
    return change


def judged_alone(change: Change, a: Scores, b: Scores, family: int) -> Change:
    """Test one arm's change; the verdict is open, NOT_SHOWN, where a p-value decides."""
    if not np.array_equal(a.seeds, b.seeds, equal_nan=True):
        _, mine, others = np.intersect1d(a.seeds, b.seeds, return_indices=True)
        if len(mine) >= 2:
            dropped = (a.n - len(mine), b.n - len(mine))
            a, b = a.at(mine), b.at(others)
            before, after = (statistics.interval(each.values) for each in (a, b))
            change = dataclasses.replace(change, before=before, after=after, dropped=dropped)
    same_seeds = np.array_equal(a.seeds, b.seeds, equal_nan=True)
    is_equal = same_seeds and np.array_equal(a.values, b.values)
    can_be_rounded = same_seeds and change.metric not in EXACT
    if is_equal or (can_be_rounded and equal_to_rounding(a.values, b.values)):
        common = " in common" if any(change.dropped) else ""
        to = "" if is_equal else " to rounding"
        reason = f"the same{to} at all {a.n} seeds{common}" if a.n > 1 else f"the same score{to}"
        return dataclasses.replace(change, verdict=SAME, reason=reason)
    if change.metric in EXACT or (a.is_deterministic and b.is_deterministic):
        between = float(b.values.mean() - a.values.mean())
        reason = "no chance has a part in it"
        return dataclasses.replace(change, verdict=direction_of(between, change), reason=reason)
    found, reason = difference(b, a, family)
    if found is None:
        return dataclasses.replace(change, verdict=NOT_COMPARABLE, reason=reason)
    return dataclasses.replace(change, verdict=NOT_SHOWN, seeds=found, reason=reason)


def direction_of(between: float, change: Change) -> str:
    """Which way a change B - A that is there goes."""
    return IMPROVED if (between > 0) == change.higher_is_better else WORSE


ORDER = (WORSE, FAILED, IMPROVED, NOT_SHOWN, SAME, NOT_COMPARABLE, ONLY_IN_A, ONLY_IN_B)


def with_holm(found: Sequence[Change]) -> list[Change]:
    """Decide what rests on p-values, with Holm's correction; what changed comes first."""
    tested = [each.seeds.p for each in found if each.seeds is not None and each.seeds.p is not None]
    adjusted = iter(statistics.holm(tested))
    decided = []
    for each in found:
        if each.seeds is not None and each.seeds.p is not None:
            each = decide(each, next(adjusted), LEVEL / len(tested))
        decided.append(each)
    return sorted(decided, key=lambda e: (e.task, e.metric, ORDER.index(e.verdict), e.label))


def decide(change: Change, p_adjusted: float, level: float) -> Change:
    """Give an arm's verdict."""
    seeds = change.seeds
    assert seeds is not None
    change = dataclasses.replace(change, p_adjusted=p_adjusted)
    if p_adjusted < LEVEL and seeds.difference != 0:
        return dataclasses.replace(change, verdict=direction_of(seeds.difference, change))
    if seeds.deviation is None:
        return change
    detectable = statistics.minimum_detectable(seeds.deviation, seeds.n, level)
    return dataclasses.replace(change, detectable=detectable)
