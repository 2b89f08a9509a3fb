"""Notes on ensembles: their members, their costs, and members that several of them share."""

from __future__ import annotations

from collections.abc import Sequence

from benchmarks.analysis.comparison import Arm
from benchmarks.analysis.formatting import listed
from benchmarks.errors import counted

WORDS = ("members", "weights")  # overrides of an ensemble that no single run has


def ensemble_notes(arms: Sequence[Arm]) -> list[str]:
    """Return notes on the arms that are ensembles."""
    sizes, shared = [], []
    for arm in arms:
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
