"""Where times speak of kernels: arms that use more or less of their machine's peak than others."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from benchmarks.comparison.arms import median, some
from benchmarks.comparison.model import Arm
from benchmarks.comparison.sides import Both
from benchmarks.comparison.words import significant

FACTOR = 1.25
"""How many times as far apart as their arithmetic two arms' times may be, or as near."""

MOST_TOLD = 3
"""Pairs of a group that are told of one by one, those with most to say first."""


@dataclass(frozen=True)
class Speed:
    """How fast an arm trains.

    Attributes:
        utilisation: of the peak, a share.
        seconds: per token.
        flops: per token, forward.
    """

    label: str
    kernel: str
    utilisation: float
    seconds: float
    flops: float

    @property
    def text(self) -> str:
        """Its part of the peak, and what computed it."""
        return f"at {significant(100 * self.utilisation, 2)} %{by_kernel(self.kernel)}"


def by_kernel(kernel: str) -> str:
    """Name what computed an arm, if it is known."""
    return f" (kernel {kernel})" if kernel else ""


def speed_of(arm: Arm) -> Speed | None:
    """An arm's speed; None where it is not known or in doubt."""
    if arm.doubtful_times:
        return None
    names = ["model_flops_utilisation", "peak_gflops", "tokens_per_second"]
    rows = arm.rows[names]
    rows = rows[np.isfinite(rows.to_numpy(dtype="float64")).all(axis=1) & (rows > 0).all(axis=1)]
    # What the row's utilisation was made of, see docs/method.md.
    flops = rows["model_flops_utilisation"] * rows["peak_gflops"] * 1e9 / rows["tokens_per_second"]
    shares, rates = (median(rows, names[place]) for place in (0, 2))
    if shares is None or rates is None:
        return None
    return Speed(arm.label, arm.kernel, shares, 1 / rates, float(flops.median()) / 3)


def kernel_notes(arms: Sequence[Arm]) -> list[str]:
    """Say which arms' times differ more by kernel than by arithmetic.

    Compared are nets of one precision, measured on one machine that did nothing else.
    """
    speeds: dict[str, list[Speed]] = {}
    for arm in arms:
        speed = None if arm.baseline else speed_of(arm)
        if speed is not None:
            speeds.setdefault(arm.precision, []).append(speed)
    pairs = [pair for alike in speeds.values() for pair in itertools.combinations(alike, 2)]
    told = sorted((pair for pair in pairs if off_by(*pair) > FACTOR), key=lambda p: -off_by(*p))
    notes = [pair_note(*pair) for pair in told[:MOST_TOLD]]
    more = len(told) - MOST_TOLD
    if more > 0:
        notes.append(
            f"the times of {more:,} more pairs are off their arithmetic by more than {FACTOR}"
        )
    return notes


def off_by(a: Speed, b: Speed) -> float:
    """By what factor, above 1, the ratio of two times is off that of the arithmetic."""
    off = (a.seconds / b.seconds) / (a.flops / b.flops)
    return max(off, 1 / off)


def pair_note(a: Speed, b: Speed) -> str:
    """Tell of two arms; the one with less arithmetic comes first."""
    if a.flops > b.flops:
        a, b = b, a
    return (
        f"{a.label} trains {a.text} of this machine's peak, {b.label} {b.text}: the ratio of their "
        f"times per token, 1 : {significant(b.seconds / a.seconds, 2)}, speaks of kernels as much "
        f"as of the cells, whose arithmetic is 1 : {significant(b.flops / a.flops, 2)}"
    )


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
        f"{name} {before} in A, {after} in B: {some(labels)}; {ends[name]}"
        for (name, before, after), labels in found.items()
    ]
