"""From rows to arms: means, intervals, costs, and whether the times can be trusted."""

from __future__ import annotations

import dataclasses
from collections.abc import Hashable, Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from benchmarks.analysis import statistics
from benchmarks.analysis.comparison import Arm
from benchmarks.analysis.formatting import listed
from benchmarks.analysis.labels import labels, records, text
from benchmarks.analysis.metrics import default_perfect
from benchmarks.system.load import BUSY

MOST_ARMS = 500
"""The best of a group; more can neither be read nor tested."""

TIMING = [
    "concurrent_runs",
    "load_average",
    "threads",
    "device",
    "device_name",
    "torch_version",
]
"""Columns that say whether a time can be trusted."""


def make_arms(rows: pd.DataFrame, by: Sequence[str], higher_is_better: bool) -> list[Arm]:
    """Make the arms of a group, best first, without skill and marks.

    Args:
        rows: of the group, with `arm_number`, sorted by it and by seed.
        by: see `labels`.
        higher_is_better: direction of `score`.
    """
    seeds = rows.groupby(["arm_number", "seed"], dropna=False, sort=False)["score"].mean()
    means = seeds.groupby("arm_number", sort=False).mean()
    order = means.sort_values(ascending=not higher_is_better, kind="stable").index
    firsts = rows.drop_duplicates("arm_number").set_index("arm_number")
    is_baseline = (firsts["baseline"] != "").loc[order]
    chosen = order[(np.arange(len(order)) < MOST_ARMS) | is_baseline.to_numpy()]
    names = labels(records(firsts.loc[chosen], by), by)
    found = dict(list(rows[rows["arm_number"].isin(chosen)].groupby("arm_number", sort=False)))
    return [make_arm(found[n], label) for n, label in zip(chosen, names, strict=True)]


def make_arm(rows: pd.DataFrame, label: str) -> Arm:
    """Make one arm of its rows."""
    first = rows.iloc[0]
    scores = rows.groupby("seed", dropna=False)["score"].mean()
    return Arm(
        key=str(first["arm_key"]),
        label=label,
        model=str(first["model"]),
        baseline=str(first["baseline"]),
        match=str(first["match"]),
        match_budget=known(first["match_budget"]),
        rows=rows,
        score=statistics.interval(scores),
        deviation=float(scores.std(ddof=1)) if len(scores) > 1 else None,
        interquartile_mean=statistics.interquartile_mean(scores),
        validation=known(rows["val_score"].mean()),
        skill=None,
        parameters=whole(median(rows, "parameters")),
        encoder_parameters=whole(median(rows, "encoder_parameters")),
        train_seconds=median(rows, "train_seconds"),
        latency_ms=median(rows, "latency_ms_p50"),
        memory_mib=median(rows, "peak_memory_mib"),
        rss_mib=median(rows, "peak_rss_mib"),
        kernel=" and ".join(known_texts(rows, "kernel")),
        precision=" and ".join(known_texts(rows, "precision")),
        utilisation=median(rows, "model_flops_utilisation"),
        trials=whole(known(first["trials"])),
    )


def median(rows: pd.DataFrame, column: str) -> float | None:
    """Median of what is known of a column."""
    values = rows[column].to_numpy(dtype="float64")
    values = values[np.isfinite(values)]
    return float(np.median(values)) if len(values) else None


def known(value: Any) -> float | None:
    """A number that is one."""
    return float(value) if np.isfinite(value) else None


def known_texts(rows: pd.DataFrame, column: str) -> list[str]:
    """The values of a text column that are known."""
    return sorted(set(rows[column].astype("str")) - {""})


def whole(value: float | None) -> int | None:
    """A whole number."""
    return None if value is None else round(value)


def with_skill(arms: list[Arm], naive: Arm, metric: str, higher_is_better: bool) -> list[Arm]:
    """Give arms their skill over the naive one: 0 is no better than it, 1 is perfect."""
    perfect = known(naive.rows["perfect_score"].iloc[0])
    if perfect is None:
        perfect = default_perfect(metric, higher_is_better)
    span = naive.score.mean - perfect
    if span == 0:
        return arms
    return [
        dataclasses.replace(arm, skill=(naive.score.mean - arm.score.mean) / span + 0.0)  # no -0
        for arm in arms
    ]


