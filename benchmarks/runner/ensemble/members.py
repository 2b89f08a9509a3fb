"""The members of an ensemble: finished runs of one task, and their stored predictions."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from benchmarks.config.schema import Config
from benchmarks.errors import UserError, one_line
from benchmarks.results.find_run import find_run
from benchmarks.results.run_folder import RunFolder
from benchmarks.runner.derived_row import SAME
from benchmarks.runner.ensemble.combination import Form
from benchmarks.runner.load_run import read_config, read_run, task_of
from tasks.base import Split, Task

SPLITS: tuple[Split, Split] = ("validation", "test")
BY_CLASS = "log_probability_"


@dataclass(frozen=True)
class StoredPredictions:
    """The predictions of a run on a split.

    Attributes:
        columns: names of the columns of `values`.
        items: their numbers (items,).
        values: the predictions (items, columns), in float64.
        truth: the true values (items,), empty for a language model.
    """

    form: Form
    columns: list[str]
    items: Tensor
    values: Tensor
    truth: Tensor


@dataclass(frozen=True)
class Member:
    """A finished run, and its predictions of the validation and the test split."""

    folder: RunFolder
    row: dict[str, Any]
    config: Config
    predictions: dict[Split, StoredPredictions]

    @property
    def run_id(self) -> str:
        """The id of the run."""
        return self.folder.path.name


def read_members(names: Sequence[str], results: Path) -> list[Member]:
    """Find and read runs; raise UserError unless they can be combined."""
    members = [read_member(name, results) for name in names]
    for place, member in enumerate(members):
        for other in members[:place]:
            check_together(other, member)
    return members


def read_member(name: str, results: Path) -> Member:
    """Find a run of status ok and read its predictions."""
    folder, row, settings = read_run(find_run(name, results))
    run_id = folder.path.name
    predictions = {s: read_predictions(folder.predictions_of(s), run_id) for s in SPLITS}
    return Member(folder, row, read_config(settings, row, run_id), predictions)


def check_together(first: Member, second: Member) -> None:
    """Check that two runs are different and have the same data, metric and items."""
    names = f"{first.run_id} and {second.run_id}"
    if first.run_id == second.run_id:
        raise UserError(f"{first.run_id}: is given twice")
    for column in SAME:
        a, b = first.row.get(column), second.row.get(column)
        if a != b:
            raise UserError(
                f"{names}: {column} differs ({a}, {b}); an ensemble has one task, data and split"
            )
    if first.row.get("fingerprint") and first.row["fingerprint"] == second.row.get("fingerprint"):
        raise UserError(f"{names}: are runs of one configuration and seed")
    for split, predictions in first.predictions.items():
        others = second.predictions[split]
        if predictions.columns != others.columns or not torch.equal(
            predictions.items, others.items
        ):
            raise UserError(f"{names}: their predictions are of other {split} items")


def read_predictions(file: Path, run_id: str) -> StoredPredictions:
    """Read the columns of predictions that can be combined, ordered by item."""
    import pyarrow
    from pyarrow import parquet

    if not file.exists():
        raise UserError(
            f"{run_id}: has no {file.name}, which earlier versions did not write; train it again "
            f"with resume=never"
        )
    try:
        table = parquet.read_table(file)
        form, columns, truth = columns_of(table.column_names, run_id)
        cells = {n: table.column(n).to_numpy() for n in {"item", *columns, *truth}}
    except (OSError, KeyError, ValueError, pyarrow.ArrowException) as error:
        raise UserError(f"{file}: cannot be read ({one_line(error)})") from error
    order = np.argsort(cells["item"], kind="stable")
    values = np.stack([cells[name][order] for name in columns], axis=1).astype(np.float64)
    if not np.isfinite(values).all():
        raise UserError(f"{file}: contains predictions that are not finite")
    true_values = cells[truth[0]][order].astype(np.float64) if truth else np.empty(0)
    arrays = (cells["item"][order].astype(np.int64), values, true_values)
    return StoredPredictions(form, columns, *map(torch.from_numpy, arrays))


def columns_of(names: Sequence[str], run_id: str) -> tuple[Form, list[str], list[str]]:
    """Return the form, the columns to combine, and the column of true values, if any."""
    if "logit" in names:
        return "classes", ["logit"], ["positive"]
    if by_class := [name for name in names if name.startswith(BY_CLASS)]:
        return "classes", by_class, ["label"]
    if "predicted" in names:
        return "forecast", ["predicted"], ["actual"]
    if "nats" in names and "label" not in names:
        return "language", ["nats"], []
    raise UserError(
        f"{run_id}: its predictions cannot be combined (needed: log-odds, log-probabilities of all "
        f"classes, forecasts, or nats per token); they may be of an earlier version"
    )


def load_common_task(members: Sequence[Member], moved: Mapping[str, str]) -> Task:
    """Load the task of the members on the CPU, in float64."""
    first = members[0]
    task = task_of(first.row, first.config, moved)
    task.to(torch.device("cpu"), torch.float64)
    return task
