"""A comparison as tables of text and lines around them, the same for every format for people."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

from benchmarks.analysis.comparison import (
    BETTER,
    FAILED,
    IMPROVED,
    WORSE,
    Arm,
    Change,
    Changes,
    Comparison,
    Group,
    Pair,
)
from benchmarks.analysis.formatting import (
    decimals_of,
    half_width,
    mean_text,
    rounded,
    short_count,
    significant,
)
from benchmarks.analysis.metrics import is_cost
from benchmarks.analysis.statistics import Interval
from benchmarks.reporting.renderers import Section, TextTable
from benchmarks.reporting.sentences import (
    change_text,
    direction_text,
    left_out_text,
    pair_text,
    untested_text,
)

BEST = "*"
DOUBT = "?"
MOST_SHOWN = 40
"""Arms, and pairs, that are shown to people; JSON has all, CSV all arms."""

SPARE = ("process\nMiB", "peak\n%", "memory\nMiB", "latency\nms")
MEDIANS = ("train\ns", "peak\n%", "latency\nms", "memory\nMiB", "process\nMiB")
"""Columns that go first where a terminal is narrow."""

MOST_CHANGES = 200
"""Arms of two tables that are shown to people, those that changed before the others."""


def sections_of(comparison: Comparison, only_changed: bool) -> list[Section]:
    """All of a comparison, group by group, and at the end what was left out."""
    groups, notes = comparison.groups, comparison.notes
    if len(groups) == 1:  # then notes on the table are notes on the group
        groups = [dataclasses.replace(groups[0], notes=[*groups[0].notes, *notes])]
        notes = []
    found = [group_section(group, only_changed) for group in groups]
    end = [("left out", [left_out_text(left) for left in comparison.left_out])]
    end.append(("notes on the tables", notes))
    lists = [(heading, lines) for heading, lines in end if lines]
    about = [] if found else ["nothing to compare: no row counts"]
    return [*found, Section("", about, None, [], lists)] if lists or about else found


def group_section(group: Group, only_changed: bool) -> Section:
    """One group: its arms, best first, and its pairs."""
    arms = group.arms[:MOST_SHOWN]
    unit = f"{group.unit}, " if group.unit else ""
    data = "; ".join(part for part in (group.dataset, group.split) if part)
    about = [f"data: {data}"] if data else []
    about.append(f"given alike: {group.budget}")
    if len(arms) < len(group.arms):
        about.append(f"the best {len(arms)} of {len(group.arms):,} arms")
    return Section(
        title=f"{group.title}: {group.metric} ({unit}{direction_text(group.higher_is_better)})",
        about=about,
        table=arm_table(group, arms),
        below=[*legend(group, arms), *baseline_lines(group), *set_lines(group)],
        lists=[
            item for item in (pair_list(group, only_changed), ("notes", group.notes)) if item[1]
        ],
    )


def arm_table(group: Group, arms: list[Arm]) -> TextTable:
    """The arms of a group as a table; columns that say nothing of any arm are left out."""
    stands = "against best\nbaseline" if any(arm.against_baselines for arm in arms) else "baseline"
    kernels = [arm.kernel for arm in arms]
    columns = {
        "": [BEST if arm.is_among_best else "" for arm in arms],
        "arm": [arm.label for arm in arms],
        stands: [standing(arm) for arm in arms],
        "kernel": kernels if len(set(kernels) - {""}) > 1 else [],
        "n": ["" if arm.is_deterministic else f"{arm.score.n}" for arm in arms],
        group.metric: [mean_text(arm.score) for arm in arms],
        "±\n95 %": [half_text(arm.score) for arm in arms],
        "skill": ["" if arm.skill is None else rounded(arm.skill, 3) for arm in arms],
        "para-\nmeters": [short_count(arm.parameters) for arm in arms],
        "train\ns": [timed(arm, arm.train_seconds) for arm in arms],
        "peak\n%": [of_peak(arm) for arm in arms],
        "latency\nms": [timed(arm, arm.latency_ms) for arm in arms],
        "memory\nMiB": [significant(arm.memory_mib) for arm in arms],
        "process\nMiB": [significant(arm.rss_mib) for arm in arms],
    }
    kept = {name: cells for name, cells in columns.items() if name == "arm" or any(cells)}
    words = {number for number, name in enumerate(kept) if name in ("", "arm", stands, "kernel")}
    rows = [list(row) for row in zip(*kept.values(), strict=True)]
    strong = {number for number, arm in enumerate(arms) if arm.is_among_best}
    spare = tuple(list(kept).index(name) for name in SPARE if name in kept)
    header = list(kept)
    if is_cost(group.metric):  # the column beside n is a mean
        header = [f"{name},\nmedian" if name in MEDIANS else name for name in kept]
    return TextTable(header, rows, frozenset(words), frozenset(strong), spare)


def standing(arm: Arm) -> str:
    """Whether a net is shown to beat the best baseline; of a baseline, its kind."""
    if arm.baseline or arm.beats_baselines is None:
        return arm.baseline
    if arm.beats_baselines:
        return BETTER
    return WORSE if arm.against_baselines.startswith("worse") else "not shown better"


def half_text(score: Interval) -> str:
    """Half of a mean's interval."""
    half = half_width(score)
    return "" if half is None else rounded(half, decimals_of(half))


