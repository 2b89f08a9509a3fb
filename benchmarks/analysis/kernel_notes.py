"""Notes on training times that depend on the kernel rather than on the arithmetic of the cell."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from benchmarks.analysis.arms import median
from benchmarks.analysis.comparison import Arm
from benchmarks.analysis.diff_pairing import ArmPair
from benchmarks.analysis.formatting import listed, significant
from benchmarks.analysis.labels import KERNEL, cell_text, without_kernel
from benchmarks.analysis.row_filter import SETTINGS

FACTOR = 1.25  # largest factor between the ratio of two times and the ratio of their arithmetic
FLOPS_TOLERANCE = 1e-3  # relative rounding error of the FLOPs per token between rows of one network
MOST_PAIRS = 3  # number of pairs up to which each has its own note
MEASURED = ["model_flops_utilisation", "peak_gflops", "tokens_per_second"]

FUSED = f"{KERNEL}fused"

Settings = frozenset[tuple[str, ...]]


@dataclass(frozen=True)
class Speed:
    """The training speed of an arm, the median over its runs; seconds and FLOPs are per token."""

    label: str
    model: str
    kernel: str
    settings: Settings
    runs: int
    utilisation: float
    seconds: float
    flops: float

    @property
    def percent(self) -> str:
        """Share of the machine's peak in per cent."""
        return f"{significant(100 * self.utilisation, 2)} %"

    @property
    def share(self) -> str:
        """Share of the machine's peak, with the kernel."""
        return f"{self.percent} ({self.kernel})" if self.kernel else self.percent


SpeedPair = tuple[Speed, Speed]


def speed_of(arm: Arm) -> Speed | None:
    """Return the speed of an arm; None if it is unknown or not comparable with the peak."""
    # The fused kernel computes in float32, while the peak is that of bfloat16.
    is_mixed = arm.precision == "bfloat16" and arm.kernel == "fused"
    if arm.baseline or is_mixed:
        return None
    measured = arm.rows[MEASURED].astype("float64")
    values = measured.to_numpy()
    rows = measured[(np.isfinite(values) & (values > 0)).all(axis=1)]
    utilisation, rate = median(rows, "model_flops_utilisation"), median(rows, "tokens_per_second")
    if utilisation is None or rate is None:
        return None
    # The inverse of the formula for the utilisation, see docs/method.md.
    flops = rows["model_flops_utilisation"] * rows["peak_gflops"] * 1e9 / rows["tokens_per_second"]
    return Speed(
        label=arm.label,
        model=arm.model,
        kernel=arm.kernel,
        settings=settings_of(arm),
        runs=len(rows),
        utilisation=utilisation,
        seconds=1 / rate,
        flops=float(flops.median()) / 3,
    )


def settings_of(arm: Arm) -> Settings:
    """Return the settings of an arm's runs without kernel and seed."""
    settings = arm.rows[["model", "model_version", *SETTINGS, "overrides"]]
    return frozenset(
        (*map(cell_text, cells), without_kernel(str(overrides)))
        for *cells, overrides in settings.itertuples(index=False)
    )


def speeds_by_precision(arms: Iterable[Arm]) -> list[list[Speed]]:
    """Return the speeds of the nets, grouped by precision."""
    speeds: dict[str, list[Speed]] = {}
    for arm in arms:
        speed = speed_of(arm)
        if speed is not None:
            speeds.setdefault(arm.precision, []).append(speed)
    return list(speeds.values())


def comparable_speeds(arms: Iterable[Arm]) -> list[SpeedPair]:
    """Return all pairs of nets with the same precision and reliable times."""
    speeds = speeds_by_precision(arm for arm in arms if not arm.doubtful_times)
    return [pair for each in speeds for pair in itertools.combinations(each, 2)]


def kernel_bound(pairs: Iterable[SpeedPair]) -> list[SpeedPair]:
    """Return the pairs whose times differ by more than their arithmetic, the worst first."""
    found = [pair for pair in pairs if time_excess(*pair) > FACTOR]
    return sorted(found, key=lambda pair: -time_excess(*pair))


def time_excess(a: Speed, b: Speed) -> float:
    """Return the factor, at least 1, between the ratio of times and the ratio of arithmetic."""
    off = (a.seconds / b.seconds) / (a.flops / b.flops)
    return max(off, 1 / off)


