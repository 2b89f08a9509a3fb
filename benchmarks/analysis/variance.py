"""Variance components of the runs of `experiment=variance`, by source of randomness."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import reduce
from operator import add
from pathlib import Path

import numpy as np
import pandas as pd

from benchmarks.analysis.item_files import Form, read_items
from benchmarks.analysis.labels import cell_text
from benchmarks.analysis.row_filter import SETTINGS
from benchmarks.analysis.statistics.items import FEWEST_STEPS, block_length
from benchmarks.analysis.statistics.variance import (
    Array,
    Estimate,
    crossed_components,
    item_component,
)
from benchmarks.errors import UserError, nearest
from benchmarks.results.reader import folder_of, read_tables
from benchmarks.results.row import Status

FACTORS = {
    "init_seed": ("initialisation", "train.init_seed"),
    "order_seed": ("data order", "train.order_seed"),
    "split_seed": ("split", "task.split_seed"),
}
"""By column: the source of randomness and the setting that fixes it."""

SAME = ("task", "task_version", "metric", "dataset_sha256", "model", "model_version", *SETTINGS)
LARGEST_SCORE = 1e100  # squares of larger ones overflow
TOLERANCE = 0.01  # relative difference of a score from that of its predictions, which are rounded
COMBINATION, SEEDS, VARIED = "their combination", "all seeds", "the varied seeds"
ITEMS, TOTAL = "test items", "total"


@dataclass(frozen=True)
class Component:
    """The sd of a score due to one source, in the unit of the metric, and its share of the total.

    `levels` is the number of seeds or items; intervals are (low, high).
    """

    source: str
    levels: int | None
    deviation: float
    interval: tuple[float, float]
    share: float | None
    share_interval: tuple[float, float] | None


@dataclass(frozen=True)
class VarianceTable:
    """The components of runs that differ only in their seeds; `notes` name what is missing."""

    task: str
    model: str
    metric: str
    overrides: str
    runs: int
    components: list[Component]
    notes: list[str]


def variance_tables(tables: Sequence[Path], task: str | None = None) -> list[VarianceTable]:
    """Estimate the variance components of each model and task.

    Raises:
        UserError: a table is invalid, has no runs with fixed streams, or misses some of a design.
    """
    read = read_tables(tables).frame
    frame = fixed_runs(read)
    if frame.empty and (read["init_seed"].notna() & read["order_seed"].notna()).any():
        raise UserError(f"{tables[0]}: no run with fixed random streams ended with a score")
    if frame.empty:
        raise UserError(
            f"{tables[0]}: has no runs with train.init_seed and train.order_seed; make them with "
            f"python run.py -m experiment=variance"
        )
    if task is not None:
        known = sorted(set(frame["task"]))
        if task not in known:
            raise UserError(
                f"--task {task}: no runs of variance components for this task"
                f"{nearest(task, known)}; there are {', '.join(known)}"
            )
        frame = frame[frame["task"] == task]
    groups = frame.groupby([*SAME, "other_overrides"], dropna=False, observed=True)
    return [variance_table(rows) for _, rows in groups]


def fixed_runs(frame: pd.DataFrame) -> pd.DataFrame:
    """Return the successful runs whose random streams are all fixed, each once."""
    is_fixed = frame["init_seed"].notna() & frame["order_seed"].notna()
    frame = frame[is_fixed & (frame["smoke"] != 1)]
    frame = frame[frame["status"].isin(["", Status.OK]) & np.isfinite(frame["test_score"])]
    keys = tuple(f"{key}=" for _, key in FACTORS.values())
    others = [
        " ".join(word for word in str(text).split() if not word.lstrip("+").startswith(keys))
        for text in frame["overrides"]
    ]
    too_large = frame[frame["test_score"].abs() > LARGEST_SCORE]
    if len(too_large):
        score = too_large["test_score"].iloc[0]
        raise UserError(f"{too_large['run_id'].iloc[0]}: the score {score:g} has no variance")
    return frame.assign(other_overrides=others).drop_duplicates(
        [*SAME, "other_overrides", *FACTORS, "test_score"]
    )


def variance_table(rows: pd.DataFrame) -> VarianceTable:
    """Estimate the components of one design."""
    varied = [name for name in FACTORS if rows[name].nunique(dropna=False) > 1]
    rows = in_order(rows, varied)
    shape = [rows[name].nunique(dropna=False) for name in varied]
    rng = np.random.default_rng(0)
    found = crossed_components(rows["test_score"].to_numpy().reshape(shape), rng)
    components = {FACTORS[name][0]: found[axis,] for axis, name in enumerate(varied)}
    levels = {FACTORS[name][0]: count for name, count in zip(varied, shape, strict=True)}
    if len(varied) > 1:
        components[COMBINATION] = reduce(add, [e for axes, e in found.items() if len(axes) > 1])
    notes = [
        f"{source}: one seed, its share is unknown and no part of the total"
        if name != "split_seed"
        else f"{source}: the same in all runs ({rows['split'].iloc[0]})"
        for name, (source, _) in FACTORS.items()
        if name not in varied
    ]
    is_part = not {"init_seed", "order_seed"} <= {*varied}
    parts = item_parts(rows)
    if isinstance(parts, str):
        notes.append(f"{ITEMS}: their share is unknown: {parts}")
    else:
        seeds = rows[varied].fillna(-1).to_numpy()
        is_apart = (seeds[:, None] != seeds[None]).all(axis=2)
        components[ITEMS] = item_component(*parts, is_apart, rng)
        levels[ITEMS] = int(rows["test_size"].iloc[0])
    first = rows.iloc[0]
    return VarianceTable(
        task=first["task"],
        model=first["model"],
        metric=first["metric"],
        overrides=first["other_overrides"],
        runs=len(rows),
        components=with_shares(components, levels, VARIED if is_part else SEEDS),
        notes=notes,
    )


def in_order(rows: pd.DataFrame, varied: list[str]) -> pd.DataFrame:
    """Return the rows by their seeds, or raise UserError unless each combination has one row."""
    name = f"{rows['model'].iloc[0]} on {rows['task'].iloc[0]}"
    if not varied:
        raise UserError(f"{name}: one run is not enough; experiment=variance makes several")
    repeated = rows[rows.duplicated(varied, keep=False)]
    if len(repeated):
        scores = " and ".join(f"{score:g}" for score in repeated["test_score"].head(2))
        raise UserError(
            f"{name}: runs with equal seeds have different scores ({seeds_text(repeated, varied)}: "
            f"{scores}); settings without a column differ, or training is not deterministic"
        )
    seeds = [rows[name].drop_duplicates().sort_values() for name in varied]
    every = pd.MultiIndex.from_product(seeds, names=varied).to_frame(index=False)
    filled = every.merge(rows, on=varied, how="left", indicator="found")
    missing = filled[filled["found"] != "both"]
    if len(missing):
        raise UserError(
            f"{name}: {len(missing)} of {len(every)} runs of the design failed or are missing, "
            f"such as {seeds_text(missing, varied)}; run the same sweep again"
        )
    return filled


def seeds_text(rows: pd.DataFrame, varied: list[str]) -> str:
    """Return the seeds of the first row as on the command line."""
    return " ".join(f"{FACTORS[n][1]}={cell_text(rows[n].iloc[0]) or 'null'}" for n in varied)


def item_parts(rows: pd.DataFrame) -> tuple[Array, int] | str:
    """Return the parts (runs, items) of each item in a run's score and the length of a block.

    If predictions are missing or contradict the scores, return the reason.
    """
    parts, is_independent = [], False
    for table, run_id, score in zip(rows["table"], rows["run_id"], rows["test_score"], strict=True):
        folder = folder_of(str(table), str(run_id))
        items = None if folder is None else read_items(folder.predictions)
        if items is None:
            return f"no predictions of {run_id}"
        mean = float(items.losses.mean())
        expected, slope = score_and_slope(items.form, mean)
        if abs(expected - score) > TOLERANCE * abs(score):
            return f"the predictions of {run_id} give a score of {expected:.4g}, not {score:.4g}"
        is_independent = items.form == "classes"
        parts.append(slope * (items.losses - mean))
    if len({len(each) for each in parts}) > 1:
        return "runs have predictions of different items"
    if len(parts[0]) < FEWEST_STEPS:
        return f"{len(parts[0])} items are too few"
    stacked = np.stack(parts)
    return stacked, 1 if is_independent else block_length(stacked.mean(axis=0))


def score_and_slope(form: Form, loss: float) -> tuple[float, float]:
    """Return the score at a mean loss of the items, and its derivative."""
    if form == "classes":
        return 1 - loss, -1.0
    score = math.exp(loss) if form == "language" else math.sqrt(loss)
    return score, score if form == "language" else 0.5 / max(score, 1e-300)


def with_shares(
    estimates: dict[str, Estimate], levels: dict[str, int], of_runs: str
) -> list[Component]:
    """Return the components, the sums of those `of_runs` and of all, and their shares of all."""
    rows = {source: estimate for source, estimate in estimates.items() if source != ITEMS}
    rows[of_runs] = reduce(add, rows.values())
    rows |= {ITEMS: estimates[ITEMS]} if ITEMS in estimates else {}
    rows[TOTAL] = total = reduce(add, estimates.values())
    found = []
    for source, estimate in rows.items():
        share = estimate.share_of(total)
        found.append(
            Component(
                source,
                levels.get(source),
                math.sqrt(estimate.variance),
                estimate.deviation_interval,
                None if share is None else share[0],
                None if share is None or source == TOTAL else share[1:],
            )
        )
    return found
