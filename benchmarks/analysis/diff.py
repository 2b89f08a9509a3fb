"""Changes between two tables, arm by arm."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import cache
from pathlib import Path

import numpy as np
import pandas as pd

from benchmarks.analysis.arm_differences import differences, phrase
from benchmarks.analysis.comparison import (
    BETTER,
    EQUIVALENT,
    FAILED,
    FAILS_LESS,
    FAILS_MORE,
    IMPROVED,
    NOT_COMPARABLE,
    NOT_SHOWN,
    ONLY_IN_A,
    ONLY_IN_B,
    SAME,
    UNDECIDED,
    WORSE,
    Change,
    Changes,
)
from benchmarks.analysis.completion import completion_of, with_correction, without_scores
from benchmarks.analysis.diff_pairing import ArmPair, Side, number_arms, paired_arms
from benchmarks.analysis.kernel_notes import change_notes
from benchmarks.analysis.metrics import COSTS, EXACT, TIMES, Metric
from benchmarks.analysis.notes import changed_note, changed_texts, difference_text
from benchmarks.analysis.pairwise import Rules, corrections_of, judged
from benchmarks.analysis.run_notes import side_notes
from benchmarks.analysis.seed_notes import check_planned, planned_note
from benchmarks.analysis.seed_tests import Scores, common_places, difference, equal_to_rounding
from benchmarks.analysis.selection import DEFAULTS, Options, scored_rows, select_rows
from benchmarks.analysis.statistics.seeds import interval
from benchmarks.errors import UserError
from benchmarks.results.reader import read_tables

GroupDifference = Callable[[int, int], str]

ORDER = (
    *(WORSE, FAILED, FAILS_MORE, IMPROVED, FAILS_LESS, NOT_SHOWN, UNDECIDED, EQUIVALENT, SAME),
    *(NOT_COMPARABLE, ONLY_IN_A, ONLY_IN_B),
)


def changes(before: Path, after: Path, options: Options = DEFAULTS) -> Changes:
    """Compare each arm of a table with the same arm of another."""
    read = [read_tables([path], options.by) for path in (before, after)]
    if Path(read[0].sources[0]).resolve() == Path(read[1].sources[0]).resolve():
        raise UserError(f"{after}: duplicate table")
    both = pd.concat([tables.frame for tables in read], ignore_index=True)
    scored_rows(both, options)  # checks that direction and scale are the same in both
    selected = [select_rows(tables.frame, options) for tables in read]
    sides = [
        rows.assign(side=number)
        for number, side in enumerate(selected)
        for rows in (side.rows, side.failed)
    ]
    filled = [rows for rows in sides if len(rows)] or sides[:1]
    frame = number_arms(pd.concat(filled, ignore_index=True), options)
    is_failed = frame["failure"] != ""
    groups = dict(list(frame[~is_failed].groupby("group")))

    @cache
    def group_difference(a: int, b: int) -> str:
        return difference_text(groups[a], groups[b], "in A", "in B") if a != b else ""

    arms = list(paired_arms(frame[~is_failed], options, frame[is_failed]))
    found = [change_of(pair, group_difference) for pair in arms]
    rules = [rules_of(change, frame, options) for change in found]
    notes = [note for tables in read for note in tables.notes]
    notes += planned_notes(found, options)
    for name, side in zip("AB", selected, strict=True):
        if options.metric not in COSTS:
            notes += changed_note(changed_texts(f"in {name}", side.rows))
    return Changes(
        sources=(read[0].sources[0], read[1].sources[0]),
        changes=corrected(found, rules),
        left_out=(selected[0].excluded, selected[1].excluded),
        notes=[*notes, *change_notes(arms), *side_notes(arms)],
    )


def planned_notes(found: Sequence[Change], options: Options) -> list[str]:
    """Return the note on planned seeds, or raise UserError if an arm has more than planned."""
    counts = {}
    for change in found:
        sides = [side.n for side in (change.before, change.after) if side is not None]
        runs = zip(change.completed, change.failures, strict=True)
        attempted = sides if options.by else [done + sum(lost.values()) for done, lost in runs]
        if not change.is_deterministic:
            check_planned({change.label: max(attempted, default=0)}, options.planned)
        if change.seeds is not None and change.seeds.freedom is not None:
            counts[change.label] = min(sides)
    return [planned_note(counts, options.planned)] if counts else []


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


def change_of(pair: ArmPair, group_difference: GroupDifference) -> Change:
    """Return the change of an arm, before the correction for the number of arms."""
    a, b = pair.a, pair.b
    sides = [side for side in (a, b) if side is not None]
    change = Change(
        task=pair.task,
        metric=pair.metric,
        higher_is_better=pair.higher_is_better,
        label=pair.label,
        verdict=ONLY_IN_B if a is None else ONLY_IN_A,
        before=None if a is None else interval(a.scores.values),
        after=None if b is None else interval(b.scores.values),
        is_deterministic=bool(sides) and all(side.scores.is_deterministic for side in sides),
        completed=(0 if a is None else a.completed, 0 if b is None else b.completed),
        failures=pair.failures,
    )
    if b is None and pair.failures[1]:
        is_new = a is not None or not pair.failures[0]
        reason = "no run ended with a score" + " in A either" * (not is_new)
        return replace(change, verdict=FAILED if is_new else NOT_COMPARABLE, reason=reason)
    if a is None and pair.failures[0]:
        return after_failure(change, b, pair.failures)
    if a is None or b is None:
        return change
    reason = incomparable_reason(a, b, change.metric, group_difference)
    if reason:
        return replace(change, verdict=NOT_COMPARABLE, reason=reason)
    differ = phrase(differences([a.conditions, b.conditions]), "A and B")
    scores = [
        replace(side.scores, failed=sum(counts.values()))
        for side, counts in zip((a, b), pair.failures, strict=True)
    ]
    change = tested(replace(change, differ=differ), *scores)
    if pair.by_settings:
        note = "the same settings, but the column arm differs"
        change = replace(change, reason=f"{change.reason}; {note}")
    return change


def after_failure(
    change: Change, b: Side | None, failures: tuple[dict[str, int], dict[str, int]]
) -> Change:
    """Return the change of an arm of which no run was completed in A."""
    reason = "no run in A ended with a score"
    if b is None:
        return replace(change, verdict=ONLY_IN_A, reason=reason)
    failed = [sum(counts.values()) for counts in failures]
    scores = replace(b.scores, failed=failed[1])
    completion = without_scores(scores, failed[0], change.higher_is_better)
    return replace(change, verdict=NOT_COMPARABLE, reason=reason, completion=completion)


def tested(change: Change, a: Scores, b: Scores) -> Change:
    """Test the change of an arm; the verdict is preliminary where a p-value decides."""
    if change.metric not in EXACT:
        completion = completion_of(b, a, change.higher_is_better)
        change = replace(change, completion=completion)
    in_a, in_b = common_places(a, b)
    is_deterministic = a.is_deterministic and b.is_deterministic
    x, y = (a.values, b.values) if is_deterministic else (a.values[in_a], b.values[in_b])
    same_seeds = is_deterministic or len(x) == a.n == b.n
    # Else both sides have other seeds, whose scores decide too.
    is_subset = len(x) == min(a.n, b.n) and len(x) > 1
    is_equal = np.array_equal(x, y)
    can_be_rounded = change.metric not in EXACT and equal_to_rounding(x, y)
    if (is_equal or can_be_rounded) and (same_seeds or is_subset):
        alone = max(a.n, b.n) - len(x)
        common = "" if same_seeds else f" in common; {alone} more are in one table only"
        to = "" if is_equal else " up to rounding"
        reason = f"the same{to} at all {len(x)} seeds{common}"
        reason = reason if len(x) > 1 else f"the same score{to}"
        if change.completion is None:  # otherwise the verdict is on all runs
            change = replace(change, before=interval(x), after=interval(y))
        return replace(change, verdict=SAME, reason=reason)
    if change.metric in EXACT or is_deterministic:
        better = (b.values.mean() > a.values.mean()) == change.higher_is_better
        reason = "exact, independent of the seed"
        return replace(change, verdict=BETTER if better else WORSE, reason=reason)
    found, reason = difference(b, a)
    verdict = NOT_COMPARABLE if found is None else NOT_SHOWN
    return replace(change, verdict=verdict, seeds=found, reason=reason)


def rules_of(change: Change, frame: pd.DataFrame, options: Options) -> Rules:
    """Return how a change is tested; a margin in per cent is relative to the score in A."""
    margin = None
    if options.margin is not None and change.before is not None:
        rows = frame[(frame["task"] == change.task) & (frame["metric"] == change.metric)]
        margin = options.margin.in_units(change.before.mean, rows)
    metric = Metric(change.metric, change.higher_is_better)
    return Rules(metric, margin=margin, planned=options.planned)


def corrected(found: Sequence[Change], rules: Sequence[Rules]) -> list[Change]:
    """Return the changes with final verdicts, in the order of verdicts."""
    completions = with_correction([change.completion for change in found])
    changes = [
        replace(change, completion=completion, margin=rule.margin)
        for change, completion, rule in zip(found, completions, rules, strict=True)
    ]
    corrections = corrections_of([change.seeds for change in changes], rules, 0)
    decided = [
        changed(judged(change, rule, correction))
        for change, rule, correction in zip(changes, rules, corrections, strict=True)
    ]
    return sorted(decided, key=lambda e: (e.task, e.metric, ORDER.index(e.verdict), e.label))


def changed(change: Change) -> Change:
    """Return a change whose verdict is that of B on A."""
    return replace(change, verdict={BETTER: IMPROVED}.get(change.verdict, change.verdict))
