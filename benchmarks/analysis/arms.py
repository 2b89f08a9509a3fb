"""Arms from rows: means, intervals, costs, and the reliability of their times."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Hashable, Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from benchmarks.analysis.comparison import Arm, FailedArm
from benchmarks.analysis.formatting import listed, rounded
from benchmarks.analysis.labels import cell_text, labels
from benchmarks.analysis.statistics.common import Vector, unit_of
from benchmarks.analysis.statistics.seeds import deviation, interquartile_mean, interval
from benchmarks.results.undertrained import LIMITS
from benchmarks.system.load import BUSY_LOAD

MOST_ARMS = 500  # number of arms of a group that are read and tested, the best first
TIMING = ("concurrent_runs", "load_average", "threads", "device", "device_name", "torch_version")


def make_arms(
    rows: pd.DataFrame, failed: pd.DataFrame, by: Sequence[str], higher_is_better: bool
) -> tuple[list[Arm], list[FailedArm]]:
    """Return the arms of a group, best first, without skill and marks, and those without a score.

    `failed` has the rows of failed runs; `by` is as in `labels`.
    """
    values = rows.groupby(["arm_number", "replicate"], sort=False)["score"].mean()
    values /= unit_of(values.to_numpy())
    means = values.groupby("arm_number", sort=False).mean()
    order = means.sort_values(ascending=not higher_is_better, kind="stable").index
    firsts = rows.drop_duplicates("arm_number").set_index("arm_number")
    is_baseline = (firsts["baseline"] != "").loc[order]
    chosen = order[(np.arange(len(order)) < MOST_ARMS) | is_baseline.to_numpy()]
    never = failed[~failed["arm_number"].isin(order)].drop_duplicates("arm_number")
    shown = [firsts.loc[chosen].reset_index(), *([never] if len(never) else [])]
    names = labels(pd.concat(shown, ignore_index=True), by)
    found = dict(list(rows[rows["arm_number"].isin(chosen)].groupby("arm_number", sort=False)))
    counts = failure_counts(failed)
    arms = [
        make_arm(found[n], label, counts.get(n, {}))
        for n, label in zip(chosen, names, strict=False)
    ]
    places = zip(names[len(arms) :], never.to_dict("records"), strict=True)
    return arms, [
        FailedArm(label, str(row["model"]), str(row["baseline"]), counts[row["arm_number"]])
        for label, row in places
    ]


def failure_counts(failed: pd.DataFrame) -> dict[int, dict[str, int]]:
    """Return the number of failed runs by arm and failure."""
    counts: dict[int, dict[str, int]] = {}
    for number, failure in zip(failed["arm_number"], failed["failure"], strict=True):
        found = counts.setdefault(number, {})
        found[failure] = found.get(failure, 0) + 1
    return counts


def make_arm(rows: pd.DataFrame, label: str, failures: dict[str, int]) -> Arm:
    """Return the arm of these rows."""
    first = rows[["arm_key", "model", "baseline", "match", "match_budget", "trials"]].iloc[0]
    scores = rows.groupby("replicate")["score"].mean()
    return Arm(
        key=str(first["arm_key"]),
        label=label,
        model=str(first["model"]),
        baseline=str(first["baseline"]),
        match=str(first["match"]),
        match_budget=finite(first["match_budget"]),
        rows=rows,
        score=interval(scores),
        deviation=deviation(scores) if len(scores) > 1 else None,
        interquartile_mean=interquartile_mean(scores),
        validation=mean(rows, "val_score"),
        skill=None,
        parameters=whole(median(rows, "parameters")),
        encoder_parameters=whole(median(rows, "encoder_parameters")),
        train_seconds=median(rows, "train_seconds"),
        latency_ms=median(rows, "latency_ms_p50"),
        memory_mib=median(rows, "peak_memory_mib"),
        rss_mib=median(rows, "peak_rss_mib"),
        kernel=joined_values(rows, "kernel"),
        precision=joined_values(rows, "precision"),
        utilisation=median(rows, "model_flops_utilisation"),
        trials=whole(finite(first["trials"])),
        failures=failures,
        undertrained=int(undertrained(rows).sum()),
    )


def undertrained(rows: pd.DataFrame) -> pd.Series[bool]:
    """Return True for undertrained runs; older tables omit the column or the rule on time."""
    is_last = (rows["best_epoch"] == rows["epochs"]) & rows["stopped_by"].isin([*LIMITS])
    stored = rows["undertrained"]
    is_early = is_cut_off(rows) | (stored == 1).where(stored.notna(), is_last)
    return (rows["baseline"] == "") & is_early


def is_cut_off(rows: pd.DataFrame) -> pd.Series[bool]:
    """Return True for runs that time ended before their schedule."""
    return (rows["stopped_by"] == "seconds") & (rows["match"] != "time")


def mean(rows: pd.DataFrame, column: str) -> float | None:
    """Return the mean of the finite values of a column."""
    values = finite_values(rows, column)
    return interval(values).mean if len(values) else None


def median(rows: pd.DataFrame, column: str) -> float | None:
    """Return the median of the finite values of a column."""
    values = finite_values(rows, column)
    unit = unit_of(values) if len(values) else 1.0
    return float(np.median(values / unit)) * unit if len(values) else None


def finite_values(rows: pd.DataFrame, column: str) -> Vector:
    """Return the finite values of a column."""
    values: Vector = rows[column].to_numpy(dtype="float64")
    return values[np.isfinite(values)]


def finite(value: Any) -> float | None:
    """Return a finite number, or None."""
    return float(value) if np.isfinite(value) else None


def joined_values(rows: pd.DataFrame, column: str) -> str:
    """Return the distinct non-empty values of a text column."""
    return " and ".join(sorted(set(rows[column].astype("str")) - {""}))


def whole(value: float | None) -> int | None:
    """Return a rounded number."""
    return None if value is None else round(value)


def with_skill(arms: list[Arm], naive: Arm, metric: str, higher_is_better: bool) -> list[Arm]:
    """Add the skill: 0 for the score of the naive arm, 1 for a perfect score."""
    perfect = finite(naive.rows["perfect_score"].iloc[0])
    if perfect is None:
        perfect = {"perplexity": 1.0}.get(metric, 1.0 if higher_is_better else 0.0)
    span = naive.score.mean - perfect
    if span == 0:
        return arms
    is_seasonal = metric == "rmse"
    skills = ((naive.score.mean - arm.score.mean) / span + 0.0 for arm in arms)  # + 0.0: no -0
    return [
        dataclasses.replace(
            arm, skill=finite(skill), seasonal_skill=seasonal_skill(arm) if is_seasonal else None
        )
        for arm, skill in zip(arms, skills, strict=True)
    ]


def seasonal_skill(arm: Arm) -> float | None:
    """Return the skill of an arm over the value one season before; None without a season."""
    ratio = mean(arm.rows, "rmse_over_seasonal_naive")
    return None if ratio is None else 1 - ratio


def machine_text(rows: pd.DataFrame) -> pd.Series[Any]:
    """Return each row's device, threads and PyTorch version."""
    threads = rows["threads"].map(lambda count: f"{cell_text(count) or 'unknown'} threads")
    torch = "PyTorch " + rows["torch_version"].astype("str").replace("", "unknown")
    device = rows["device_name"].astype("str").replace("", "unknown device")
    return device + ", " + threads.astype("str") + ", " + torch