def timed(arm: Arm, value: float | None) -> str:
    """A time, marked if it is in doubt."""
    if value is None:
        return ""
    text = "<0.001" if 0 < value < 0.001 else rounded(value, 3) if value < 1 else significant(value)
    return text + DOUBT * bool(arm.doubtful_times)


def of_peak(arm: Arm) -> str:
    """Per cent of the machine's peak at which an arm trains, marked as its time is."""
    if arm.utilisation is None:
        return ""
    return significant(100 * arm.utilisation, 2) + DOUBT * bool(arm.doubtful_times)


def legend(group: Group, arms: Sequence[Arm]) -> list[str]:
    """Explain the marks that are used."""
    parts = []
    if any(arm.is_among_best for arm in arms):
        of = " of its budget" if group.is_mixed else ""
        parts.append(f"{BEST} the best{of}, or not shown to be worse than the best{of}")
    if any(arm.doubtful_times and (arm.train_seconds or arm.latency_ms) for arm in arms):
        parts.append(f"{DOUBT} a time in doubt, see the notes")
    lines = ["   ".join(parts)] if parts else []
    if any(pair.p_adjusted is not None for pair in group.pairs):
        lines.append("± and [ ] are 95 % intervals, each of its own; p is corrected")
    return lines


def baseline_lines(group: Group) -> list[str]:
    """Say in words which nets do not beat the best baseline."""
    words: dict[str, list[str]] = {}
    for arm in group.arms:
        if arm.beats_baselines is not None:
            words.setdefault(arm.against_baselines, []).append(arm.label)
    return [f"{text}: {', '.join(labels[:MOST_SHOWN])}" for text, labels in words.items()]


def set_lines(group: Group) -> list[str]:
    """Say which arms the items of the test split leave as the best."""
    found = group.confidence_set
    if not found:
        return []
    more = f" and {len(found) - MOST_SHOWN} more" if len(found) > MOST_SHOWN else ""
    names = f"{', '.join(found[:MOST_SHOWN])}{more}"
    return [f"by test items the best of these runs is among (95 %, Model Confidence Set): {names}"]


def pair_list(group: Group, only_changed: bool) -> tuple[str, list[str]]:
    """The pairs in words under a heading; those that nothing can be said of are counted."""
    pairs = group.pairs_to_show
    if only_changed:
        pairs = [pair for pair in pairs if pair.verdict in (BETTER, WORSE)]
    silent: dict[tuple[str, str], list[Pair]] = {}
    lines = []
    for pair in sorted(pairs, key=lambda each: each.verdict not in (BETTER, WORSE)):
        if pair.p_adjusted is None and pair.items is None and pair.verdict not in (BETTER, WORSE):
            silent.setdefault((pair.verdict, pair.reason), []).append(pair)
        else:
            lines.append(pair_text(pair, group))
    hidden = max(0, len(lines) - MOST_SHOWN)
    lines = lines[:MOST_SHOWN] + ([f"and {hidden:,} more"] if hidden else [])
    for (verdict, reason), same in silent.items():
        if len(same) > 2:
            lines.append(f"{len(same):,} pairs: {verdict} ({reason})")
        else:
            lines += [pair_text(pair, group) for pair in same]
    left = len(group.pairs) - len(group.pairs_to_show)
    more = f"; {left:,} more in JSON" if left and not only_changed else ""
    against = f"pairs with {group.asked}" if group.asked is not None else "pairs"
    if only_changed and not lines:
        lines = ["no difference is shown"]
    return f"{against}, A against B{family_text(group, pairs)}{more}", lines


