"""Predicted and true classes of the test items of a run."""

from __future__ import annotations

import numpy as np
import pandas as pd

from benchmarks.analysis.comparison import Group
from benchmarks.reporting.html.run_files import Runs, first_runs

TWO_CLASSES = ["negative", "positive"]  # of runs whose predictions contain no names
MOST_SEEDS = 20
MOST_LABELS = 1_000_000


def answers_of(predictions: pd.DataFrame | None) -> pd.DataFrame | None:
    """Return the answers of a classifier by item; None without any.

    The columns are the numbers `label` and `predicted` of the true and the predicted class, and
    `nats`, the loss; of two classes also `margin`, the log-odds of the true class.
    """
    if predictions is None:
        return None
    names = set(predictions.columns)
    try:
        if {"logit", "positive"} <= names:
            return _of_two(predictions["logit"].astype(float), predictions["positive"].astype(bool))
        if {"label", "predicted_label"} <= names:
            labels = predictions[["label", "predicted_label"]].astype("int64")
            found = labels.rename(columns={"predicted_label": "predicted"})
            nats = predictions["nats"].astype(float) if "nats" in names else np.nan
            is_label = (labels >= 0) & (labels < MOST_LABELS)
            return found.assign(nats=nats) if is_label.all(axis=None) else None
    except (TypeError, ValueError):  # cells that are no labels
        return None
    return None


def _of_two(logit: pd.Series[float], positive: pd.Series[bool]) -> pd.DataFrame:
    margin = logit.where(positive, -logit)
    return pd.DataFrame(
        {
            "label": positive.astype("int64"),
            "predicted": (logit > 0).astype("int64"),
            "nats": np.logaddexp(0.0, -margin),
            "margin": margin,
        }
    )


def class_names(group: Group, runs_: Runs) -> list[str]:
    """Return the names of the classes that the predictions of a group contain; empty if none."""
    ids = (run_id for arm in group.arms for run_id, _ in first_runs(arm, MOST_SEEDS))
    return next(filter(None, map(runs_.classes, ids)), [])


def name_of(label: int, names: list[str]) -> str:
    """Return the name of a class, or its number."""
    return names[label] if label < len(names) else str(label)
