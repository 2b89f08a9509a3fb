"""A comparison as sections of text and tables, for every format that people read."""

from __future__ import annotations

import dataclasses
from collections import Counter
from collections.abc import Sequence

from benchmarks.analysis.choice import Choice
from benchmarks.analysis.comparison import (
    BETTER,
    EQUIVALENT,
    FAILED,
    FAILS_MORE,
    IMPROVED,
    SHOWN,
    UNDECIDED,
    WORSE,
    Arm,
    Change,
    Changes,
    Comparison,
    FailedArm,
    Group,
    Pair,
)
from benchmarks.analysis.formatting import (
    decimals_of,
    half_width,
    listed,
    mean_text,
    rounded,
    short_count,
    significant,
)
from benchmarks.analysis.metrics import COSTS
from benchmarks.analysis.statistics.common import Interval, Paired
from benchmarks.reporting.answer import answer
from benchmarks.reporting.average_ranks import rank_section
from benchmarks.reporting.pooled_periods import period_section
from benchmarks.reporting.renderers import Section, TextTable
from benchmarks.reporting.sentences import (
    change_text,
    count_text,
    direction_text,
    excluded_text,
    failures_text,
    pair_text,
    runs_text,
    untested_text,
)

BEST = "*"
UNRELIABLE = "?"
UNDERTRAINED = "†"
NO_BETTER = "not shown better"
MOST_SHOWN = 40  # arms, and pairs; JSON contains all, CSV all arms
MOST_CHANGES = 200
CHANGED = (IMPROVED, WORSE, FAILED, FAILS_MORE)
# Columns that are dropped on a narrow terminal, in this order.
OPTIONAL = ("process\nMiB", "peak\n%", "memory\nMiB", "latency\nms")
MEDIANS = ("train\ns", *OPTIONAL)


def sections_of(comparison: Comparison, only_changed: bool) -> list[Section]:
    """Return the sections of all groups, and one of the excluded rows."""
    groups, notes = comparison.groups, comparison.notes
    if len(groups) == 1:  # notes on the table are then notes on the group
        groups = [dataclasses.replace(groups[0], notes=[*groups[0].notes, *notes])]
        notes = []
    found = [group_section(group, only_changed) for group in groups]
    found += [rank_section(comparison.across)] if comparison.across is not None else []
    found += [period_section(each) for each in comparison.periods]
    end = [("excluded rows", [excluded_text(rows) for rows in comparison.left_out])]
    end.append(("notes on the tables", notes))
    lists = [(heading, lines) for heading, lines in end if lines]
    about = [] if found else ["nothing to compare: all rows are excluded"]
    return [*found, Section("", about, None, [], lists)] if lists or about else found


def group_section(group: Group, only_changed: bool) -> Section:
    """Return the section of a group: its arms, best first, and its pairs."""
    arms = group.arms[:MOST_SHOWN]
    unit = f"{group.unit}, " if group.unit else ""
    data = "; ".join(part for part in (group.dataset, group.split) if part)
    found = answer(group)
    about = [f"answer: {found}"] if found else []
    about += [f"data: {data}"] if data else []
    about += [f"task settings: {group.task_settings}"] if group.task_settings else []
    about.append(f"budget: {group.budget}")
    about += [group.also_differ] if group.also_differ else []
    if len(arms) < len(group.arms):
        about.append(f"the best {len(arms)} of {len(group.arms):,} arms")
    below = [*legend(group, arms), *failure_lines(group), *baseline_lines(group)]
    if group.confidence_set:
        names = listed(group.confidence_set, MOST_SHOWN)
        below.append(
            f"on other test items, the best run is one of (95 % Model Confidence Set): {names}"
        )
    lists = [pair_list(group, only_changed), ("notes", group.notes)]
    return Section(
        title=f"{group.title}: {group.metric} ({unit}{direction_text(group.higher_is_better)})",
        about=about,
        table=arm_table(group, arms),
        below=below,
        lists=[(heading, lines) for heading, lines in lists if lines],
    )


