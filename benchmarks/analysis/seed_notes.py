"""Notes on the seeds of arms: what they do not show, and looks before the planned number."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from benchmarks.analysis.comparison import Arm, Pair, best_baseline
from benchmarks.analysis.formatting import listed
from benchmarks.analysis.statistics.sequential import nominal_level
from benchmarks.errors import UserError


def seed_notes(arms: Sequence[Arm], pairs: Sequence[Pair], planned: int | None) -> list[str]:
    """Return the notes on the seeds of a group."""
    notes = [*constant_notes(arms), *identical_notes(arms), *baseline_notes(arms)]
    if any(pair.seeds is not None and pair.seeds.freedom is not None for pair in pairs):
        counts = {a.label: a.score.n for a in arms if a.score.n > 1 and not a.is_deterministic}
        notes.append(planned_note(counts, planned))
    return notes


def constant_notes(arms: Sequence[Arm]) -> list[str]:
    """Return a note on networks whose seeds all have one score."""
    constant = [arm.label for arm in arms if arm.by_seed.is_constant and not arm.is_deterministic]
    if not constant:
        return []
    return [f"the seed changes no score, its runs count as one: {listed(constant)}"]


def identical_notes(arms: Sequence[Arm]) -> list[str]:
    """Return notes on arms with equal scores, unless only their kernels differ."""
    same: dict[bytes, list[Arm]] = {}
    for arm in arms:
        if arm.score.n > 1:
            same.setdefault(arm.by_seed.values.tobytes(), []).append(arm)
    return [
        f"identical scores: {listed([arm.label for arm in found])}; are they the same network?"
        for found in same.values()
        if len(found) > 1
        and (len({arm.model for arm in found}) > 1 or len({arm.kernel for arm in found}) == 1)
    ]


def baseline_notes(arms: Sequence[Arm]) -> list[str]:
    """Return a note on baselines that would be the best, but have a single seed."""
    reference = best_baseline(arms)
    ahead = []
    for arm in arms:
        if arm is reference:
            break
        if arm.baseline:
            ahead.append(arm.label)
    if reference is None or not ahead:
        return []
    return [
        f"{listed(ahead)} has a single seed and may be lucky: networks are compared with "
        f"{reference.label}"
    ]


def planned_note(counts: Mapping[str, int], planned: int | None) -> str:
    """Return how the number of seeds of arms was fixed, and the levels of their tests."""
    if planned is None:
        return (
            "the number of seeds was not planned (--planned N): if seeds were added until a "
            "difference showed, p is too small"
        )
    parts = [f"at {planned} seeds if p < {nominal_level(planned, planned):.2g}"]
    for n in sorted({n for n in counts.values() if n < planned}, reverse=True):
        names = listed([label for label, count in counts.items() if count == n])
        parts.append(f"at {n} completed ({names}) if p < {nominal_level(n, planned):.2g}")
    return f"{planned} seeds were planned: a difference is shown {', '.join(parts)}"


def check_planned(counts: Mapping[str, int], planned: int | None) -> None:
    """Raise UserError if an arm has more seeds than planned."""
    for label, n in counts.items():
        if planned is not None and n > planned:
            raise UserError(f"--planned {planned}: {label} has {n} seeds, more than planned")
