"""Stored predictions of runs as losses per item, checked against the results table."""

from __future__ import annotations

import hashlib
import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from benchmarks.analysis.statistics.common import Vector

Form = Literal["classes", "language", "forecast"]
Cells = dict[str, NDArray[Any]]

TRUTHS = {"logit": "positive", "predicted_label": "label", "nats": "", "predicted": "actual"}
"""By column of predictions: the column of true values, if there is one."""

FORMS: dict[str, Form] = {
    "logit": "classes",
    "predicted_label": "classes",
    "nats": "language",
    "predicted": "forecast",
}
SCORES: dict[Form, str] = {"classes": "accuracy", "language": "perplexity", "forecast": "RMSE"}
WITHOUT_TEST: dict[Form, tuple[str, ...]] = {
    "classes": ("macro_f1", "log_loss", "auroc"),
    "language": ("bits_per_character",),
    "forecast": ("mae", "mase", "smape"),
}
"""Metrics of a form that are no function of the mean loss of its items."""

MOST_STEPS = 500  # pieces of a long test split; the dependence of ten of them is negligible
TOLERANCE = 1e-3  # relative difference of a score from the table that other hardware can explain
MOST_NATS = 700.0  # larger values overflow


@dataclass(frozen=True)
class Items:
    """The losses of a run on its test items, whose numbers have the hash `numbers`.

    A loss is an error of 0 or 1, the mean nats of a piece of the split, or a squared error. Of a
    forecast several steps ahead, it is the mean over the steps of an origin: errors of one origin
    depend on each other, and a test of their series would take them for independent items.
    `truth` contains the true values, and is empty for a language model. `score` is computed from
    all items.
    """

    form: Form
    count: int
    numbers: str
    losses: Vector
    truth: Vector
    score: float

    def mismatch(self, other: Items) -> str:
        """Return the reason why two runs cannot be compared by item; empty if they can."""
        mine, theirs = ((x.form, x.count, x.numbers) for x in (self, other))
        if mine != theirs:
            return "other test items"
        # The 32-bit floats of some devices round a value.
        is_equal = np.allclose(self.truth, other.truth, rtol=1e-6, atol=0)
        return "" if is_equal else "other true values"

    def contradiction(self, score: float, metric: str) -> str:
        """Return how the predictions contradict a score of the table; empty if they do not."""
        if math.isclose(self.score, score, rel_tol=TOLERANCE, abs_tol=1e-9):
            return ""
        return f"{SCORES[self.form]} {self.score:.4g}, the table {metric} {score:.4g}"

    def is_scored_by(self, metric: str) -> bool:
        """Return True unless a metric is another one of this form."""
        return metric not in WITHOUT_TEST[self.form]

    def contributions(self) -> Vector:
        """Return values per item whose mean is the score, for every metric.

        Those of a perplexity or an RMSE are linear in the loss (delta method).
        """
        deviations: Vector = self.losses - self.losses.mean()
        if self.form == "language":
            deviations = self.score * deviations
        elif self.form == "forecast":
            deviations = deviations / (2 * self.score or 1.0)  # without any error, all are 0
        else:
            deviations = -deviations
        return self.score + deviations


def read_items(file: Path) -> Items | None:
    """Read the predictions of a run; None if there are none or their form is unknown."""
    import pyarrow
    import pyarrow.parquet

    try:
        names = set(pyarrow.parquet.read_schema(file).names)
        column = next((c for c, truth in TRUTHS.items() if {c, truth or c, "item"} <= names), None)
        if column is None:
            return None
        truth = TRUTHS[column]
        columns = [name for name in ("item", column, truth, "step") if name in names]
        table = pyarrow.parquet.read_table(file, columns=columns)
    except (OSError, ValueError, pyarrow.ArrowException):
        return None
    cells = {name: table.column(name).to_numpy() for name in table.column_names}
    number = cells["item"]
    if not len(number) or any(values.dtype.kind not in "biuf" for values in cells.values()):
        return None
    if (np.diff(number) < 0).any():
        order = np.argsort(number, kind="stable")
        cells = {name: values[order] for name, values in cells.items()}
        number = cells["item"]
    form = FORMS[column]
    losses = losses_of(column, cells)
    if not np.isfinite(losses).all():
        return None
    return Items(
        form=form,
        count=len(number),
        numbers=hashlib.sha256(number.astype("int64").tobytes()).hexdigest(),
        losses=piece_means(losses) if form == "language" else origin_means(losses, cells),
        truth=cells[truth].astype(np.float64) if truth else np.empty(0),
        score=score_of(form, float(losses.mean())),
    )


def losses_of(column: str, cells: Cells) -> Vector:
    """Return the loss of each item from a column of `FORMS`."""
    losses: NDArray[Any] = cells[column]
    if column == "logit":
        losses = (losses > 0) != cells["positive"].astype(bool)
    elif column == "predicted_label":
        losses = losses != cells["label"]
    elif column == "predicted":
        with np.errstate(over="ignore"):  # an infinite loss is no loss
            losses = (cells["actual"] - losses) ** 2
    return losses.astype(np.float64)


def score_of(form: Form, loss: float) -> float:
    """Return the task's score of a mean loss: accuracy, perplexity or RMSE."""
    if form == "classes":
        return 1 - loss
    return math.exp(min(loss, MOST_NATS)) if form == "language" else math.sqrt(loss)


def origin_means(losses: Vector, cells: Cells) -> Vector:
    """Return the mean losses of the origins of forecasts; the losses if each has one step."""
    horizon = int(cells["step"].max()) if "step" in cells else 1
    if len(losses) % horizon:  # an evaluation that was cut short
        return losses
    means: Vector = losses.reshape(-1, horizon).mean(axis=1)
    return means


def piece_means(losses: Vector) -> Vector:
    """Return the means of equal pieces of a long sequence, without an incomplete last piece."""
    size = max(1, len(losses) // MOST_STEPS)
    whole = len(losses) // size * size
    means: Vector = losses[:whole].reshape(-1, size).mean(axis=1)
    return means