def arm_table(group: Group, arms: list[Arm]) -> TextTable:
    """Return the table of arms, then those without a score; empty columns are dropped."""
    listed_arms: list[Arm | FailedArm] = [*arms, *group.failed_arms[:MOST_SHOWN]]
    versus = "against best\nbaseline" if any(arm.against_baselines for arm in arms) else "baseline"
    kernels = [arm.kernel for arm in arms]
    columns = {
        "": [BEST if arm.is_among_best else "" for arm in arms],
        "arm": [arm.label for arm in listed_arms],
        versus: [baseline_cell(arm) for arm in listed_arms],
        "kernel": kernels if len(set(kernels) - {""}) > 1 else [],
        "n": [count_text(arm) for arm in listed_arms],
        group.metric: [score_cell(group, arm) for arm in arms],
        "±\n95 %": [half_text(arm.score) for arm in arms],
        "skill": ["" if arm.skill is None else rounded(arm.skill, 3) for arm in arms],
        "seasonal\nskill": [
            "" if arm.seasonal_skill is None else rounded(arm.seasonal_skill, 3) for arm in arms
        ],
        "para-\nmeters": [short_count(arm.parameters) for arm in arms],
        "train\ns": [time_cell(arm, arm.train_seconds) for arm in arms],
        "peak\n%": [
            "" if a.utilisation is None else significant(100 * a.utilisation, 2) + mark(a)
            for a in arms
        ],
        "latency\nms": [time_cell(arm, arm.latency_ms) for arm in arms],
        "memory\nMiB": [significant(arm.memory_mib) for arm in arms],
        "process\nMiB": [significant(arm.rss_mib) for arm in arms],
    }
    kept = {
        name: cells + [""] * (len(listed_arms) - len(cells))
        for name, cells in columns.items()
        if name == "arm" or any(cells)
    }
    text = {number for number, name in enumerate(kept) if name in ("", "arm", versus, "kernel")}
    header = list(kept)
    optional = tuple(header.index(name) for name in OPTIONAL if name in kept)
    if group.metric in COSTS:  # the compared column is a mean
        header = [f"{name},\nmedian" if name in MEDIANS else name for name in kept]
    return TextTable(
        header=header,
        rows=[list(row) for row in zip(*kept.values(), strict=True)],
        text_columns=frozenset(text),
        bold_rows=frozenset(number for number, arm in enumerate(arms) if arm.is_among_best),
        optional_columns=optional,
    )


def score_cell(group: Group, arm: Arm) -> str:
    """Return the mean score of an arm, marked if runs are undertrained."""
    is_marked = arm.undertrained and group.metric not in COSTS
    return mean_text(arm.score) + (UNDERTRAINED if is_marked else "")


def baseline_cell(arm: Arm | FailedArm) -> str:
    """Return the verdict on a net against the best baseline, or the kind of a baseline."""
    if isinstance(arm, FailedArm) or arm.baseline or arm.beats_baselines is None:
        return arm.baseline
    if arm.beats_baselines:
        return BETTER
    starts = (WORSE, EQUIVALENT, FAILS_MORE)
    return next((each for each in starts if arm.against_baselines.startswith(each)), NO_BETTER)


def half_text(interval: Interval | Paired | None) -> str:
    """Return half the width of an interval; empty where there is none."""
    half = None if interval is None else half_width(interval)
    return "" if half is None else rounded(half, decimals_of(half))


def choice_section(choice: Choice, key: str) -> Section:
    """Return the section of a choice: the values, the chosen one marked, and the reason."""
    columns = {
        "": [BEST if each.value == choice.chosen else "" for each in choice.candidates],
        key: [each.value + " (recipe)" * each.is_of_recipe for each in choice.candidates],
        "n": [str(len(each.scores)) for each in choice.candidates],
        "failed": [str(each.failed or "") for each in choice.candidates],
        "validation": ["" if e.score is None else mean_text(e.score) for e in choice.candidates],
        "±\n95 %": [half_text(each.score) for each in choice.candidates],
    }
    cells = [list(row) for row in zip(*columns.values(), strict=True)]
    title = f"{choice.task}: {choice.metric} of {choice.settings}"
    about = [f"on validation, {direction_text(choice.higher_is_better)}"]
    table = TextTable([*columns], cells, frozenset({0, 1}))
    return Section(title, about, table, [choice.reason], [])


