"""Arms found in two tables: by their column `arm`, else by what they are alike in."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import pandas as pd

from benchmarks.analysis import statistics
from benchmarks.analysis.arms import is_busy, is_shared, machine_text
from benchmarks.analysis.failing import have_failed
from benchmarks.analysis.labels import but_kernel, labels, records
from benchmarks.analysis.row_filter import (
    BEST_OF,
    SETTINGS,
    arm_keys,
    arm_numbers,
    group_numbers,
    said_or,
)
from benchmarks.analysis.seed_tests import Scores
from benchmarks.analysis.selection import Options, pooled
from benchmarks.analysis.statistics import Interval

QUESTION = ["task", "metric"]


@dataclass(frozen=True)
class Side:
    """An arm in one of the two tables.

    Attributes:
        group: of comparable rows, over both tables.
        doubt: why its times count for nothing, or empty.
        machine: where its runs ran; several, if they ran on several.
        kernel, precision: what computed it, and with what digits; empty for a baseline.
    """

    group: int
    model_version: float
    scores: Scores
    doubt: str
    machine: str
    kernel: str
    precision: str

    @property
    def interval(self) -> Interval:
        """Its mean and interval."""
        return statistics.interval(self.scores.values)


@dataclass(frozen=True)
class Both:
    """An arm of two tables, A and B.

    Attributes:
        a, b: what it is there; None where it is not.
        is_guess: only its settings say that both are the same arm.
        has_failed: it is in A alone, as its runs in B failed.
    """

    task: str
    metric: str
    higher_is_better: bool
    label: str
    a: Side | None
    b: Side | None
    is_guess: bool
    has_failed: bool


def numbered(frame: pd.DataFrame, options: Options) -> pd.DataFrame:
    """Number groups and arms over both tables, so that equal numbers are comparable."""
    frame = frame.assign(group=group_numbers(frame))
    tuned = frame["arm_key"].astype("str")
    keys = arm_keys(frame).astype("str").where(~tuned.str.startswith(BEST_OF), tuned)
    frame = frame.assign(arm_key=keys)
    if options.by:
        return pooled(frame, options.by)
    return frame.assign(arm_number=arm_numbers(frame))


def both_sides(frame: pd.DataFrame, options: Options, failed: pd.DataFrame) -> Iterator[Both]:
    """Find each arm in both tables.

    One that is in one alone is set beside one that is in the other alone and is alike in model and
    settings, if there is no choice: of other data or versions, or of a version of rnnbench that
    tells arms apart by something new.

    Args:
        frame: rows of both that count, numbered.
        options: of the comparison.
        failed: rows of B of runs that failed.
    """
    sides = sides_of(frame)
    firsts = frame.drop_duplicates(["arm_number", "side"]).set_index(["arm_number", "side"])
    likeness = alike(firsts.reset_index(), options).set_axis(firsts.index)
    numbers = firsts.index.get_level_values(0).unique()
    places = [(n, n) for n in numbers if (n, 0) in sides and (n, 1) in sides]
    single = likeness[[sum((n, s) in sides for s in (0, 1)) == 1 for n, _ in likeness.index]]
    left = [single[single.index.get_level_values("side") == side] for side in (0, 1)]
    partners = [each[~each.duplicated(keep=False)].reset_index() for each in left]
    guesses = partners[0].merge(partners[1], on="likeness", suffixes=("_a", "_b"))
    guessed = list(zip(guesses["arm_number_a"], guesses["arm_number_b"], strict=True))
    taken = [{a for a, _ in guessed}, {b for _, b in guessed}]
    chosen: list[tuple[int | None, int | None]] = [*places, *guessed]
    chosen += [(n, None) for n, _ in left[0].index if n not in taken[0]]
    chosen += [(None, n) for n, _ in left[1].index if n not in taken[1]]
    rows = firsts.loc[[(b, 1) if a is None else (a, 0) for a, b in chosen]].reset_index()
    names = named(rows, options)
    failures = have_failed(rows, failed)
    known = set(guessed)
    questions = zip(*(rows[name] for name in (*QUESTION, "higher_is_better")), strict=True)
    for place, ((a, b), (task, metric, higher)) in enumerate(zip(chosen, questions, strict=True)):
        yield Both(
            task=str(task),
            metric=str(metric),
            higher_is_better=bool(higher),
            label=names[place],
            a=None if a is None else sides[a, 0],
            b=None if b is None else sides[b, 1],
            is_guess=(a, b) in known,
            has_failed=b is None and failures[place],
        )


def named(rows: pd.DataFrame, options: Options) -> dict[int, str]:
    """Label arms, one row each, within their task and metric."""
    names: dict[int, str] = {}
    for _, part in rows.groupby(QUESTION, observed=True, sort=False):
        names.update(
            zip(part.index.tolist(), labels(records(part, options.by), options.by), strict=True)
        )
    return names


def alike(firsts: pd.DataFrame, options: Options) -> pd.Series[int]:
    """Number the arms so that those are equal that are alike in model and settings.

    The kernel asked for is none of them: an arm by another kernel is the arm it was.
    """
    columns = [*QUESTION, "match", "match_budget", "baseline"]
    if options.by:
        is_net = firsts["baseline"] == ""
        firsts = firsts.assign(baseline_model=firsts["model"].astype("str").mask(is_net, ""))
        columns += [*options.by, "baseline_model"]
    else:
        firsts = firsts.assign(overrides=firsts["overrides"].astype("str").map(but_kernel))
        columns += ["model", *SETTINGS[2:], "overrides", "study"]
    columns = list(dict.fromkeys(columns))
    grouped = firsts.groupby(columns, observed=True, dropna=False, sort=False)
    return grouped.ngroup().rename("likeness")


def sides_of(frame: pd.DataFrame) -> dict[tuple[int, int], Side]:
    """Make the sides of all arms, by number and table; vectorised, as they may be thousands."""
    place = ["arm_number", "side"]
    facts = frame.assign(
        shared=is_shared(frame),
        busy=is_busy(frame),
        machine=machine_text(frame),
        kernel=said_or(frame, "kernel", "torch"),
    ).groupby(place, sort=True)
    known = facts.agg(
        group=("group", "first"),
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
    )
    means = frame.groupby([*place, "seed"], dropna=False, sort=True)["score"].mean()
    seeds, values = means.index.get_level_values("seed").to_numpy("float64"), means.to_numpy()
    counts = means.groupby(place, sort=True).size().to_numpy()
    ends = np.cumsum(counts)
    sides: dict[tuple[int, int], Side] = {}
    facts_of = zip(known.index.tolist(), known.to_dict("records"), ends, counts, strict=True)
    for (number, side), row, end, count in facts_of:
        mine = slice(end - count, end)
        fixed = bool(row["baseline"]) and bool(np.isnan(seeds[mine]).all())
        doubt = "runs shared the machine" if row["shared"] else "other work on the machine"
        sides[number, side] = Side(
            group=row["group"],
            model_version=row["version"],
            scores=Scores(seeds[mine], values[mine], fixed),
            doubt=doubt if row["shared"] or row["busy"] else "",
            machine=row["machine"] + (" and others" if row["machines"] > 1 else ""),
            kernel=row["kernel"] + (" and others" if row["kernels"] > 1 else ""),
            precision=row["precision"] + (" and others" if row["precisions"] > 1 else ""),
        )
    return sides
