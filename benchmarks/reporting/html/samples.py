"""Generated texts of language models, and the reviews with the largest errors."""

from __future__ import annotations

import math
import re
from collections import defaultdict
from dataclasses import dataclass

import numpy as np
import pandas as pd

from benchmarks.analysis.comparison import Group
from benchmarks.reporting.html.formatting import NONE, nets
from benchmarks.reporting.html.run_files import Runs, first_runs

MOST_ARMS = 8
MOST_SEEDS = 10
MOST_REVIEWS = 8
LONGEST_SAMPLE = 1200
LONGEST_REVIEW = 600

BREAKS = re.compile(r"(\s*<br\s*/?>\s*)+")
"""HTML line breaks in reviews."""


@dataclass(frozen=True)
class Sample:
    """A generated text.

    Attributes:
        source: the arm and the seed.
    """

    source: str
    text: str


@dataclass(frozen=True)
class Review:
    """A misclassified text.

    Attributes:
        beginning, rest: of the text.
        truth: positive or negative.
        wrong: number of runs that were wrong, of all, as text.
        probabilities: arm, mean probability of positive over its seeds, and True if that is wrong.
            A dash for arms that did not keep the text.
    """

    beginning: str
    rest: str
    truth: str
    wrong: str
    probabilities: list[tuple[str, str, bool]]


def samples(group: Group, runs_: Runs) -> list[Sample]:
    """Return the text of the first seed of each of the best networks."""
    found = []
    for arm in nets(group)[:MOST_ARMS]:
        for run_id, seed in first_runs(arm, MOST_SEEDS):
            text = runs_.sample(run_id)
            if text and text.strip():
                short = text.strip()
                if len(short) > LONGEST_SAMPLE:
                    short = f"{short[:LONGEST_SAMPLE].rstrip()} …"
                found.append(Sample(f"{arm.label}, seed {seed}", short))
                break
    return found


def hardest(group: Group, runs_: Runs) -> list[Review]:
    """Return the test reviews with the highest mean loss over all runs, with equal weight per arm.

    Only reviews among the worst of some run have their text.
    """
    texts: dict[int, str] = {}
    truths: dict[int, bool] = {}
    logits: dict[str, list[dict[int, float]]] = defaultdict(list)
    for arm in nets(group)[:MOST_ARMS]:
        for run_id, _ in first_runs(arm, MOST_SEEDS):
            excerpts = [e for e in runs_.excerpts(run_id) if {"logit", "positive"} <= set(e)]
            kept = {}
            for excerpt in excerpts:
                texts[excerpt["item"]] = excerpt["text"]
                truths[excerpt["item"]] = bool(excerpt["positive"])
                kept[excerpt["item"]] = float(excerpt["logit"])
            predictions = runs_.predictions(run_id)
            if predictions is not None and "logit" in predictions:
                kept = dict(predictions["logit"].astype(float).items())
            if kept:
                logits[arm.label].append(kept)
    if not texts:
        return []
    table = pd.DataFrame(
        {label: _means(list(texts), each) for label, each in logits.items()}, index=list(texts)
    )
    sign = np.array([1.0 if truths[item] else -1.0 for item in table.index])
    losses = np.logaddexp(0.0, -table.to_numpy() * sign[:, None])
    # A review that an arm did not keep has a smaller loss than those it kept.
    mean = np.nan_to_num(losses).mean(axis=1)
    worst = [table.index[i] for i in np.argsort(-mean, kind="stable")[:MOST_REVIEWS]]
    return [_review(int(item), texts[item], truths[item], table, logits) for item in worst]


def _means(items: list[int], kept: list[dict[int, float]]) -> list[float]:
    """Compute the mean log-odds of each item over the runs that kept it; NaN without any."""
    found = []
    for item in items:
        values = [run[item] for run in kept if item in run]
        found.append(float(np.mean(values)) if values else math.nan)
    return found


def _review(
    item: int,
    text: str,
    is_positive: bool,
    table: pd.DataFrame,
    logits: dict[str, list[dict[int, float]]],
) -> Review:
    probabilities = []
    for label in table.columns:
        logit = float(table.at[item, label])  # type: ignore[arg-type]
        if math.isnan(logit):
            probabilities.append((label, NONE, False))
        else:
            probability = 1 / (1 + math.exp(-max(-500.0, min(500.0, logit))))
            probabilities.append((label, f"{probability:.2f}", (logit > 0) != is_positive))
    kept = [run[item] for each in logits.values() for run in each if item in run]
    wrong = sum((logit > 0) != is_positive for logit in kept)
    text = BREAKS.sub("\n", text).strip()
    cut = len(text)
    if len(text) > LONGEST_REVIEW * 1.25:
        cut = text.rfind(" ", 0, LONGEST_REVIEW)
        cut = cut if cut > 0 else LONGEST_REVIEW
    return Review(
        text[:cut].strip(),
        text[cut:].strip(),
        "positive" if is_positive else "negative",
        f"{wrong} of {len(kept)}",
        probabilities,
    )
