"""Where times speak of kernels: arms that use more or less of their machine's peak than others."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from benchmarks.analysis.arms import machine_text, median
from benchmarks.analysis.comparison import Arm
from benchmarks.analysis.diff_pairing import Both
from benchmarks.analysis.formatting import listed, significant
from benchmarks.analysis.labels import KERNEL, but_kernel, text
from benchmarks.analysis.row_filter import SETTINGS

FACTOR = 1.25
"""How many times as far apart as their arithmetic two arms' times may be, or as near."""

ALIKE = 1e-3
"""Part by which the arithmetic of one network differs from row to row: its numbers are rounded."""

MOST_TOLD = 3
"""Pairs of a group that are told of one by one; more are told of in one line."""

MEASURED = ("model_flops_utilisation", "peak_gflops", "tokens_per_second")

Asked = frozenset[tuple[str, ...]]
"""What the runs of an arm were asked for, but for kernel and seed."""


@dataclass(frozen=True)
class Speed:
    """How fast an arm trains.

    Attributes:
        asked: of its runs.
        runs: whose clocks it is the median of.
        utilisation: of the peak, a share.
        seconds: per token.
        flops: per token, forward.
    """

    label: str
    model: str
    kernel: str
    asked: Asked
    runs: int
    utilisation: float
    seconds: float
    flops: float

    @property
    def share(self) -> str:
        """Its part of the peak, and what computed it."""
        return f"{self.percent} % ({self.kernel})" if self.kernel else f"{self.percent} %"

    @property
    def percent(self) -> str:
        """Its part of the peak in per cent."""
        return significant(100 * self.utilisation, 2)

    def has_arithmetic_of(self, other: Speed) -> bool:
        """Whether both take the same operations per token."""
        return abs(self.flops / other.flops - 1) < ALIKE

    def is_twin_of(self, other: Speed) -> bool:
        """Whether both are the same in all that was asked but the kernel, which is another."""
        return self.kernel != other.kernel and self.asked == other.asked


SpeedPair = tuple[Speed, Speed]


def measured_rows(arm: Arm) -> pd.DataFrame:
    """The rows of an arm that say how fast it trained, and at what part of the peak."""
    values = arm.rows[list(MEASURED)].to_numpy(dtype="float64")
    known: pd.DataFrame = arm.rows[(np.isfinite(values) & (values > 0)).all(axis=1)]
    return known


def speed_of(arm: Arm) -> Speed | None:
    """An arm's speed; None where it is not known, or cannot be set against a peak."""
    rows = measured_rows(arm)
    # What the row's utilisation was made of, see docs/method.md.
    flops = rows["model_flops_utilisation"] * rows["peak_gflops"] * 1e9 / rows["tokens_per_second"]
    share, rate = (median(rows, MEASURED[place]) for place in (0, 2))
    # Its cells compute in float32, whatever the precision, and the peak is of the precision.
    is_mixed = arm.precision == "bfloat16" and arm.kernel == "fused"
    if share is None or rate is None or is_mixed:
        return None
    return Speed(
        label=arm.label,
        model=arm.model,
        kernel=arm.kernel,
        asked=asked_of(arm),
        runs=len(rows),
        utilisation=share,
        seconds=1 / rate,
        flops=float(flops.median()) / 3,
    )


def asked_of(arm: Arm) -> Asked:
    """What the runs of an arm were asked for, but for kernel and seed."""
    settings = arm.rows[["model", "model_version", *SETTINGS, "overrides"]]
    return frozenset(
        (*map(text, cells), but_kernel(str(overrides)))
        for *cells, overrides in settings.itertuples(index=False)
    )


def kernels_asked(arm: Arm) -> frozenset[str]:
    """The words by which the runs of an arm were asked for a kernel; an empty one for none."""
    return frozenset(
        next((word for word in each.split() if word.startswith(KERNEL)), "")
        for each in arm.rows["overrides"].astype("str").unique()
    )


def repeated(arms: Iterable[Arm]) -> list[list[Arm]]:
    """Sets of arms that differ in the kernel asked for, while one kernel ran on one machine."""
    nets = [arm for arm in arms if arm.kernel and not arm.baseline]
    if not any(word for arm in nets for word in kernels_asked(arm)):
        return []
    found: dict[object, list[Arm]] = {}
    for arm in nets:
        ran, machines = (frozenset(c) for c in (arm.rows["kernel"], machine_text(arm.rows)))
        if len(ran) == 1:
            found.setdefault((ran, machines, asked_of(arm)), []).append(arm)
    # Where two asked for the same kernel, they differ in what the table does not say.
    return [
        alike for alike in found.values() if len({*map(kernels_asked, alike)}) == len(alike) > 1
    ]


def without_repeated(arms: Sequence[Arm]) -> list[Arm]:
    """The arms, of those that are one thing the first."""
    again = {arm.label for alike in repeated(arms) for arm in alike[1:]}
    return [arm for arm in arms if arm.label not in again]


def speeds_by_precision(arms: Iterable[Arm]) -> list[list[Speed]]:
    """The speeds of nets, those together that may be set against each other."""
    speeds: dict[str, list[Speed]] = {}
    for arm in arms:
        speed = None if arm.baseline else speed_of(arm)
        if speed is not None:
            speeds.setdefault(arm.precision, []).append(speed)
    return list(speeds.values())


def pairs_of(arms: Iterable[Arm]) -> list[SpeedPair]:
    """All pairs of nets of one precision, measured on one machine that did nothing else."""
    certain = [arm for arm in arms if not arm.doubtful_times]
    speeds = speeds_by_precision(without_repeated(certain))
    return [pair for alike in speeds for pair in itertools.combinations(alike, 2)]


