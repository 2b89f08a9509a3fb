"""Notes on runs that other code has computed, or that were stopped too early."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np
import pandas as pd

from benchmarks.analysis.arms import is_busy, is_cut_off, is_shared, undertrained
from benchmarks.analysis.comparison import Arm
from benchmarks.analysis.diff_pairing import ArmPair, Side
from benchmarks.analysis.formatting import listed
from benchmarks.analysis.metrics import LOWER, SHARES, plain_name
from benchmarks.results.undertrained import advice

ROUNDING = 1e-6  # largest excess of a share over 1 that is rounding
FAR = 10  # factor between shares and per cents of similar arms


def source_notes(arms: Sequence[Arm]) -> list[str]:
    """Return notes on different source code within an arm, and of task and training among arms."""
    mixed: list[str] = []
    by_shared: dict[str, list[str]] = {}
    for arm in arms:
        found = arm.rows["source_sha256"].astype("str")
        counts = found[found != ""].value_counts()
        if len(counts) > 1:
            mixed.append(f"{arm.label} ({' + '.join(map(str, counts))} runs)")
        elif len(counts):
            by_shared.setdefault(str(counts.index[0]).rpartition("-")[2], []).append(arm.label)
    notes = [mixed_text(mixed)] if mixed else []
    if len(by_shared) > 1:
        parts = [f"{source} of {listed(labels)}" for source, labels in by_shared.items()]
        notes.append(
            f"the code of task or training differs between arms: {listed(parts)} (source_sha256)"
        )
    return notes


def mixed_text(labels: Sequence[str]) -> str:
    """Return a note on arms whose runs come from different source code."""
    return (
        f"the code has changed between the runs of {listed(labels)} (source_sha256): their "
        f"scores may differ by more than the seed; resume=never runs a sweep again"
    )


def undertrained_notes(arms: Sequence[Arm]) -> list[str]:
    """Return a note on undertrained networks, with the settings to raise."""
    found = [arm for arm in arms if arm.undertrained]
    if not found:
        return []
    parts = [f"{arm.label} in {arm.undertrained} of {arm.completed} runs" for arm in found]
    rows = pd.concat([arm.rows[undertrained(arm.rows)] for arm in found])
    ends = rows[["stopped_by", "match"]].astype("str").itertuples(index=False, name=None)
    notes = [f"undertrained: {listed(parts)}; {advice(ends)} of all networks"]
    cut = [arm.label for arm in found if is_cut_off(arm.rows).any()]
    if cut:
        notes.append(
            f"train.max_seconds ended runs of {listed(cut)}: their scores depend on the speed and "
            f"load of the machine"
        )
    return notes


def load_notes(arms: Sequence[Arm]) -> list[str]:
    """Return a note on networks trained for an equal time while other processes took part of it."""
    timed = [arm for arm in arms if arm.match == "time"]
    slowed = [arm.label for arm in timed if (is_shared(arm.rows) | is_busy(arm.rows)).any()]
    if not slowed:
        return []
    return [
        f"match=time: other processes used the machine while {listed(slowed)} trained, so their "
        f"amounts of training, and their scores, depend on that load"
    ]


def side_notes(pairs: Iterable[ArmPair]) -> list[str]:
    """Return the notes on the arms of two tables: source code, undertrained runs, per cents."""
    notes = []
    pairs = list(pairs)
    for name in "AB":
        sides = [(p, side) for p in pairs if (side := p.a if name == "A" else p.b) is not None]
        mixed = [pair.label for pair, side in sides if side.sources > 1]
        notes += [f"{name}: {mixed_text(mixed)}"] if mixed else []
        early = [
            f"{pair.label} in {side.undertrained} of {side.completed} runs"
            for pair, side in sides
            if side.undertrained
        ]
        notes += [f"{name}: undertrained: {listed(early)}"] if early else []
        beyond: dict[str, list[str]] = {}
        for pair, side in sides:
            if is_beyond_share(pair, side):
                beyond.setdefault(pair.metric, []).append(pair.label)
        notes += [f"{name}: {percent_text(metric, names)}" for metric, names in beyond.items()]
    return [*notes, *notes_between(pairs)]


def is_beyond_share(pair: ArmPair, side: Side) -> bool:
    """Return True if an arm has a mean above 1 in a metric whose perfect score is 1."""
    is_own = pair.metric == side.own_metric
    return is_above_perfect(
        float(side.scores.values.mean()),
        side.perfect_score if is_own else float("nan"),
        pair.metric,
        pair.higher_is_better,
    )


def scale_notes(arms: Sequence[Arm], metric: str) -> list[str]:
    """Return notes on scores beyond the perfect one, and on two scales in one metric."""
    above, below = [], []
    for arm in arms:
        first = arm.rows.iloc[0]
        perfect, is_higher = float(first["perfect_score"]), first["higher_is_better"] == 1
        if is_above_perfect(arm.score.mean, perfect, metric, is_higher):
            above.append(arm.label)
        if not is_higher and arm.score.mean < (0.0 if np.isnan(perfect) else perfect) - ROUNDING:
            below.append(arm.label)
    notes = [percent_text(metric, above)] if above else []
    known = any(np.isfinite(arm.rows["perfect_score"].iloc[0]) for arm in arms)
    if below and (known or plain_name(metric) in LOWER):
        notes.append(f"{metric} of {listed(below)} is below the perfect score")
    if known or plain_name(metric) in SHARES:
        return notes
    means = [
        (arm.label, arm.score.mean) for arm in arms if arm.rows["higher_is_better"].iloc[0] == 1
    ]
    return [*notes, *mixed_scale_notes(metric, means)]


def mixed_scale_notes(metric: str, scored: Sequence[tuple[str, float]]) -> list[str]:
    """Return a note on scores of which some may be shares and others per cents.

    The perfect score is not known. Only the scale of means is compared: all are positive, those up
    to 1 and those above 10 are at least a factor of 10 apart, and none is above 100.
    """
    means = [mean for _, mean in scored]
    small, large = [m for m in means if 0 < m <= 1], [m for m in means if 10 < m <= 100]
    if not small or not large or len(small) + len(large) < len(means):
        return []
    if min(large) < FAR * max(small):
        return []
    names = [label for label, mean in scored if mean in large]
    return [f"{metric} of {listed(names)} is above 10, of others up to 1: are these per cent?"]


def notes_between(pairs: Sequence[ArmPair]) -> list[str]:
    """Return the notes on two scales in two tables of a task's own metric without a known one."""
    scored: dict[tuple[str, str], list[tuple[str, float]]] = {}
    for pair in pairs:
        for name, side in (("A", pair.a), ("B", pair.b)):
            if side is None or pair.metric != side.own_metric or not pair.higher_is_better:
                continue
            if np.isnan(side.perfect_score) and plain_name(pair.metric) not in SHARES:
                each = f"{pair.label} in {name}", float(side.scores.values.mean())
                scored.setdefault((pair.task, pair.metric), []).append(each)
    return [n for (_, metric), each in scored.items() for n in mixed_scale_notes(metric, each)]


def is_above_perfect(mean: float, perfect: float, metric: str, higher_is_better: bool) -> bool:
    """Return True if a share is above 1; the perfect score may be NaN, if it is unknown."""
    is_share = perfect == 1 or (perfect != perfect and plain_name(metric) in SHARES)
    return is_share and higher_is_better and mean > 1 + ROUNDING


def percent_text(metric: str, labels: Sequence[str]) -> str:
    """Return a note on scores above 1."""
    return f"{metric} of {listed(labels)} is above the perfect score 1: are these per cent?"
