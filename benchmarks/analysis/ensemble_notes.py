"""Notes on rows that are computed from finished runs: ensembles, and other tracks."""

from __future__ import annotations

from collections.abc import Sequence

from benchmarks.analysis.comparison import Arm
from benchmarks.analysis.formatting import listed
from benchmarks.analysis.row_filter import STATIC
from benchmarks.errors import counted

WORDS = ("members", "weights")  # overrides of an ensemble that no single run has


def ensemble_notes(arms: Sequence[Arm]) -> list[str]:
    """Return notes on the arms that are ensembles."""
    sizes, shared = [], []
    for arm in (arm for arm in arms if track_of(arm) == STATIC):
        members = [text.split() for text in arm.rows["members"].astype("str") if text]
        if not members:
            continue
        sizes.append(f"{arm.label}: {counted(len(members[0]), 'member')}")
        run_ids = [run_id for each in members for run_id in each]
        if len({*run_ids}) < len(run_ids):
            shared.append(arm.label)
    notes = []
    if sizes:
        costs = "parameters, training time and latency are their sums"
        notes.append(f"ensembles: {listed(sizes)}; {costs}")
    if shared:
        notes.append(
            f"ensembles with members in common: {listed(shared)}; they are not independent, so "
            f"their intervals and p-values are too small"
        )
    return notes


def track_notes(arms: Sequence[Arm]) -> list[str]:
    """Return the note on a group of another track than static evaluation."""
    if track_of(arms[0]) == STATIC:
        return []
    return [
        f"track {track_of(arms[0])}: the evaluation updates the weights by the text that it has "
        f"scored; these scores are ranked apart from static ones"
    ]


def track_of(arm: Arm) -> str:
    """Return the track of an arm, which is that of its group."""
    return str(arm.rows["track"].iloc[0])
