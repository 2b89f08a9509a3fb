"""What the items of the test split say of two arms, from the predictions that runs keep."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from benchmarks.analysis import statistics
from benchmarks.analysis.comparison import Arm
from benchmarks.analysis.statistics import Paired, Vector
from benchmarks.results.reader import folder_of
from benchmarks.results.run_folder import RunFolder

Form = Literal["classes", "language", "forecast"]

MOST_RUNS = 10
"""Of an arm whose files are read: more seeds make the mean loss of an item hardly surer."""

MOST_STEPS = 500
"""Pieces into which a long test split is cut. A resampled block is at least ten of them, which on
tiny Shakespeare's 55,770 characters is the 1,000 characters beyond which they hardly depend on each
other."""

MOST_IN_SET = 20
"""Arms among which a Model Confidence Set is sought; its cost grows with their square."""

MOST_FILES = 500
"""Kept in memory at once, for one group; beyond them, items are left out."""


@dataclass(frozen=True)
class Items:
    """What a run predicted, as far as tests need it.

    Attributes:
        form: what kind of file it is.
        count: items in all.
        first, last: numbers of the first and the last item.
        losses: (steps,) wrong or not, nats (mean of each piece of the split) or squared error.
    """

    form: Form
    count: int
    first: int
    last: int
    losses: Vector

    def matches(self, other: Items) -> bool:
        """Whether both are of the same items."""
        return (self.form, self.count, self.first, self.last) == (
            other.form,
            other.count,
            other.first,
            other.last,
        )


class ItemTests:
    """Reads predictions, each file once, and compares arms by them."""

    def __init__(self) -> None:
        self._read: dict[Path, Items | None] = {}
        self._folders: dict[int, tuple[pd.DataFrame, dict[float | None, RunFolder]]] = {}

    def folders(self, arm: Arm) -> dict[float | None, RunFolder]:
        """Where an arm's runs have left something, by seed; None is that of a deterministic arm.

        Of pooled arms nobody can say which run stands for them at a seed, so there it is empty.
        """
        rows = arm.rows
        if id(rows) not in self._folders:
            found: dict[float | None, RunFolder] = {}
            cells = [rows[name].tolist() for name in ("seed", "table", "run_id")]
            for seed, table, run_id in zip(*cells, strict=True):
                folder = folder_of(str(table), run_id)
                if folder is not None:
                    found[None if arm.is_deterministic else seed] = folder
            is_pooled = rows["seed"].duplicated().any()
            # The rows are kept with it, as another object could get their id.
            self._folders[id(rows)] = (rows, {} if is_pooled else found)
        return self._folders[id(rows)][1]

    def of(self, arm: Arm, seed: float) -> Items | None:
        """An arm's predictions at a seed, at any of a deterministic arm; None if there are none."""
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
        """Compare two arms by items, and say of which runs; None where items are not kept.

        McNemar's test is of two runs, those of the first seed in common; the others are of losses
        averaged over the seeds in common.

        Args:
            a, b: the arms; differences are A - B.
            draws: of the block bootstrap.
        """
        pairs = []
        if not self.folders(a) or not self.folders(b):
            return None
        for seed in seeds_in_common(a, b)[:MOST_RUNS]:
            mine, others = self.of(a, seed), self.of(b, seed)
            if mine is not None and others is not None and mine.matches(others):
                pairs.append((seed, mine, others))
        if not pairs:
            return None
        if pairs[0][1].form == "classes":
            seed, mine, others = pairs[0]
            found = statistics.mcnemar(mine.losses == 0, others.losses == 0)
            return found, "" if np.isnan(seed) else f"seed {seed:.0f}"
        left = np.mean([mine.losses for _, mine, _ in pairs], axis=0)
        right = np.mean([others.losses for _, _, others in pairs], axis=0)
        which = "" if np.isnan(pairs[0][0]) else f"mean of {len(pairs)} seeds"
        if len(pairs) == 1 and which:
            which = f"seed {pairs[0][0]:.0f}"
        if pairs[0][1].form == "forecast":
            # The test squares errors itself: the root of the mean square is the error to give it.
            return statistics.diebold_mariano(np.sqrt(left), np.sqrt(right)), which
        found = statistics.block_bootstrap(left, right, draws=draws)
        return dataclasses.replace(found, n=pairs[0][1].count), which

    def confidence_set(self, arms: Sequence[Arm]) -> list[str]:
        """Labels of the arms that may be the best by the items; empty if they cannot be compared.

        Args:
            arms: best first; the first 20 of those whose items are kept are looked at.
        """
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
        form = found[0][1].form
        losses = [coarse(each) if form == "classes" else each for _, _, each in found]
        block = 1 if form == "classes" else 10
        places, _ = statistics.model_confidence_set(losses, block=block)
        return [found[place][0] for place in places]


def seeds_in_common(a: Arm, b: Arm) -> Vector:
    """Seeds that both arms have; those of the other where one has none."""
    if a.is_deterministic:
        return b.by_seed.seeds
    if b.is_deterministic:
        return a.by_seed.seeds
    common: Vector = np.intersect1d(a.by_seed.seeds, b.by_seed.seeds)
    return common


def read_items(file: Path) -> Items | None:
    """Read a run's predictions; None if there are none or they have no form that is known."""
    import pyarrow
    import pyarrow.parquet

    try:
        names = set(pyarrow.parquet.read_schema(file).names)
        form, columns = form_of(names)
        if form is None:
            return None
        table = pyarrow.parquet.read_table(file, columns=["item", *columns])
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


def form_of(names: set[str]) -> tuple[Form | None, list[str]]:
    """Tell from its columns what a file is, and which of them are needed."""
    forms: dict[Form, list[str]] = {
        "classes": ["logit", "positive"],
        "language": ["nats"],
        "forecast": ["actual", "predicted"],
    }
    for form, columns in forms.items():
        if {"item", *columns} <= names:
            return form, columns
    return None, []


def losses_of(form: Form, cells: dict[str, NDArray[Any]]) -> Vector:
    """The loss of each item, or of each piece of a long sequence, by the task's own metric."""
    if form == "classes":
        wrong = (cells["logit"] > 0) != cells["positive"].astype(bool)
        return np.asarray(wrong, dtype=np.float64)
    if form == "language":
        return coarse(cells["nats"].astype(np.float64))
    return np.asarray((cells["actual"] - cells["predicted"]) ** 2, dtype=np.float64)


def coarse(losses: Vector) -> Vector:
    """Means of equal pieces of a long sequence; an incomplete last piece is dropped."""
    size = max(1, len(losses) // MOST_STEPS)
    whole = len(losses) // size * size
    means: Vector = losses[:whole].reshape(-1, size).mean(axis=1)
    return means
