"""Tests of two arms over the items of the test split, from the predictions of their runs."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from benchmarks.analysis.comparison import Arm
from benchmarks.analysis.formatting import listed
from benchmarks.analysis.item_files import Items, piece_means, read_items
from benchmarks.analysis.seed_tests import equal_to_rounding
from benchmarks.analysis.statistics.common import Paired, Vector, unit_of
from benchmarks.analysis.statistics.items import (
    block_bootstrap,
    diebold_mariano,
    mcnemar,
    model_confidence_set,
)
from benchmarks.analysis.statistics.two_level import FEWEST_SEEDS, crossed_test
from benchmarks.results.reader import folder_of
from benchmarks.results.run_folder import RunFolder

MOST_RUNS = 10  # runs of an arm that are read: more seeds hardly change the mean loss of an item
MOST_IN_SET = 20  # arms of a Model Confidence Set; its cost grows with their square
MOST_FILES = 500  # files of a group in memory; further predictions are ignored
MOST_NOTES = 3  # runs whose predictions are not used that are listed one by one

SeedItems = tuple[int | None, Items, Items]


class ItemTests:
    """Reader of the predictions of a group, each file once, and tests of arms over them."""

    def __init__(self) -> None:
        self._read: dict[Path, Items | None] = {}
        self._runs: dict[str, dict[int | None, tuple[RunFolder, float]]] = {}
        self._rejected: list[str] = []
        self._mismatched: dict[str, list[str]] = {}

    def runs(self, arm: Arm) -> dict[int | None, tuple[RunFolder, float]]:
        """Return folders and scores of an arm's runs by seed, None if deterministic.

        A pooled arm has none.
        """
        rows = arm.rows
        if arm.label not in self._runs:
            found: dict[int | None, tuple[RunFolder, float]] = {}
            cells = [rows[name].tolist() for name in ("seed", "table", "run_id", "score")]
            for seed, table, run_id, score in zip(*cells, strict=True):
                folder = folder_of(str(table), run_id)
                if folder is not None:
                    found[None if arm.is_deterministic else seed] = folder, score
            is_pooled = rows["seed"].duplicated().any()
            self._runs[arm.label] = {} if is_pooled else found
        return self._runs[arm.label]

    def of(self, arm: Arm, seed: int | None) -> Items | None:
        """Return an arm's items at a seed, at any seed of a deterministic arm.

        Predictions that contradict the table are not returned.
        """
        run = self.runs(arm).get(None if arm.is_deterministic else seed)
        if run is None:
            return None
        file = run[0].predictions
        if file not in self._read:
            if len(self._read) >= MOST_FILES:
                return None
            self._read[file] = self._checked(run, str(arm.rows["own_metric"].iloc[0]))
        return self._read[file]

    def _checked(self, run: tuple[RunFolder, float], metric: str) -> Items | None:
        """Return the items of a run, or record why they are not used."""
        folder, score = run
        items = read_items(folder.predictions)
        if items is None or not items.is_scored_by(metric):
            return None
        reason = items.contradiction(score, metric)
        if not reason:
            return items
        self._rejected.append(f"predictions of {folder.path.name} are not used: they give {reason}")
        return None

    def seeds_of(self, a: Arm, b: Arm) -> list[SeedItems]:
        """Return the items of two arms at their common seeds; empty if any two do not match."""
        pairs: list[SeedItems] = []
        if not self.runs(a) or not self.runs(b):
            return pairs
        for seed in common_seeds(a, b)[:MOST_RUNS]:
            of_a, of_b = self.of(a, seed), self.of(b, seed)
            if of_a is None or of_b is None:
                continue
            first = pairs[0][1] if pairs else of_a
            reason = of_a.mismatch(of_b) or of_a.mismatch(first)
            if reason:
                names = self._mismatched.setdefault(reason, [])
                names += [name] if (name := f"{a.label} and {b.label}") not in names else []
                return []
            pairs.append((seed, of_a, of_b))
        return without_rounding(pairs)

    def compare(self, a: Arm, b: Arm, draws: int) -> tuple[Paired, str] | None:
        """Return the difference of two arms and the runs it refers to; None without predictions."""
        pairs = self.seeds_of(a, b)
        if not pairs:
            return None
        seed, of_a, of_b = pairs[0]
        one_seed = "" if seed is None else f"seed {seed}"
        has_more = len(pairs) > 1 and bool(one_seed)
        if of_a.form == "classes":
            # McNemar's test compares runs, not mean losses.
            runs = f"{one_seed} alone" if has_more else one_seed
            return mcnemar(of_a.losses == 0, of_b.losses == 0), runs
        left = np.mean([items.losses for _, items, _ in pairs], axis=0)
        right = np.mean([items.losses for _, _, items in pairs], axis=0)
        runs = f"mean of {len(pairs)} seeds" if has_more else one_seed
        unit = unit_of(left, right)
        if of_a.form == "forecast":
            # The test squares errors: its argument is the root of the mean square.
            errors = np.sqrt(left / unit), np.sqrt(right / unit)
            return diebold_mariano(*errors).times(unit), runs
        found = block_bootstrap(left / unit, right / unit, draws=draws).times(unit)
        return dataclasses.replace(found, n=of_a.count), runs

    def population(self, a: Arm, b: Arm) -> Paired | None:
        """Test two arms for all seeds and all items; None for fewer than three common seeds.

        The difference is that of the metric. A part of the seeds could contradict the verdict on
        all of them, so all must be in common and have predictions; at most `MOST_RUNS` are read.
        """
        pairs = self.seeds_of(a, b)
        counts = [arm.by_seed.n for arm in (a, b) if not arm.is_deterministic]
        if len(pairs) < max(FEWEST_SEEDS, min(MOST_RUNS, max(counts, default=0))):
            return None
        differences = [of_a.contributions() - of_b.contributions() for _, of_a, of_b in pairs]
        return crossed_test(differences, is_sequence=pairs[0][1].form != "classes")

    def mean_losses(self, arms: Sequence[Arm], most: int) -> list[tuple[str, Items, Vector]]:
        """Return label, items and mean losses over seeds of the first arms with predictions."""
        found: list[tuple[str, Items, Vector]] = []
        for arm in arms:
            if not self.runs(arm):
                continue
            read = [self.of(arm, seed) for seed in arm.by_seed.seed_list[:MOST_RUNS]]
            kept = [items for items in read if items is not None]
            if not kept:
                continue
            first = found[0][1] if found else kept[0]
            if any(items.mismatch(first) for items in kept):
                continue
            found.append((arm.label, kept[0], np.mean([items.losses for items in kept], axis=0)))
            if len(found) == most:
                break
        return found

    def confidence_set(self, arms: Sequence[Arm]) -> list[str]:
        """Return the labels of the Model Confidence Set of the first arms with predictions."""
        found = self.mean_losses(arms, MOST_IN_SET)
        if len(found) <= 2:
            return []
        is_independent = found[0][1].form == "classes"
        unit = unit_of(*(each for _, _, each in found))
        losses = [piece_means(each) if is_independent else each / unit for _, _, each in found]
        places, _ = model_confidence_set(losses, block=1 if is_independent else 10)
        return [found[place][0] for place in places]

    def notes(self) -> list[str]:
        """Return notes on predictions that were read and not used."""
        notes = self._rejected[:MOST_NOTES]
        if len(self._rejected) > MOST_NOTES:
            more = len(self._rejected) - MOST_NOTES
            notes.append(f"predictions of {more:,} more runs are not used, for the same reason")
        return notes + [
            f"no test over items, {reason}: {listed(names)}"
            for reason, names in self._mismatched.items()
        ]


def without_rounding(pairs: list[SeedItems]) -> list[SeedItems]:
    """Return equal items if all losses differ by rounding only: a test would find its sign."""
    scores = np.array([(of_a.score, of_b.score) for _, of_a, of_b in pairs]).reshape(-1, 2)
    is_class = bool(pairs) and pairs[0][1].form == "classes"
    if is_class or not equal_to_rounding(scores[:, 0], scores[:, 1]):
        return pairs
    return [(seed, of_a, of_a) for seed, of_a, _ in pairs]


def common_seeds(a: Arm, b: Arm) -> list[int | None]:
    """Return the seeds of both arms, or of the other one if an arm is deterministic."""
    if a.is_deterministic:
        return b.by_seed.seed_list
    if b.is_deterministic:
        return a.by_seed.seed_list
    return [*np.intersect1d(a.by_seed.seeds, b.by_seed.seeds).tolist()]
