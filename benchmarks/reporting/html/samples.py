"""Generated texts of language models."""

from __future__ import annotations

from dataclasses import dataclass

from benchmarks.analysis.comparison import Group
from benchmarks.reporting.answer import nets
from benchmarks.reporting.html.run_files import Runs, first_runs

MOST_ARMS = 8
MOST_SEEDS = 10
LONGEST_SAMPLE = 1200


@dataclass(frozen=True)
class Sample:
    """A generated text of an arm and seed."""

    source: str
    text: str


def samples(group: Group, runs_: Runs) -> list[Sample]:
    """Return the text of the first seed of each of the best networks."""
    found = []
    for arm in nets(group)[:MOST_ARMS]:
        for run_id, seed in first_runs(arm, MOST_SEEDS):
            text = (runs_.sample(run_id) or "").strip()
            if text:
                if len(text) > LONGEST_SAMPLE:
                    text = f"{text[:LONGEST_SAMPLE].rstrip()} …"
                found.append(Sample(f"{arm.label}, seed {seed}", text))
                break
    return found