def family_text(group: Group, shown: Sequence[Pair]) -> str:
    """Say over how many pairs p is corrected."""
    tested = sum(pair.p_adjusted is not None for pair in group.pairs)
    if not tested:
        return ""
    if group.family > tested:
        return f" (p corrected for all {group.family:,} pairs)"
    is_all = tested == sum(pair.p_adjusted is not None for pair in shown)
    which = "this pair" if tested == 1 else f"{'these' if is_all else 'all'} {tested:,} pairs"
    return f" (Holm over {which})"


def change_sections(found: Changes, only_changed: bool) -> list[Section]:
    """The changes from one table to another, task by task."""
    shown = [change for change in found.changes if change.is_shown or not only_changed]
    questions = list(dict.fromkeys((c.task, c.metric, c.higher_is_better) for c in shown))
    about = [f"A: {found.sources[0]}", f"B: {found.sources[1]}", tally(found.changes)]
    about += [why] if (why := untested_text(found)) else []
    sections = [Section("", about, None, [], [])]
    for task, metric, higher in questions:
        mine = [c for c in shown if (c.task, c.metric) == (task, metric)]
        title = f"{task}: {metric} ({direction_text(higher)})"
        more = len(mine) - MOST_CHANGES
        below = [f"and {more:,} more, in CSV and JSON"] if more > 0 else []
        sections.append(Section(title, [], change_table(mine[:MOST_CHANGES]), below, []))
    lists = [
        (f"left out of {name}", [left_out_text(each) for each in left])
        for name, left in zip("AB", found.left_out, strict=True)
    ]
    lists = [item for item in [*lists, ("notes", found.notes)] if item[1]]
    return [*sections, Section("", [], None, [], lists)] if lists else sections


def tally(found: Sequence[Change]) -> str:
    """Count the verdicts."""
    counts: dict[str, int] = {}
    for change in found:
        counts[change.verdict] = counts.get(change.verdict, 0) + 1
    parts = [f"{count:,} {verdict}" for verdict, count in counts.items()]
    return f"{len(found):,} arms: {', '.join(parts)}" if parts else "no arm in either"


def change_table(found: list[Change]) -> TextTable:
    """Arms and what became of them."""
    rows = [change_row(change) for change in found]
    header = ["verdict", "arm", "n", "A", "B", "B - A", "±\n95 %", "why"]
    strong = {n for n, change in enumerate(found) if change.verdict in (IMPROVED, WORSE, FAILED)}
    return TextTable(header, rows, frozenset({0, 1, 7}), frozenset(strong))


def change_row(change: Change) -> list[str]:
    """One arm's cells."""
    seeds, before, after = change.seeds, change.before, change.after
    known = [decimals_of(half_width(side)) for side in (before, after) if side is not None]
    usual = max((d for d in known if d is not None), default=None)
    decimals = None if seeds is None else decimals_of(half_width(seeds))
    both = ""
    if seeds is not None:
        both = rounded(seeds.difference, decimals)
    elif before is not None and after is not None and change.verdict in (IMPROVED, WORSE):
        both = significant(after.mean - before.mean)
    return [
        change.verdict,
        change.label,
        "" if change.is_deterministic else seeds_of(change),
        "" if before is None else rounded(before.mean, usual),
        "" if after is None else rounded(after.mean, usual),
        both,
        "" if seeds is None or (half := half_width(seeds)) is None else rounded(half, decimals),
        change_text(change),
    ]


def seeds_of(change: Change) -> str:
    """How many seeds its means are of, in A and in B if these differ."""
    counts = [side.n for side in (change.before, change.after) if side is not None]
    return ", ".join(f"{n:,}" for n in dict.fromkeys(counts))
