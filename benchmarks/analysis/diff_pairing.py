"""Arms that occur in two tables, paired by the column `arm` or by equal settings."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import pandas as pd

from benchmarks.analysis.arm_differences import Conditions, conditions_of
from benchmarks.analysis.arms import failure_counts, is_busy, is_shared, machine_text, undertrained
from benchmarks.analysis.labels import labels, without_kernel
from benchmarks.analysis.row_filter import (
    BEST_OF,
    SETTINGS,
    arm_numbers,
    with_arm_keys,
    with_default,
    with_known_cells,
)
from benchmarks.analysis.seed_tests import Scores
from benchmarks.analysis.selection import Options, pooled

TASK_AND_METRIC = ["task", "metric"]


@dataclass(frozen=True)
class Side:
    """An arm in one of the two tables.

    `completed` is the number of runs with a score, `doubt` why its times are unreliable, `sources`
    the number of known versions of the source code. `perfect_score` is of `own_metric`.
    """

    group: int
    completed: int
    conditions: Conditions
    model_version: float
    scores: Scores
    doubt: str
    machine: str
    kernel: str
    precision: str
    sources: int
    undertrained: int
    own_metric: str
    perfect_score: float


@dataclass(frozen=True)
class ArmPair:
    """An arm in tables A and B, or in one of them.

    `by_settings` is True if the column `arm` differs and only the settings are equal. `failures`
    counts the failed runs in A and in B by status, also where no run was completed.
    """

    task: str
    metric: str
    higher_is_better: bool
    label: str
    a: Side | None
    b: Side | None
    by_settings: bool
    failures: tuple[dict[str, int], dict[str, int]]


def number_arms(frame: pd.DataFrame, options: Options) -> pd.DataFrame:
    """Assign numbers to groups and arms over both tables."""
    tuned = frame["arm_key"].astype("str")
    frame = with_arm_keys(with_known_cells(frame))
    keys = frame["arm_key"].astype("str").where(~tuned.str.startswith(BEST_OF), tuned)
    frame = frame.assign(arm_key=keys)
    if options.by:
        return pooled(frame, options.by)
    return frame.assign(arm_number=arm_numbers(frame))


def paired_arms(frame: pd.DataFrame, options: Options, failed: pd.DataFrame) -> Iterator[ArmPair]:
    """Pair the arms of two tables, also those of which no run was completed.

    An arm that only one table contains is paired with the only such arm of the other table that
    has the same model and settings: its data or version differ, or rnnbench distinguishes arms by
    a new setting. `frame` has the numbered rows of both tables with `side` 0 and 1, `failed` those
    of failed runs.
    """
    gone = failed[~failed["arm_number"].isin(frame["arm_number"])].drop_duplicates("arm_number")
    firsts = frame.drop_duplicates(["arm_number", "side"])
    firsts = firsts.assign(settings=settings_numbers(firsts, options))
    is_paired = firsts["arm_number"].duplicated(keep=False)
    single = firsts.loc[~is_paired, ["arm_number", "side", "settings"]]
    only = [single[single["side"] == side] for side in (0, 1)]
    unique = [rows[~rows["settings"].duplicated(keep=False)] for rows in only]
    matches = unique[0].merge(unique[1], on="settings", suffixes=("_a", "_b"))
    by_settings = list(zip(matches["arm_number_a"], matches["arm_number_b"], strict=True))
    matched = [{a for a, _ in by_settings}, {b for _, b in by_settings}]
    pairs: list[tuple[int | None, int | None]] = [
        *((number, number) for number in firsts.loc[is_paired, "arm_number"].unique()),
        *by_settings,
        *((number, None) for number in only[0]["arm_number"] if number not in matched[0]),
        *((None, number) for number in only[1]["arm_number"] if number not in matched[1]),
    ]
    places = [(b, 1) if a is None else (a, 0) for a, b in pairs]
    rows = firsts.set_index(["arm_number", "side"]).loc[places].reset_index()
    if len(gone):
        rows = pd.concat([rows, gone], ignore_index=True)
        pairs += [(None, None)] * len(gone)
    names: dict[int, str] = {}  # distinct within their task and metric
    for _, part in rows.groupby(TASK_AND_METRIC, observed=True, sort=False):
        names.update(zip(part.index.tolist(), labels(part, options.by), strict=True))
    failures = [failure_counts(failed[failed["side"] == side]) for side in (0, 1)]
    sides, known = sides_of(frame), set(by_settings)
    columns = (*TASK_AND_METRIC, "higher_is_better", "arm_number")
    facts = zip(*(rows[name] for name in columns), strict=True)
    for place, ((a, b), fact) in enumerate(zip(pairs, facts, strict=True)):
        task, metric, higher, number = fact
        yield ArmPair(
            task=str(task),
            metric=str(metric),
            higher_is_better=bool(higher),
            label=names[place],
            a=None if a is None else sides[a, 0],
            b=None if b is None else sides[b, 1],
            by_settings=(a, b) in known,
            failures=(failures[0].get(number, {}), failures[1].get(number if b is None else b, {})),
        )


def settings_numbers(firsts: pd.DataFrame, options: Options) -> pd.Series[int]:
    """Return the same number for arms with the same model and settings, whatever the kernel."""
    columns = [*TASK_AND_METRIC, "match", "match_budget", "baseline"]
    if options.by:
        is_net = firsts["baseline"] == ""
        firsts = firsts.assign(baseline_model=firsts["model"].astype("str").mask(is_net, ""))
        columns += [*options.by, "baseline_model"]
    else:
        firsts = firsts.assign(words=firsts["words"].map(without_kernel))
        columns += ["model", *SETTINGS[2:], "dtype_code", "words", "study"]
    columns = list(dict.fromkeys(columns))
    return firsts.groupby(columns, observed=True, dropna=False, sort=False).ngroup()


def facts_of(frame: pd.DataFrame, place: list[str]) -> pd.DataFrame:
    """Return the columns of a side that are equal in its rows, or counts of them."""
    facts = frame.assign(
        shared=is_shared(frame),
        busy=is_busy(frame),
        machine=machine_text(frame),
        kernel=with_default(frame, "kernel", "torch"),
        early=undertrained(frame),
        source=frame["source_sha256"].astype("str").mask(frame["source_sha256"] == ""),
    ).groupby(place, sort=True)
    return facts.agg(
        group=("group", "first"),
        completed=("group", "size"),
        version=("model_version", "first"),
        shared=("shared", "any"),
        busy=("busy", "any"),
        machine=("machine", "first"),
        machines=("machine", "nunique"),
        baseline=("baseline", "first"),
        kernel=("kernel", "first"),
        kernels=("kernel", "nunique"),
        precision=("precision", "first"),
        precisions=("precision", "nunique"),
        sources=("source", "nunique"),
        early=("early", "sum"),
        own_metric=("own_metric", "first"),
        perfect=("perfect_score", "first"),
    )


def sides_of(frame: pd.DataFrame) -> dict[tuple[int, int], Side]:
    """Return the sides of all arms by number and table; vectorised for thousands of arms."""
    place = ["arm_number", "side"]
    known = facts_of(frame, place)
    by = frame.groupby([*place, "replicate"], sort=True)
    values, first_seeds = by["score"].mean().to_numpy(), by["seed"].first()
    has_seed, seeds = first_seeds.notna().to_numpy(), first_seeds.fillna(0).to_numpy("int64")
    counts = by.size().groupby(place, sort=True).size().to_numpy()
    ends = np.cumsum(counts)
    runs = frame.groupby(place, sort=True)["score"]
    pooled_runs = {key: each.to_numpy() for key, each in runs} if "single" in frame else {}
    conditions = conditions_of(frame, place)
    sides: dict[tuple[int, int], Side] = {}
    rows = zip(known.index.tolist(), known.to_dict("records"), ends, counts, strict=True)
    for (number, side), row, end, count in rows:
        own = slice(end - count, end)
        own_seeds = seeds[own][has_seed[own]]
        doubt = "other runs on the machine" if row["shared"] else "other processes on the machine"
        sides[number, side] = Side(
            group=row["group"],
            completed=row["completed"],
            conditions=conditions[number, side],
            model_version=row["version"],
            scores=Scores(
                own_seeds,
                values[own],
                is_deterministic=bool(row["baseline"]) and not len(own_seeds),
                pooled=pooled_runs.get((number, side)),
            ),
            doubt=doubt if row["shared"] or row["busy"] else "",
            machine=row["machine"] + (" and others" if row["machines"] > 1 else ""),
            kernel=row["kernel"] + (" and others" if row["kernels"] > 1 else ""),
            precision=row["precision"] + (" and others" if row["precisions"] > 1 else ""),
            sources=row["sources"],
            undertrained=row["early"],
            own_metric=str(row["own_metric"]),
            perfect_score=row["perfect"],
        )
    return sides
