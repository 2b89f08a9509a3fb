"""An ensemble of finished runs: its scores, its row and the files of its folder."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

import torch
from torch import Tensor

from benchmarks.errors import UserError
from benchmarks.results.row import Row
from benchmarks.results.run_folder import RunFolder
from benchmarks.results.store import Store
from benchmarks.runner.derived_row import fill_scores, stored
from benchmarks.runner.ensemble.combination import (
    Weighting,
    Weights,
    combined,
    equal_weights,
    fitted_weights,
)
from benchmarks.runner.ensemble.members import (
    SPLITS,
    Member,
    StoredPredictions,
    load_common_task,
    read_members,
)
from benchmarks.runner.ensemble.row import new_row
from benchmarks.runner.kept_predictions import evaluate_items, write_split
from benchmarks.system.atomic_files import write_atomically
from tasks.base import FittedBaseline, Metric, Split, Task


@dataclass(frozen=True)
class Ensemble:
    """An ensemble with its row; `metric` is that of its members."""

    members: list[Member]
    weights: Weights
    row: Row
    metric: Metric


class StoredOutputs(FittedBaseline):
    """Outputs that a task recovers from combined predictions."""

    def __init__(self, task: Task, predictions: Mapping[Split, StoredPredictions]) -> None:
        self.task, self.predictions, self.parameters = task, predictions, 0

    def outputs(self, split: Split, items: Tensor) -> Tensor:
        """See `FittedBaseline.outputs`."""
        stored, wanted = self.predictions[split], items.flatten()
        places = torch.searchsorted(stored.items, wanted).clamp(max=len(stored.items) - 1)
        if not torch.equal(stored.items[places], wanted):
            raise UserError(f"the members have no predictions of some {split} items")
        columns = zip(stored.columns, stored.values[places].unbind(1), strict=True)
        return self.task.outputs_of(split, items, dict(columns))


def combine_runs(
    names: Sequence[str],
    store: Store,
    weighting: Weighting,
    moved: Mapping[str, str],
    command: str,
) -> Ensemble:
    """Combine the predictions of finished runs and store the row of their ensemble.

    Args:
        names: of the runs, as `find_run` takes them.
        store: the results folder of the runs and of the ensemble.
        weighting: see `weights_of`.
        moved: see `load_run`.
        command: the shell command that repeats the ensemble.

    Raises:
        UserError: the runs cannot be combined, or their data is not available.
    """
    members = read_members(names, store.directory)
    weights = weights_of(members, weighting)
    task = load_common_task(members, moved)
    outputs = StoredOutputs(task, {split: average(members, split, weights) for split in SPLITS})
    row = new_row([member.row for member in members], weighting, datetime.now(UTC))
    with stored(row, store, command) as folder:
        evaluate_splits(row, folder, outputs, members[0])
        write_atomically(folder.ensemble, record(members, weights, weighting))
    return Ensemble(members, weights, row, members[0].config.task.primary_metric)


def evaluate_splits(row: Row, folder: RunFolder, outputs: StoredOutputs, first: Member) -> None:
    """Evaluate both splits as the task does, and keep their predictions."""
    task, train = outputs.task, first.config.train
    found = {split: evaluate_items(outputs, task, split, train) for split in SPLITS}
    for split, (_, predictions) in found.items():
        write_split(folder, predictions, task, split)
    fill_scores(row, {split: metrics for split, (metrics, _) in found.items()})


def weights_of(members: Sequence[Member], weighting: Weighting) -> Weights:
    """Return equal weights, or those with the smallest loss on the validation split."""
    if weighting == "equal":
        return equal_weights(len(members))
    if validation_is_test(members):
        raise UserError(
            f"--weights validation: the validation split of {members[0].row['task']} is its test "
            f"split ({members[0].row['split']}); allowed here: --weights equal"
        )
    first = members[0].predictions["validation"]
    return fitted_weights(first.form, values_of(members, "validation"), first.truth)


def validation_is_test(members: Sequence[Member]) -> bool:
    """Return True if the predictions of both splits are equal."""
    return torch.equal(values_of(members, "validation"), values_of(members, "test"))


def values_of(members: Sequence[Member], split: Split) -> Tensor:
    """Return the predictions of all members (members, items, columns)."""
    return torch.stack([member.predictions[split].values for member in members])


def average(members: Sequence[Member], split: Split, weights: Weights) -> StoredPredictions:
    """Return the combined predictions of a split."""
    first = members[0].predictions[split]
    values = combined(first.form, values_of(members, split), weights.factors)
    return StoredPredictions(first.form, first.columns, first.items, values, first.truth)


def record(members: Sequence[Member], weights: Weights, weighting: Weighting) -> str:
    """Return the content of `ensemble.json`: the weight and temperature of each member."""
    temperatures = weights.temperatures
    scales = [None] * len(members) if temperatures is None else temperatures.tolist()
    parts = zip(members, weights.weights.tolist(), scales, strict=True)
    entries = [
        {"run_id": member.run_id, "weight": weight, "temperature": temperature}
        for member, weight, temperature in parts
    ]
    return json.dumps({"weights": weighting, "members": entries}, indent=2) + "\n"