def time_cell(arm: Arm, value: float | None) -> str:
    """Return a time, marked if it is unreliable."""
    if value is None:
        return ""
    text = "<0.001" if 0 < value < 0.001 else rounded(value, 3) if value < 1 else significant(value)
    return text + mark(arm)


def mark(arm: Arm) -> str:
    """Return the mark of an arm with unreliable times, or an empty string."""
    return UNRELIABLE if arm.doubtful_times else ""


def legend(group: Group, arms: Sequence[Arm]) -> list[str]:
    """Return the meanings of the marks in use."""
    parts = []
    if any(arm.is_among_best for arm in arms):
        of = " of its budget" if group.is_mixed else ""
        items = "" if group.metric in COSTS else " on these test items"
        parts.append(f"{BEST} the best{of}{items}, or not shown to be worse with other seeds")
    if any(arm.doubtful_times and (arm.train_seconds or arm.latency_ms) for arm in arms):
        parts.append(f"{UNRELIABLE} unreliable time, see the notes")
    if any(arm.undertrained for arm in arms) and group.metric not in COSTS:
        parts.append(f"{UNDERTRAINED} undertrained, see the notes")
    lines = ["   ".join(parts)] if parts else []
    if any(pair.p_adjusted is not None for pair in group.pairs):
        lines.append("± is an individual 95 % interval; p and [ ] are corrected for all pairs")
    if any(arm.skill is not None for arm in arms):
        season = any(arm.seasonal_skill is not None for arm in arms)
        more = "; seasonal skill: 0 is the value one season before" if season else ""
        lines.append(f"skill: 0 is {group.naive}, 1 is perfect{more}")
    verdicts = {pair.verdict for pair in group.pairs}
    if group.margin is not None and EQUIVALENT in verdicts:
        lines.append(f"equivalent: the difference is shown to be below {significant(group.margin)}")
    if UNDECIDED in verdicts:
        lines.append("undecided: neither a difference nor equivalence is shown")
    if any(pair.population_p is not None for pair in group.pairs):
        lines.append(
            "verdicts hold for other seeds on these test items; beyond these test items, for other "
            "seeds and other items"
        )
    return lines


def failure_lines(group: Group) -> list[str]:
    """Return the failed runs of each arm, in one line."""
    parts = [f"{arm.label} ({failures_text(arm)})" for arm in group.all_arms if arm.failures]
    return [f"failed runs: {listed(parts, MOST_SHOWN)}"] if parts else []


def baseline_lines(group: Group) -> list[str]:
    """Return the nets by their verdict against the best baseline, and if they are undertrained."""
    labels: dict[str, list[str]] = {}
    for arm in group.arms:
        if arm.beats_baselines is not None:
            early = f" ({arm.undertrained_text})" if arm.undertrained else ""
            labels.setdefault(arm.against_baselines, []).append(f"{arm.label}{early}")
    return [f"{text}: {', '.join(names[:MOST_SHOWN])}" for text, names in labels.items()]


def pair_list(group: Group, only_changed: bool) -> tuple[str, list[str]]:
    """Return a heading and the sentences on pairs; untested pairs are counted by reason."""
    pairs = group.pairs_to_show
    if only_changed:
        pairs = [pair for pair in pairs if pair.verdict in SHOWN]
    untested: dict[tuple[str, str], list[Pair]] = {}
    lines = []
    for pair in sorted(pairs, key=lambda each: each.verdict not in SHOWN):
        is_tested = pair.p_adjusted is not None or pair.items is not None
        if not is_tested and pair.completion is None and pair.verdict not in SHOWN:
            untested.setdefault((pair.verdict, pair.reason), []).append(pair)
        else:
            lines.append(pair_text(pair, group))
    hidden = max(0, len(lines) - MOST_SHOWN)
    lines = lines[:MOST_SHOWN] + ([f"and {hidden:,} more"] if hidden else [])
    for (verdict, reason), same in untested.items():
        if len(same) > 2:
            lines.append(f"{len(same):,} pairs: {verdict} ({reason})")
        else:
            lines += [pair_text(pair, group) for pair in same]
    left = len(group.pairs) - len(group.pairs_to_show)
    more = f"; {left:,} more in JSON" if left and not only_changed else ""
    heading = f"pairs with {group.asked}" if group.asked is not None else "pairs"
    if only_changed and not lines:
        lines = ["no difference is shown"]
    return f"{heading}, A against B{family_text(group, pairs)}{more}", lines


