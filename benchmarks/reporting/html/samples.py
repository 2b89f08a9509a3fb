"""Generated texts of language models, and the reviews with the largest errors."""

from __future__ import annotations

import re
from collections import defaultdict
from dataclasses import dataclass

import numpy as np
import pandas as pd
from scipy.special import expit

from benchmarks.analysis.comparison import Group
from benchmarks.reporting.html.formatting import NONE, nets
from benchmarks.reporting.html.run_files import Runs, first_runs

MOST_ARMS = 8
MOST_SEEDS = 10
MOST_REVIEWS = 8
LONGEST_SAMPLE = 1200
LONGEST_REVIEW = 600
BREAKS = re.compile(r"(\s*<br\s*/?>\s*)+")  # HTML line breaks in reviews


@dataclass(frozen=True)
class Sample:
    """A generated text of an arm and seed."""

    source: str
    text: str


@dataclass(frozen=True)
class Review:
    """A misclassified text."""

    beginning: str
    rest: str
    truth: str  # positive or negative
    wrong: str  # number of runs that were wrong, of all
    # Arm, mean probability of positive over its seeds or a dash, and True if that is wrong.
    probabilities: list[tuple[str, str, bool]]


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


def hardest(group: Group, runs_: Runs) -> list[Review]:
    """Return the test reviews with the highest mean loss over all runs, with equal weight per arm.

    Only reviews among the worst of some run have their text.
    """
    texts: dict[int, str] = {}
    truths: dict[int, bool] = {}
    logits: dict[str, list[dict[int, float]]] = defaultdict(list)
    for arm in nets(group)[:MOST_ARMS]:
        for run_id, _ in first_runs(arm, MOST_SEEDS):
            kept = {}
            for excerpt in runs_.excerpts(run_id):
                if {"logit", "positive"} <= set(excerpt):
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
    by_run = {label: pd.DataFrame(each, columns=list(texts)) for label, each in logits.items()}
    table = pd.DataFrame({label: each.mean() for label, each in by_run.items()})
    sign = np.array([1.0 if truths[item] else -1.0 for item in texts])
    losses = np.logaddexp(0.0, -table.to_numpy() * sign[:, None])
    # A review that an arm did not keep has a smaller loss than those it kept.
    mean = np.nan_to_num(losses).mean(axis=1)
    worst = [list(texts)[i] for i in np.argsort(-mean, kind="stable")[:MOST_REVIEWS]]
    runs = pd.concat(by_run)
    return [_review(texts[i], truths[i], table.loc[i], runs[i].dropna()) for i in worst]


def _review(
    text: str, is_positive: bool, means: pd.Series[float], kept: pd.Series[float]
) -> Review:
    """Return a review, given its log-odds by arm and by run."""
    probabilities = [
        (str(label), NONE, False)
        if np.isnan(logit)
        else (str(label), f"{expit(logit):.2f}", (logit > 0) != is_positive)
        for label, logit in means.items()
    ]
    text = BREAKS.sub("\n", text).strip()
    cut = len(text)
    if len(text) > LONGEST_REVIEW * 1.25:
        cut = text.rfind(" ", 0, LONGEST_REVIEW)
        cut = cut if cut > 0 else LONGEST_REVIEW
    return Review(
        text[:cut].strip(),
        text[cut:].strip(),
        "positive" if is_positive else "negative",
        f"{((kept > 0) != is_positive).sum()} of {len(kept)}",
        probabilities,
    )
