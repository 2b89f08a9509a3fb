"""The test items of a classification with the largest errors."""

from __future__ import annotations

import re
from collections import defaultdict
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.special import expit

from benchmarks.analysis.comparison import Group
from benchmarks.reporting.answer import nets
from benchmarks.reporting.html.answers import TWO_CLASSES, answers_of, class_names, name_of
from benchmarks.reporting.html.formatting import NONE, data_unit
from benchmarks.reporting.html.run_files import Runs, first_runs

MOST_ARMS = 8
MOST_SEEDS = 10
MOST_ITEMS = 8
WORST_OF_A_RUN = 20  # as many as a run has excerpts
LONGEST_TEXT = 600
BREAKS = re.compile(r"(\s*<br\s*/?>\s*)+")  # HTML line breaks in reviews
CLASSES = ("label", "predicted")


@dataclass(frozen=True)
class HardItem:
    """A misclassified item.

    Attributes:
        beginning, rest: the text, cut into two if it is long.
        truth: name of the true class.
        wrong: number of runs that were wrong, of all.
        answers: arm, its answer or a dash, and True if that is wrong.
    """

    beginning: str
    rest: str
    truth: str
    wrong: str
    answers: list[tuple[str, str, bool]]


@dataclass(frozen=True)
class Hardest:
    """The hardest items.

    Attributes:
        unit: of the items, such as reviews.
        answer: what the answers are.
        items: hardest first.
    """

    unit: str
    answer: str
    items: list[HardItem]


def hardest(group: Group, runs_: Runs) -> Hardest | None:
    """Return the test items with the highest mean loss over all runs, with equal weight per arm.

    Only items among the worst of some run have their text.
    """
    names = class_names(group, runs_) or TWO_CLASSES
    texts: dict[int, str] = {}
    by_arm: dict[str, list[pd.DataFrame]] = defaultdict(list)
    for arm in nets(group)[:MOST_ARMS]:
        for run_id, _ in first_runs(arm, MOST_SEEDS):
            excerpts, predictions = runs_.excerpts(run_id), runs_.predictions(run_id)
            found = answers_of(predictions)
            run = _of_excerpts(excerpts, names) if found is None else _with_names(found, names)
            if run is not None:
                run = run[~run.index.duplicated()]
                by_arm[arm.label].append(run)
                texts |= _texts(excerpts, predictions, run)
    if not texts:
        return None
    has_two = all("margin" in run for runs in by_arm.values() for run in runs)
    second = name_of(1, names) if has_two else ""
    answer = (
        f"the probability of {second} by arm (mean over seeds)"
        if second
        else "by arm the class that most seeds predict, with the mean probability of the true class"
    )
    return Hardest(data_unit(group, "texts"), answer, _worst(texts, by_arm, second))


def _with_names(answers: pd.DataFrame, names: list[str]) -> pd.DataFrame:
    """Return answers with the names of classes in place of their numbers."""
    most = int(answers[[*CLASSES]].to_numpy().max(initial=0))
    known = np.array([name_of(label, names) for label in range(most + 1)])
    return answers.assign(**{name: known[answers[name]] for name in CLASSES})


def _of_excerpts(excerpts: list[dict[str, Any]], names: list[str]) -> pd.DataFrame | None:
    """Return the answers of a run whose predictions are missing."""
    two = [each for each in excerpts if {"logit", "positive"} <= set(each)]
    if two:
        found = answers_of(pd.DataFrame(two).set_index("item"))
        return None if found is None else _with_names(found, names)
    more = [each for each in excerpts if {"nats", "label", "predicted_label"} <= set(each)]
    if not more:
        return None
    frame = pd.DataFrame(more).set_index("item").rename(columns={"predicted_label": "predicted"})
    return frame[[*CLASSES]].astype("str").assign(nats=pd.to_numeric(frame["nats"], "coerce"))


def _texts(
    excerpts: list[dict[str, Any]], predictions: pd.DataFrame | None, run: pd.DataFrame
) -> dict[int, str]:
    """Return the texts of the items with the largest errors, or else the names that they have."""
    texts = {each["item"]: each["text"] for each in excerpts if each["item"] in run.index}
    if texts or predictions is None:
        return texts
    columns = [name for name in predictions if pd.api.types.is_string_dtype(predictions[name])]
    if not columns:
        return {}
    worst = run["nats"].nlargest(WORST_OF_A_RUN).index
    named = predictions[columns[0]]
    named = named[~named.index.duplicated()]
    return {item: f"{columns[0]} {named[item]}" for item in worst}


def _worst(
    texts: dict[int, str], by_arm: dict[str, list[pd.DataFrame]], second: str
) -> list[HardItem]:
    """Return the items with the highest mean loss."""
    numbers = list(texts)
    kept = {label: [run.reindex(numbers) for run in runs] for label, runs in by_arm.items()}
    # An item that an arm did not keep has a smaller loss than those it kept.
    losses = np.stack([_losses(runs, bool(second)) for runs in kept.values()])
    order = np.argsort(-np.nan_to_num(losses).mean(axis=0), kind="stable")
    return [_item(texts[numbers[i]], numbers[i], kept, second) for i in order[:MOST_ITEMS]]


def _losses(runs: list[pd.DataFrame], has_two: bool) -> NDArray[np.float64]:
    """Return the mean loss of an arm by item; of two classes, the loss of the mean log-odds."""
    values = pd.DataFrame([run["margin" if has_two else "nats"] for run in runs]).mean()
    means = values.to_numpy(dtype="float64")
    return np.logaddexp(0.0, -means) if has_two else means


def _item(text: str, number: int, kept: dict[str, list[pd.DataFrame]], second: str) -> HardItem:
    """Return an item; `second` is the class of the probabilities, of two."""
    rows = {
        label: pd.DataFrame([run.loc[number] for run in runs]).dropna(subset=[*CLASSES])
        for label, runs in kept.items()
    }
    runs = pd.concat(rows.values())
    truth = str(runs["label"].iloc[0])
    wrong = int((runs["predicted"] != truth).sum())
    text = BREAKS.sub("\n", text).strip()
    cut = len(text)
    if len(text) > LONGEST_TEXT * 1.25:
        cut = text.rfind(" ", 0, LONGEST_TEXT)
        cut = cut if cut > 0 else LONGEST_TEXT
    answers = [(label, *_answer(answers, truth, second)) for label, answers in rows.items()]
    return HardItem(
        text[:cut].strip(), text[cut:].strip(), truth, f"{wrong} of {len(runs)}", answers
    )


def _answer(seeds: pd.DataFrame, truth: str, second: str) -> tuple[str, bool]:
    """Return the answer of an arm and True if it is wrong."""
    if seeds.empty:
        return NONE, False
    if second:
        margin = float(seeds["margin"].astype(float).mean())
        log_odds = margin if truth == second else -margin
        return f"{expit(log_odds):.2f}", (log_odds > 0) != (truth == second)
    predicted = str(seeds["predicted"].mode().iloc[0])
    probability = float(np.exp(-seeds["nats"].astype(float)).mean())
    is_wrong = predicted != truth
    number = f"{truth}: {probability:.2f}" if is_wrong else f"{probability:.2f}"
    return predicted if np.isnan(probability) else f"{predicted} ({number})", is_wrong