def only_kernels_differ(pair: SpeedPair) -> bool:
    """Return True for one network that was trained by two kernels."""
    a, b = pair
    return a.kernel != b.kernel and a.settings == b.settings


def kernel_notes(arms: Sequence[Arm]) -> list[str]:
    """Return the notes on the kernels of a group."""
    pairs = comparable_speeds(arms)
    same = kernel_bound(pair for pair in pairs if only_kernels_differ(pair))
    others = [pair for pair in pairs if not only_kernels_differ(pair)]
    found = kernel_bound(others)
    notes = [same_network_note(same)] if same else []
    if len(found) > MOST_PAIRS:
        notes.append(summary_note(found, len(others)))
    else:
        notes += [pair_note(*pair) for pair in found]
    speeds = itertools.chain(*same, *found)
    if names := list(dict.fromkeys(speed.label for speed in speeds if speed.runs == 1)):
        notes.append(f"the notes on kernels rest on one run of {listed(names)}: add a second seed")
    known = {s.label for each in speeds_by_precision(arms) if len(each) > 1 for s in each}
    if names := [arm.label for arm in arms if arm.doubtful_times and arm.label in known]:
        text = f"the effect of kernels is not analysed for {listed(names)}: times are unreliable"
        notes.append(text)
    requested = [
        arm
        for arm in arms
        if all(FUSED in words.split() for words in arm.rows["overrides"].astype("str"))
    ]
    if names := [arm.label for arm in requested if arm.kernel == "torch"]:
        text = f"{FUSED} was requested, PyTorch's kernel ran: {listed(names)}; "
        notes.append(f"{text}the first lines of such a run state the reason")
    return notes


def same_network_note(pairs: Sequence[SpeedPair]) -> str:
    """Return a note on networks that were trained by two kernels; one pair of each network."""
    first: dict[object, SpeedPair] = {}
    for pair in pairs:
        first.setdefault(pair[0].settings, pair)
    parts: list[str] = []
    for pair in first.values():
        fast, slow = sorted(pair, key=lambda speed: speed.seconds)
        times = f"{significant(slow.seconds / fast.seconds, 2)} times as long"
        parts.append(f"{slow.label} takes {times} per token as {fast.label}")
    return f"{listed(parts)}: the same arithmetic, so the whole difference is the kernel's"


def pair_note(a: Speed, b: Speed) -> str:
    """Return a note on two different networks."""
    cause = "these times depend on kernels as much as on cells"
    if abs(a.flops / b.flops - 1) < FLOPS_TOLERANCE:
        less, more = sorted((a, b), key=lambda speed: speed.seconds)
        times = significant(more.seconds / less.seconds, 2)
        fact = f"{more.label} takes {times} times as long per token as {less.label} for the same "
        fact += "arithmetic"
        cause = "the cell does not explain the difference" if a.model == b.model else cause
    else:
        less, more = sorted((a, b), key=lambda speed: speed.flops)
        times = significant(more.seconds / less.seconds, 2)
        arithmetic = significant(more.flops / less.flops, 2)
        fact = f"{more.label} does {arithmetic} times the arithmetic of {less.label} in {times} "
        fact += "times the time per token"
    return f"{fact}, at {more.share} and {less.share} of this machine's peak: {cause}"


def summary_note(found: Sequence[SpeedPair], tested: int) -> str:
    """Return one note on many pairs, with the range of their shares of the peak."""
    speeds = sorted((speed for pair in found for speed in pair), key=lambda s: s.utilisation)
    low, high = (f"{s.percent} ({s.label})" for s in (speeds[0], speeds[-1]))
    return (
        f"in {len(found):,} of {tested:,} pairs of nets the times depend on kernels as much as on "
        f"cells: these train at {low} to {high} of this machine's peak"
    )


def change_notes(arms: Iterable[ArmPair]) -> list[str]:
    """Return notes on arms whose kernel or precision differs between two tables."""
    found: dict[tuple[str, str, str], list[str]] = {}
    for pair in arms:
        if pair.a is None or pair.b is None:
            continue
        for name in ("kernel", "precision"):
            before, after = getattr(pair.a, name), getattr(pair.b, name)
            if before != after:
                found.setdefault((name, before, after), []).append(pair.label)
    affected = {"kernel": "this affects times", "precision": "this affects times and scores"}
    return [
        f"{name} {before} in A, {after} in B: {listed(labels)}; {affected[name]}"
        for (name, before, after), labels in found.items()
    ]
