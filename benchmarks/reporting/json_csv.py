"""A comparison as JSON and CSV in full precision."""

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


def comparison_json(comparison: Comparison, only_changed: bool = False) -> dict[str, Any]:
    """Return a comparison as data, optionally only with the pairs that differ."""
    return {
        "sources": comparison.sources,
        "groups": [_group(group, only_changed) for group in comparison.groups],
        "left_out": [dataclasses.asdict(rows) for rows in comparison.left_out],
        "notes": comparison.notes,
    }


def _group(group: Group, only_changed: bool) -> dict[str, Any]:
    pairs = [pair for pair in group.pairs if not only_changed or pair.verdict in (BETTER, WORSE)]
    simple = {f.name: getattr(group, f.name) for f in dataclasses.fields(group)}
    simple["arms"] = [_arm(arm) for arm in group.arms]
    simple["pairs"] = [dataclasses.asdict(pair) for pair in pairs]
    return simple


def _arm(arm: Arm) -> dict[str, Any]:
    simple = {f.name: getattr(arm, f.name) for f in dataclasses.fields(arm) if f.name != "rows"}
    simple["score"] = dataclasses.asdict(arm.score)
    seeds = [None if math.isnan(seed) else int(seed) for seed in arm.by_seed.seeds.tolist()]
    return simple | {"seeds": seeds, "scores": arm.by_seed.values.tolist()}


def changes_json(found: Changes, only_changed: bool = False) -> dict[str, Any]:
    """Return changes as data."""
    return dataclasses.asdict(dataclasses.replace(found, changes=_chosen(found, only_changed)))


def _chosen(found: Changes, only_changed: bool) -> list[Change]:
    return [change for change in found.changes if change.is_shown or not only_changed]


def as_json(data: dict[str, Any]) -> str:
    """Return data as JSON; numbers that are not finite are an error."""
    return json.dumps(data, indent=2, allow_nan=False) + "\n"


def comparison_csv(comparison: Comparison, only_changed: bool = False) -> str:
    """Return one line per arm, with its verdict against the requested or the best arm."""
    lines = [_arm_line(group, arm) for group in comparison.groups for arm in group.arms]
    return _as_csv([e for e in lines if not only_changed or e["verdict"] in (BETTER, WORSE)])


def _arm_line(group: Group, arm: Arm) -> dict[str, Any]:
    line: dict[str, Any] = {"task": group.task, "group": group.title, "metric": group.metric}
    line |= {"n": arm.score.n, "mean": arm.score.mean, "low": arm.score.low, "high": arm.score.high}
    line |= {name: getattr(arm, name) for name in ARM_COLUMNS}
    reference = group.asked or (group.pairs[0].a if group.pairs else None)
    ends = {arm.label, reference}
    pair = next((p for p in group.pairs if {p.a, p.b} == ends and len(ends) == 2), None)
    return line | (dict.fromkeys(PAIR_COLUMNS) if pair is None else _pair_cells(pair, arm))


def _pair_cells(pair: Pair, arm: Arm) -> dict[str, Any]:
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


def changes_csv(found: Changes, only_changed: bool = False) -> str:
    """Return one line per arm of either table."""
    return _as_csv([_change_line(change) for change in _chosen(found, only_changed)])


def _change_line(change: Change) -> dict[str, Any]:
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


def _as_csv(lines: Sequence[dict[str, Any]]) -> str:
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    if lines:
        writer.writerow(lines[0])
    for line in lines:
        writer.writerow(str(v).lower() if isinstance(v, bool) else v for v in line.values())
    return text.getvalue()
