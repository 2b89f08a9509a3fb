"""A comparison as JSON and CSV in full precision."""

from __future__ import annotations

import dataclasses
import json
import math
from collections.abc import Sequence
from typing import Any

from benchmarks.analysis.comparison import (
    FLIPPED,
    SHOWN,
    Arm,
    Change,
    Changes,
    Comparison,
    FailedArm,
    Group,
    Pair,
)
from benchmarks.analysis.statistics.common import Interval, Paired
from benchmarks.reporting.answer import answer
from benchmarks.reporting.sentences import failures_text
from benchmarks.results.csv_cells import csv_text

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
    "seasonal_skill",
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
    "undertrained",
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
    "p_equivalence",
    "detectable",
    "fewest_seeds_for_margin",
    "most_seeds_for_margin",
    "effect",
    "effect_low",
    "effect_high",
    "p_completion",
    "p_failures_ranked_worst",
    "withheld",
    "reason",
    "differ",
)


def comparison_json(comparison: Comparison, only_changed: bool = False) -> dict[str, Any]:
    """Return a comparison as data, optionally only with the pairs that differ."""
    return {
        "sources": comparison.sources,
        "groups": [_group(group, only_changed) for group in comparison.groups],
        "left_out": [dataclasses.asdict(rows) for rows in comparison.left_out],
        "notes": comparison.notes,
        "across": None if comparison.across is None else dataclasses.asdict(comparison.across),
        "periods": [dataclasses.asdict(each) for each in comparison.periods],
    }


def _group(group: Group, only_changed: bool) -> dict[str, Any]:
    pairs = [pair for pair in group.pairs if not only_changed or pair.verdict in SHOWN]
    simple = {f.name: getattr(group, f.name) for f in dataclasses.fields(group)}
    simple["answer"] = answer(group)
    simple["arms"] = [_arm(arm) for arm in group.arms]
    simple["pairs"] = [dataclasses.asdict(pair) for pair in pairs]
    simple["failed_arms"] = [
        dataclasses.asdict(arm) | {"attempted": arm.attempted} for arm in group.failed_arms
    ]
    return simple


def _arm(arm: Arm) -> dict[str, Any]:
    simple = {f.name: getattr(arm, f.name) for f in dataclasses.fields(arm) if f.name != "rows"}
    simple["score"] = dataclasses.asdict(arm.score)
    simple |= {"completed": arm.completed, "attempted": arm.attempted}
    return simple | {"seeds": arm.by_seed.seed_list, "scores": arm.by_seed.values.tolist()}


def changes_json(found: Changes, only_changed: bool = False) -> dict[str, Any]:
    """Return changes as data."""
    return dataclasses.asdict(dataclasses.replace(found, changes=_chosen(found, only_changed)))


def _chosen(found: Changes, only_changed: bool) -> list[Change]:
    return [change for change in found.changes if change.is_shown or not only_changed]


def as_json(data: dict[str, Any]) -> str:
    """Return data as JSON."""
    return json.dumps(finite(data), indent=2, allow_nan=False) + "\n"


def finite(data: Any) -> Any:
    """Return data with None in place of infinity and NaN, which JSON does not have."""
    if isinstance(data, dict):
        return {key: finite(value) for key, value in data.items()}
    if isinstance(data, list | tuple):
        return [finite(value) for value in data]
    return None if isinstance(data, float) and not math.isfinite(data) else data


def comparison_csv(comparison: Comparison, only_changed: bool = False) -> str:
    """Return one line per arm, with its verdict against the requested or the best arm."""
    lines = [_arm_line(group, arm) for group in comparison.groups for arm in group.all_arms]
    return _as_csv([e for e in lines if not only_changed or e["verdict"] in SHOWN])


def _arm_line(group: Group, arm: Arm | FailedArm) -> dict[str, Any]:
    line: dict[str, Any] = {"task": group.task, "group": group.title, "metric": group.metric}
    score = arm.score if isinstance(arm, Arm) else None
    line["n"] = 0 if score is None else score.n
    line |= {name: getattr(score, name, None) for name in ("mean", "low", "high")}
    line |= {name: getattr(arm, name, None) for name in ARM_COLUMNS}
    line |= {"completed": getattr(arm, "completed", 0), "attempted": arm.attempted}
    line["failures"] = failures_text(arm)
    if isinstance(arm, FailedArm):
        return line | dict.fromkeys(PAIR_COLUMNS)
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
        "p_equivalence": pair.p_equivalence,
        "detectable": pair.detectable,
        "withheld": pair.withheld,
        "reason": pair.reason,
        "differ": pair.differ,
    }
    cells |= _plan_cells(pair) | _effect_cells(pair.effect, sign)
    if pair.completion is not None:
        cells["p_completion"] = pair.completion.p_adjusted
        cells["p_failures_ranked_worst"] = pair.completion.ranked_p
    if seeds is not None:
        low, high = signed_ends(seeds, sign)
        cells |= {
            "difference": sign * seeds.difference,
            "difference_low": low,
            "difference_high": high,
            "p": seeds.p,
            "pairs": seeds.n,
        }
    return {name: cells.get(name) for name in PAIR_COLUMNS}


def _plan_cells(found: Pair | Change) -> dict[str, Any]:
    fewest, most = found.seeds_for_margin or (None, None)
    return {"fewest_seeds_for_margin": fewest, "most_seeds_for_margin": most}


def _effect_cells(effect: Interval | None, sign: int) -> dict[str, Any]:
    if effect is None:
        return dict.fromkeys(("effect", "effect_low", "effect_high"))
    low, high = signed_ends(effect, sign)
    return {"effect": sign * effect.mean, "effect_low": low, "effect_high": high}


def signed_ends(found: Interval | Paired, sign: int) -> tuple[float | None, float | None]:
    """Return the ends of an interval, or of its negative."""
    if found.low is None or found.high is None:
        return None, None
    return (found.low, found.high) if sign > 0 else (-found.high, -found.low)


def changes_csv(found: Changes, only_changed: bool = False) -> str:
    """Return one line per arm of either table."""
    return _as_csv([_change_line(change) for change in _chosen(found, only_changed)])


def _change_line(change: Change) -> dict[str, Any]:
    line: dict[str, Any] = {"task": change.task, "metric": change.metric, "label": change.label}
    line["verdict"] = change.verdict
    for name, side in (("before", change.before), ("after", change.after)):
        for part in ("n", "mean", "low", "high"):
            line[f"{name}_{part}"] = None if side is None else getattr(side, part)
    for name, done, lost in zip(
        ("before", "after"), change.completed, change.failures, strict=True
    ):
        line |= {f"{name}_completed": done, f"{name}_attempted": done + sum(lost.values())}
    for part in ("difference", "low", "high", "p"):
        name = part if part in ("difference", "p") else f"difference_{part}"
        line[name] = None if change.seeds is None else getattr(change.seeds, part)
    found = change.completion
    line["p_completion"] = None if found is None else found.p_adjusted
    more = ("p_adjusted", "p_equivalence", "detectable", "withheld", "reason", "differ")
    line |= {name: getattr(change, name) for name in more}
    line |= _plan_cells(change)
    return line | _effect_cells(change.effect, 1)


def _as_csv(lines: Sequence[dict[str, Any]]) -> str:
    return csv_text([*lines[:1], *(finite([*line.values()]) for line in lines)])
