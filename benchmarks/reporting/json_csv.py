"""A comparison for programs: CSV and JSON, in full precision."""

from __future__ import annotations

import csv
import dataclasses
import io
import json
import math
from collections.abc import Sequence
from typing import Any

from benchmarks.analysis.comparison import (
    BETTER,
    FLIPPED,
    WORSE,
    Arm,
    Change,
    Changes,
    Comparison,
    Group,
    Pair,
)


def comparison_json(comparison: Comparison, only_changed: bool = False) -> dict[str, Any]:
    """All of a comparison as data, or of the pairs only those with a better and a worse."""
    return {
        "sources": comparison.sources,
        "groups": [group_json(group, only_changed) for group in comparison.groups],
        "left_out": [dataclasses.asdict(left) for left in comparison.left_out],
        "notes": comparison.notes,
    }


def group_json(group: Group, only_changed: bool) -> dict[str, Any]:
    """A group as data."""
    pairs = [pair for pair in group.pairs if not only_changed or pair.verdict in (BETTER, WORSE)]
    simple = {f.name: getattr(group, f.name) for f in dataclasses.fields(group)}
    simple["arms"] = [arm_json(arm) for arm in group.arms]
    simple["pairs"] = [dataclasses.asdict(pair) for pair in pairs]
    return simple


def arm_json(arm: Arm) -> dict[str, Any]:
    """An arm as data: its numbers, and the scores of its seeds."""
    simple = {f.name: getattr(arm, f.name) for f in dataclasses.fields(arm) if f.name != "rows"}
    simple["score"] = dataclasses.asdict(arm.score)
    seeds = [None if math.isnan(seed) else int(seed) for seed in arm.by_seed.seeds.tolist()]
    return simple | {"seeds": seeds, "scores": arm.by_seed.values.tolist()}


def changes_json(found: Changes, only_changed: bool = False) -> dict[str, Any]:
    """Changes as data."""
    return dataclasses.asdict(dataclasses.replace(found, changes=chosen(found, only_changed)))


def chosen(found: Changes, only_changed: bool) -> list[Change]:
    """All arms, or those that are not known to be as they were."""
    return [change for change in found.changes if change.is_shown or not only_changed]


def as_json(data: dict[str, Any]) -> str:
    """Write data as JSON, which has no word for what is no number."""
    return json.dumps(data, indent=2, allow_nan=False) + "\n"


ARM_COLUMNS = (
    "label",
    "model",
    "baseline",
    "match",
    "match_budget",
    "trials",
    "deviation",
    "interquartile_mean",
    "validation",
    "skill",
    "is_among_best",
    "beats_baselines",
    "parameters",
    "encoder_parameters",
    "train_seconds",
    "utilisation",
    "kernel",
    "precision",
    "latency_ms",
    "memory_mib",
    "rss_mib",
    "doubtful_times",
)


def comparison_csv(comparison: Comparison, only_changed: bool = False) -> str:
    """A line per arm, with its verdict against the arm asked for, or against the best one."""
    lines = [arm_line(group, arm) for group in comparison.groups for arm in group.arms]
    return as_csv([e for e in lines if not only_changed or e["verdict"] in (BETTER, WORSE)])


def arm_line(group: Group, arm: Arm) -> dict[str, Any]:
    """An arm's line."""
    line: dict[str, Any] = {"task": group.task, "group": group.title, "metric": group.metric}
    line |= {"n": arm.score.n, "mean": arm.score.mean, "low": arm.score.low, "high": arm.score.high}
    line |= {name: getattr(arm, name) for name in ARM_COLUMNS}
    pair = pair_of(group, arm)
    return line | pair_cells(pair, arm)


def pair_of(group: Group, arm: Arm) -> Pair | None:
    """The pair that says how an arm stands to the one that all are compared with."""
    best = group.asked or (group.pairs[0].a if group.pairs else None)
    ends = {arm.label, best}
    return next((p for p in group.pairs if {p.a, p.b} == ends and len(ends) == 2), None)


def pair_cells(pair: Pair | None, arm: Arm) -> dict[str, Any]:
    """A pair's numbers, as seen from one of its arms."""
    if pair is None:
        return dict.fromkeys(PAIR_COLUMNS)
    is_a, seeds = pair.a == arm.label, pair.seeds
    sign = 1 if is_a else -1
    cells: dict[str, Any] = {
        "against": pair.b if is_a else pair.a,
        "verdict": pair.verdict if is_a else FLIPPED.get(pair.verdict, pair.verdict),
        "p_adjusted": pair.p_adjusted,
        "detectable": pair.detectable,
        "seeds_needed": pair.seeds_needed,
        "reason": pair.reason,
    }
    if seeds is not None:
        ends = sorted(sign * end for end in (seeds.low, seeds.high) if end is not None)
        low, high = ends if ends else (None, None)
        cells |= {
            "difference": sign * seeds.difference,
            "difference_low": low,
            "difference_high": high,
            "p": seeds.p,
            "pairs": seeds.n,
        }
    return {name: cells.get(name) for name in PAIR_COLUMNS}


PAIR_COLUMNS = (
    "against",
    "verdict",
    "difference",
    "difference_low",
    "difference_high",
    "p",
    "p_adjusted",
    "pairs",
    "detectable",
    "seeds_needed",
    "reason",
)


def changes_csv(found: Changes, only_changed: bool = False) -> str:
    """A line per arm of either table."""
    return as_csv([change_line(change) for change in chosen(found, only_changed)])


def change_line(change: Change) -> dict[str, Any]:
    """An arm's line."""
    line: dict[str, Any] = {"task": change.task, "metric": change.metric, "label": change.label}
    line["verdict"] = change.verdict
    for name, side in (("before", change.before), ("after", change.after)):
        for part in ("n", "mean", "low", "high"):
            line[f"{name}_{part}"] = None if side is None else getattr(side, part)
    for part in ("difference", "low", "high", "p"):
        name = part if part in ("difference", "p") else f"difference_{part}"
        line[name] = None if change.seeds is None else getattr(change.seeds, part)
    more = ("p_adjusted", "detectable", "reason")
    return line | {name: getattr(change, name) for name in more}


def as_csv(lines: Sequence[dict[str, Any]]) -> str:
    """Write lines that have the same columns; truths as in a results table."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    if lines:
        writer.writerow(lines[0])
    for line in lines:
        writer.writerow(str(v).lower() if isinstance(v, bool) else v for v in line.values())
    return text.getvalue()