def is_shared(rows: pd.DataFrame) -> pd.Series[bool]:
    """Return True for rows of runs with other runs on the same machine."""
    return rows["concurrent_runs"] > 1


def is_busy(rows: pd.DataFrame) -> pd.Series[bool]:
    """Return True for rows of CPU runs with other processes on the same machine."""
    return rows["device"].isin(["cpu", ""]) & (rows["load_average"] > rows["threads"] + BUSY_LOAD)


def with_timing_doubts(arms: list[Arm]) -> list[Arm]:
    """Add the reason why times are unreliable: other load, or a different machine."""
    rows = pd.concat([arm.rows[[*TIMING]] for arm in arms], keys=range(len(arms)), names=["arm"])
    rows = rows.assign(shared=is_shared(rows), busy=is_busy(rows), machine=machine_text(rows))
    usual = str(rows["machine"].mode().iloc[0])
    facts = rows.groupby("arm").agg(
        shared=("shared", "any"),
        runs=("concurrent_runs", "max"),
        busy=("busy", "any"),
        load=("load_average", "max"),
    )
    elsewhere = rows[rows["machine"] != usual].groupby("arm")["machine"].first()
    result = []
    for place, (arm, fact) in enumerate(zip(arms, facts.to_dict("records"), strict=True)):
        doubt = timing_doubt(fact, str(elsewhere.get(place, "")), usual)
        result.append(dataclasses.replace(arm, doubtful_times=doubt))
    return result