def machine_text(rows: pd.DataFrame) -> pd.Series[Any]:
    """Where each row's run ran: processor or accelerator, threads, PyTorch."""
    threads = rows["threads"].map(lambda count: f"{text(count) or 'unknown'} threads")
    torch = "PyTorch " + rows["torch_version"].astype("str").replace("", "unknown")
    device = rows["device_name"].astype("str").replace("", "unknown device")
    return device + ", " + threads.astype("str") + ", " + torch


def is_shared(rows: pd.DataFrame) -> pd.Series[bool]:
    """Whether each row's run had other runs beside it."""
    return rows["concurrent_runs"] > 1


def is_busy(rows: pd.DataFrame) -> pd.Series[bool]:
    """Whether other work took the processors from each row's run."""
    return rows["device"].isin(["cpu", ""]) & (rows["load_average"] > rows["threads"] + BUSY)


def with_doubts(arms: list[Arm]) -> list[Arm]:
    """Say of which arms the times count for nothing: runs were not alone, or were elsewhere."""
    rows = pd.concat([arm.rows[TIMING] for arm in arms], keys=range(len(arms)), names=["arm"])
    rows = rows.assign(shared=is_shared(rows), busy=is_busy(rows), machine=machine_text(rows))
    usual = str(rows["machine"].mode().iloc[0])
    rows = rows.assign(elsewhere=rows["machine"] != usual)
    facts = rows.groupby("arm").agg(
        shared=("shared", "any"),
        runs=("concurrent_runs", "max"),
        busy=("busy", "any"),
        load=("load_average", "max"),
    )
    elsewhere = rows[rows["elsewhere"]].groupby("arm")["machine"].first()
    doubts = [
        doubt(fact, str(elsewhere.get(place, "")), usual)
        for place, fact in enumerate(facts.to_dict("records"))
    ]
    return [
        dataclasses.replace(arm, doubtful_times=text)
        for arm, text in zip(arms, doubts, strict=True)
    ]


def doubt(fact: Mapping[Hashable, Any], elsewhere: str, usual: str) -> str:
    """Why the times of an arm count for nothing, or nothing if they do."""
    if fact["shared"]:
        return f"up to {fact['runs']:.0f} runs at once on the machine"
    if fact["busy"]:
        return f"other work on the machine, load up to {fact['load']:.1f}"
    return f"measured on {elsewhere}, others on {usual}" if elsewhere else ""


def budget_text(arms: list[Arm]) -> str:
    """Say what the nets of a group were given alike; mixed budgets are named as such."""
    nets = [arm for arm in arms if not arm.baseline]
    kinds: dict[str, list[str]] = {}
    for arm in nets:
        kinds.setdefault(one_budget(arm.match, arm.match_budget), []).append(arm.label)
    if not kinds:
        return "baselines only"
    if len(kinds) > 1:
        parts = [f"{kind} ({listed(names)})" for kind, names in kinds.items()]
        return f"MIXED, not comparable with each other: {'; '.join(parts)}"
    if nets[0].match != "hidden":
        return next(iter(kinds))
    is_said = any(arm.rows["says_match"].any() for arm in nets)
    sizes = sorted({size for arm in nets for size in arm.rows["hidden_size"].dropna().unique()})
    if not is_said and not sizes:
        return "not said by the table"
    if len(sizes) > 1:
        return f"none alike: hidden sizes {sizes[0]:.0f} to {sizes[-1]:.0f}{spread(nets)}"
    alike = f"hidden size {sizes[0]:.0f}" if sizes else "hidden size"
    return f"{'' if is_said else 'not said by the table; '}{alike}{spread(nets)}"


def one_budget(match: str, budget: float | None) -> str:
    """A kind of budget in words."""
    size = "unknown" if budget is None else f"{budget:,.6g}" if budget < 1e4 else f"{budget:,.0f}"
    return {
        "hidden": "hidden size",
        "parameters": f"{size} encoder parameters",
        "flops": f"{size} FLOPs per token",
        "time": f"{size} s of training",
    }.get(match, f"{match} {size}")


def spread(nets: list[Arm]) -> str:
    """Say from where to where the encoders' parameters go."""
    counts = sorted(arm.encoder_parameters for arm in nets if arm.encoder_parameters is not None)
    if not counts or counts[0] == counts[-1]:
        return ""
    return f" (encoder parameters {counts[0]:,} to {counts[-1]:,})"
