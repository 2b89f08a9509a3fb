"""Tests of two arms over the items of the test split, from the predictions of their runs."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from benchmarks.analysis.comparison import Arm
from benchmarks.analysis.statistics.common import Paired, Vector
from benchmarks.analysis.statistics.items import (
    block_bootstrap,
    diebold_mariano,
    mcnemar,
    model_confidence_set,
)
from benchmarks.results.reader import folder_of
from benchmarks.results.run_folder import RunFolder

Form = Literal["classes", "language", "forecast"]

FORMS: dict[Form, list[str]] = {
    "classes": ["logit", "positive"],
    "language": ["nats"],
    "forecast": ["actual", "predicted"],
}

MOST_RUNS = 10  # runs of an arm that are read: more seeds hardly change the mean loss of an item
MOST_STEPS = 500  # pieces of a long test split; the dependence of ten of them is negligible
MOST_IN_SET = 20  # arms of a Model Confidence Set; its cost grows with their square
MOST_FILES = 500  # files of a group in memory; further predictions are ignored


@dataclass(frozen=True)
class Items:
    """The losses of a run on its test items, of which `first` and `last` are the numbers.

    A loss is an error of 0 or 1, the mean nats of a piece of the split, or a squared error.
    """

    form: Form
    count: int
    first: int
    last: int
    losses: Vector

    def matches(self, other: Items) -> bool:
        """Return True if both have the same items."""
        mine, theirs = ((x.form, x.count, x.first, x.last) for x in (self, other))
        return mine == theirs


class ItemTests:
    """Reader of the predictions of a group, each file once, and tests of arms over them."""

    def __init__(self) -> None:
        self._read: dict[Path, Items | None] = {}
        self._folders: dict[str, dict[float | None, RunFolder]] = {}

    def folders(self, arm: Arm) -> dict[float | None, RunFolder]:
        """Return the folders of an arm's runs by seed, None if deterministic; empty if pooled."""
        rows = arm.rows
        if arm.label not in self._folders:
            found: dict[float | None, RunFolder] = {}
            cells = [rows[name].tolist() for name in ("seed", "table", "run_id")]
            for seed, table, run_id in zip(*cells, strict=True):
                folder = folder_of(str(table), run_id)
                if folder is not None:
                    found[None if arm.is_deterministic else seed] = folder
            is_pooled = rows["seed"].duplicated().any()
            self._folders[arm.label] = {} if is_pooled else found
        return self._folders[arm.label]

    def of(self, arm: Arm, seed: float) -> Items | None:
        """Return an arm's items at a seed, at any seed of a deterministic arm."""
        folder = self.folders(arm).get(None if arm.is_deterministic else seed)
        if folder is None:
            return None
        file = folder.predictions
        if file not in self._read:
            if len(self._read) >= MOST_FILES:
                return None
            self._read[file] = read_items(file)
        return self._read[file]

    def compare(self, a: Arm, b: Arm, draws: int) -> tuple[Paired, str] | None:
        """Return the difference of two arms and the runs it refers to; None without predictions."""
        pairs = []
        if not self.folders(a) or not self.folders(b):
            return None
        for seed in common_seeds(a, b)[:MOST_RUNS]:
            of_a, of_b = self.of(a, seed), self.of(b, seed)
            if of_a is not None and of_b is not None and of_a.matches(of_b):
                pairs.append((seed, of_a, of_b))
        if not pairs:
            return None
        seed, of_a, of_b = pairs[0]  # McNemar's test compares runs, not mean losses
        one_seed = "" if np.isnan(seed) else f"seed {seed:.0f}"
        if of_a.form == "classes":
            return mcnemar(of_a.losses == 0, of_b.losses == 0), one_seed
        left = np.mean([items.losses for _, items, _ in pairs], axis=0)
        right = np.mean([items.losses for _, _, items in pairs], axis=0)
        runs = one_seed if len(pairs) == 1 or not one_seed else f"mean of {len(pairs)} seeds"
        if of_a.form == "forecast":
            # The test squares errors: its argument is the root of the mean square.
            return diebold_mariano(np.sqrt(left), np.sqrt(right)), runs
        found = block_bootstrap(left, right, draws=draws)
        return dataclasses.replace(found, n=of_a.count), runs

    def confidence_set(self, arms: Sequence[Arm]) -> list[str]:
        """Return the labels of the Model Confidence Set of the first arms with predictions."""
        found: list[tuple[str, Items, Vector]] = []
        for arm in arms:
            if not self.folders(arm):
                continue
            read = [self.of(arm, seed) for seed in arm.by_seed.seeds[:MOST_RUNS]]
            kept = [items for items in read if items is not None]
            if not kept:
                continue
            first = found[0][1] if found else kept[0]
            if not all(items.matches(first) for items in kept):
                continue
            found.append((arm.label, kept[0], np.mean([items.losses for items in kept], axis=0)))
            if len(found) == MOST_IN_SET:
                break
        if len(found) <= 2:
            return []
        is_independent = found[0][1].form == "classes"
        losses = [piece_means(each) if is_independent else each for _, _, each in found]
        places, _ = model_confidence_set(losses, block=1 if is_independent else 10)
        return [found[place][0] for place in places]


def common_seeds(a: Arm, b: Arm) -> Vector:
    """Return the seeds of both arms, or of the other one if an arm is deterministic."""
    if a.is_deterministic:
        return b.by_seed.seeds
    if b.is_deterministic:
        return a.by_seed.seeds
    common: Vector = np.intersect1d(a.by_seed.seeds, b.by_seed.seeds)
    return common


def read_items(file: Path) -> Items | None:
    """Read the predictions of a run; None if there are none or their form is unknown."""
    import pyarrow
    import pyarrow.parquet

    try:
        names = set(pyarrow.parquet.read_schema(file).names)
        form = next((form for form, columns in FORMS.items() if {"item", *columns} <= names), None)
        if form is None:
            return None
        table = pyarrow.parquet.read_table(file, columns=["item", *FORMS[form]])
    except (OSError, ValueError, pyarrow.ArrowException):
        return None
    cells = {name: table.column(name).to_numpy() for name in table.column_names}
    number = cells["item"]
    if not len(number):
        return None
    if (np.diff(number) < 0).any():
        order = np.argsort(number, kind="stable")
        cells = {name: values[order] for name, values in cells.items()}
        number = cells["item"]
    losses = losses_of(form, cells)
    if not np.isfinite(losses).all():
        return None
    return Items(form, len(number), int(number[0]), int(number[-1]), losses)


def losses_of(form: Form, cells: dict[str, NDArray[Any]]) -> Vector:
    """Return the loss of each item, or of each piece of a long sequence."""
    if form == "classes":
        wrong = (cells["logit"] > 0) != cells["positive"].astype(bool)
        return np.asarray(wrong, dtype=np.float64)
    if form == "language":
        return piece_means(cells["nats"].astype(np.float64))
    return np.asarray((cells["actual"] - cells["predicted"]) ** 2, dtype=np.float64)


def piece_means(losses: Vector) -> Vector:
    """Return the means of equal pieces of a long sequence, without an incomplete last piece."""
    size = max(1, len(losses) // MOST_STEPS)
    whole = len(losses) // size * size
    means: Vector = losses[:whole].reshape(-1, size).mean(axis=1)
    return means