def timing_doubt(fact: Mapping[Hashable, Any], elsewhere: str, usual: str) -> str:
    """Return why the times of an arm are unreliable; empty if they are reliable."""
    if fact["shared"]:
        return f"up to {cell_text(fact['runs'])} concurrent runs on the machine"
    if fact["busy"]:
        return f"other processes on the machine, load up to {rounded(fact['load'], 1)}"
    return f"measured on {elsewhere}, others on {usual}" if elsewhere else ""


def solved_sizes(nets: list[Arm]) -> str:
    """Return the hidden sizes that a budget gave; empty for a time, or if none is known."""
    if nets[0].match == "time":
        return ""
    sizes = {arm.label: arm.rows["hidden_size"].dropna().unique() for arm in nets}
    texts = [f"{name} {listed([*map(cell_text, ns)])}" for name, ns in sizes.items() if len(ns)]
    return f", hidden size: {listed(texts)}" if texts else ""


def budget_text(arms: list[Arm]) -> str:
    """Return the common budget of the nets of a group; mixed budgets are named as such."""
    nets = [arm for arm in arms if not arm.baseline]
    kinds: dict[str, list[str]] = {}
    for arm in nets:
        kinds.setdefault(budget_name(arm.match, arm.match_budget), []).append(arm.label)
    if not kinds:
        return "baselines only"
    if len(kinds) > 1:
        parts = [f"{kind} ({listed(names)})" for kind, names in kinds.items()]
        return f"MIXED, not comparable with each other: {'; '.join(parts)}"
    if nets[0].match != "hidden":
        return next(iter(kinds)) + solved_sizes(nets)
    unstated = (
        "" if any(arm.rows["says_match"].any() for arm in nets) else "not stated by the table"
    )
    sizes = sorted({size for arm in nets for size in arm.rows["hidden_size"].dropna().unique()})
    if len(sizes) > 1:
        ends = f"{cell_text(sizes[0])} to {cell_text(sizes[-1])}"
        return f"not matched: hidden sizes {ends}{parameter_range(nets)}"
    if unstated and not sizes:
        return unstated
    size = f"hidden size {cell_text(sizes[0])}" if sizes else "hidden size"
    return f"{unstated and f'{unstated}; '}{size}{parameter_range(nets)}"


def recipe_text(arms: list[Arm]) -> str:
    """Return the recipe of a group's nets, to be appended; empty if it is the default or mixed."""
    recipes = {name for arm in arms if not arm.baseline for name in arm.rows["recipe"].unique()}
    return f"; recipe {recipes.pop()}" if len(recipes) == 1 and recipes != {"default"} else ""


def limits_text(arms: list[Arm]) -> str:
    """Return the limits of time, and of given epochs and steps, that ended nets, to be appended.

    Those of the recipe are part of its training.
    """
    nets = [arm.rows for arm in arms if not arm.baseline]
    rows = pd.concat(nets) if nets else pd.DataFrame(columns=["stopped_by", "match", "overrides"])
    overrides, texts = rows["overrides"].astype("str"), []
    for end in LIMITS:
        pattern = rf"(?:^|\s)\+*({re.escape(LIMITS[end])}=\S+)"
        given = overrides.str.extract(pattern, expand=False)
        by_given = (rows["stopped_by"] == end) & given.notna()
        is_ended = is_cut_off(rows) if end == "seconds" else by_given
        name = " and ".join(sorted({*given[is_ended].fillna(LIMITS[end])}))
        if is_ended.any():
            texts.append(f"; {name} ended {int(is_ended.sum()):,} of {len(rows):,} runs")
    return "".join(texts)


def budget_name(match: str, budget: float | None) -> str:
    """Return the name of a budget with its size and unit."""
    size = "unknown" if budget is None else f"{budget:,.6g}" if budget < 1e4 else rounded(budget, 0)
    return {
        "hidden": "hidden size",
        "parameters": f"{size} encoder parameters",
        "flops": f"{size} FLOPs per token",
        "time": f"{size} s of training",
    }.get(match, f"{match} {size}")


def parameter_range(nets: list[Arm]) -> str:
    """Return the range of the encoders' parameters in parentheses; empty if they are equal."""
    counts = sorted(arm.encoder_parameters for arm in nets if arm.encoder_parameters is not None)
    if not counts or counts[0] == counts[-1]:
        return ""
    return f" (encoder parameters {rounded(counts[0], 0)} to {rounded(counts[-1], 0)})"