def told_pairs(pairs: Iterable[SpeedPair]) -> list[SpeedPair]:
    """The pairs whose times differ more by kernel than by arithmetic, the worst first."""
    told = [pair for pair in pairs if off_by(*pair) > FACTOR]
    return sorted(told, key=lambda pair: -off_by(*pair))


def kernel_notes(arms: Sequence[Arm]) -> list[str]:
    """Say which arms' times differ more by kernel than by arithmetic, and which was not judged."""
    pairs = pairs_of(arms)
    twins = [pair for pair in told_pairs(pairs) if pair[0].is_twin_of(pair[1])]
    others = [pair for pair in pairs if not pair[0].is_twin_of(pair[1])]
    told = told_pairs(others)
    notes = [twins_note(twins)] if twins else []
    if len(told) > MOST_TOLD:
        notes.append(summary(told, len(others)))
    else:
        notes += [pair_note(*pair) for pair in told]
    notes += one_run_notes([*twins, *told])
    return notes + doubt_notes(arms) + repeated_notes(arms) + refused_notes(arms)


def off_by(a: Speed, b: Speed) -> float:
    """By what factor, above 1, the ratio of two times is off that of the arithmetic."""
    off = (a.seconds / b.seconds) / (a.flops / b.flops)
    return max(off, 1 / off)


def twins_note(twins: Sequence[SpeedPair]) -> str:
    """Tell of arms that differ in nothing but the kernel; of each network the first pair."""
    first: dict[object, SpeedPair] = {}
    for pair in twins:
        first.setdefault(pair[0].asked, pair)
    parts: list[str] = []
    for pair in first.values():
        fast, slow = sorted(pair, key=lambda speed: speed.seconds)
        times = f"{significant(slow.seconds / fast.seconds, 2)} times as long"
        said = f"takes {times} per token" if not parts else times
        parts.append(f"{slow.label} {said} as {fast.label}")
    return f"{listed(parts)}: the same arithmetic, so the whole difference is the kernel's"


def pair_note(a: Speed, b: Speed) -> str:
    """Tell of two arms that are no twins."""
    ending = "these times speak of kernels as much as of cells"
    if a.has_arithmetic_of(b):
        less, more = sorted((a, b), key=lambda speed: speed.seconds)
        times = significant(more.seconds / less.seconds, 2)
        said = f"{more.label} takes {times} times as long per token as {less.label} for the same "
        said += "arithmetic"
        ending = "the difference is not the cell's" if a.model == b.model else ending
    else:
        less, more = sorted((a, b), key=lambda speed: speed.flops)
        times = significant(more.seconds / less.seconds, 2)
        arithmetic = significant(more.flops / less.flops, 2)
        said = f"{more.label} does {arithmetic} times the arithmetic of {less.label} in {times} "
        said += "times the time per token"
    return f"{said}, at {more.share} and {less.share} of this machine's peak: {ending}"


def summary(told: Sequence[SpeedPair], looked_at: int) -> str:
    """Tell of many pairs in one line: what part of the peak their arms use, from least to most."""
    speeds = sorted((speed for pair in told for speed in pair), key=lambda s: s.utilisation)
    low, high = (f"{s.percent} % ({s.label})" for s in (speeds[0], speeds[-1]))
    return (
        f"in {len(told):,} of {looked_at:,} pairs of nets the times speak of kernels as much as of "
        f"cells: these train at {low} to {high} of this machine's peak"
    )


def doubt_notes(arms: Sequence[Arm]) -> list[str]:
    """Say of which arms it was not judged whether their times speak of kernels."""
    known = {s.label for alike in speeds_by_precision(arms) if len(alike) > 1 for s in alike}
    names = [arm.label for arm in arms if arm.doubtful_times and arm.label in known]
    if not names:
        return []
    return [f"whether times speak of kernels is not judged for {listed(names)}: they are in doubt"]


def one_run_notes(told: Iterable[SpeedPair]) -> list[str]:
    """Say which arms' part in what was told is the clock of a single run."""
    names = list(dict.fromkeys(s.label for pair in told for s in pair if s.runs == 1))
    if not names:
        return []
    return [
        f"what is said of kernels rests on one run of {listed(names)}: "
        "a second seed would show how far its clock can be trusted"
    ]


def repeated_notes(arms: Sequence[Arm]) -> list[str]:
    """Say which arms are one thing under two names."""
    sets = [
        f"{' and '.join(arm.label for arm in alike)} (kernel {alike[0].kernel})"
        for alike in repeated(arms)
    ]
    if not sets:
        return []
    return [
        f"the same kernel ran, whatever model.kernel asked for: {listed(sets)}; this is one thing "
        "measured again, whose times differ by chance alone: one of the arms is enough"
    ]


def refused_notes(arms: Iterable[Arm]) -> list[str]:
    """Say which arms were asked for the fused kernel and did not get it."""
    names = [
        arm.label
        for arm in arms
        if arm.kernel == "torch" and kernels_asked(arm) == {f"{KERNEL}fused"}
    ]
    if not names:
        return []
    return [
        f"{KERNEL}fused was asked for, PyTorch's kernel ran: {listed(names)}; the first lines of "
        "such a run say why"
    ]


def change_notes(arms: Iterable[Both]) -> list[str]:
    """Say of which arms of two tables the kernel or the precision is another."""
    found: dict[tuple[str, str, str], list[str]] = {}
    for both in arms:
        if both.a is None or both.b is None:
            continue
        for name in ("kernel", "precision"):
            before, after = getattr(both.a, name), getattr(both.b, name)
            if before != after:
                found.setdefault((name, before, after), []).append(both.label)
    ends = {"kernel": "their times speak of it too", "precision": "times and scores speak of it"}
    return [
        f"{name} {before} in A, {after} in B: {listed(labels)}; {ends[name]}"
        for (name, before, after), labels in found.items()
    ]