def family_text(group: Group, shown: Sequence[Pair]) -> str:
    """Return the number of pairs that p is corrected for, in parentheses."""
    tested = sum(pair.p_adjusted is not None for pair in group.pairs)
    if not tested:
        return ""
    if group.family > tested:
        return f" (p corrected for all {group.family:,} pairs)"
    is_all = tested == sum(pair.p_adjusted is not None for pair in shown)
    which = "this pair" if tested == 1 else f"{'these' if is_all else 'all'} {tested:,} pairs"
    return f" (Holm over {which})"


def change_sections(found: Changes, only_changed: bool) -> list[Section]:
    """Return the sections of the changes between two tables, task by task."""
    shown = [change for change in found.changes if change.is_shown or not only_changed]
    counts = Counter(change.verdict for change in found.changes)
    verdicts = ", ".join(f"{count:,} {verdict}" for verdict, count in counts.items())
    tally = f"{len(found.changes):,} arms: {verdicts}" if counts else "no arms in either table"
    about = [f"A: {found.sources[0]}", f"B: {found.sources[1]}", tally]
    about += [why] if (why := untested_text(found)) else []
    sections = [Section("", about, None, [], [])]
    for task, metric, higher in dict.fromkeys(
        (c.task, c.metric, c.higher_is_better) for c in shown
    ):
        changes = [c for c in shown if (c.task, c.metric) == (task, metric)]
        title = f"{task}: {metric} ({direction_text(higher)})"
        more = len(changes) - MOST_CHANGES
        below = [f"and {more:,} more, in CSV and JSON"] if more > 0 else []
        sections.append(Section(title, [], _change_table(changes[:MOST_CHANGES]), below, []))
    lists = [
        (f"excluded rows of {name}", [excluded_text(each) for each in excluded])
        for name, excluded in zip("AB", found.left_out, strict=True)
    ]
    lists = [item for item in [*lists, ("notes", found.notes)] if item[1]]
    return [*sections, Section("", [], None, [], lists)] if lists else sections


def _change_table(found: list[Change]) -> TextTable:
    rows = [_change_row(change) for change in found]
    header = ["verdict", "arm", "n", "A", "B", "B - A", "±\ncorrected", "why"]
    bold = {n for n, change in enumerate(found) if change.verdict in CHANGED}
    return TextTable(header, rows, frozenset({0, 1, 7}), frozenset(bold))


def change_count_text(change: Change, side: int) -> str:
    """Return the number of scores in A (0) or B (1), and of all runs if some failed."""
    score, failures = (change.before, change.after)[side], change.failures[side]
    if score is None and not failures:
        return ""
    return runs_text(0 if score is None else score.n, change.completed[side], failures)


def _change_row(change: Change) -> list[str]:
    seeds, before, after = change.seeds, change.before, change.after
    sides = [side for side in (before, after) if side is not None]
    known = [decimals_of(half_width(side)) for side in sides]
    decimals = max((d for d in known if d is not None), default=None)
    difference = ""
    if seeds is not None:
        difference = rounded(seeds.difference, decimals_of(half_width(seeds)))
    elif before is not None and after is not None and change.verdict in (IMPROVED, WORSE):
        difference = significant(after.mean - before.mean)
    completion = [change_count_text(change, side) for side in (0, 1)]
    counts = ", ".join(dict.fromkeys(text for text in completion if text))
    return [
        change.verdict,
        change.label,
        "" if change.is_deterministic else counts,
        "" if before is None else rounded(before.mean, decimals),
        "" if after is None else rounded(after.mean, decimals),
        difference,
        half_text(seeds),
        change_text(change),
    ]
