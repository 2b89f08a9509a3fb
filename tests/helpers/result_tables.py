"""Small result tables with only the columns that a test needs."""

from __future__ import annotations

import csv
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.analysis.compare import compare
from benchmarks.analysis.comparison import Change, Comparison, Group, Pair
from benchmarks.analysis.diff import changes
from benchmarks.analysis.selection import Options

Row = dict[str, Any]

LSTM = [0.81, 0.84, 0.83, 0.86, 0.82]
GRU = [0.80, 0.85, 0.82, 0.84, 0.83]
RNN = [0.70, 0.72, 0.69, 0.74, 0.71]

NEEDED: Row = {
    "task": "toy",
    "metric": "accuracy",
    "higher_is_better": "true",
    "status": "ok",
}


def arm(
    model: str, scores: Sequence[float], seeds: Sequence[int] | None = None, **more: Any
) -> list[Row]:
    """Return rows of one arm, one per score."""
    seeds = range(len(scores)) if seeds is None else seeds
    return [
        NEEDED | {"model": model, "seed": seed, "test_score": score} | more
        for seed, score in zip(seeds, scores, strict=True)
    ]


QUIET: Row = {
    "device": "cpu",
    "device_name": "x",
    "threads": 1,
    "torch_version": "2",
    "concurrent_runs": 1,
    "load_average": 0.2,
}
"""Columns of a run on a machine without other load."""


def timed(
    model: str, flops: float, utilisation: float, peak: float = 100.0, **more: Any
) -> list[Row]:
    """Return an arm with these FLOPs per token at this share of the peak."""
    columns = {
        "model_flops_utilisation": utilisation,
        "peak_gflops": peak,
        "tokens_per_second": utilisation * peak * 1e9 / (3 * flops),
        "kernel": "torch",
        "precision": "highest",
    }
    return arm(model, [0.81, 0.84, 0.83], **(QUIET | columns | more))


def fixed(model: str, score: float, kind: str = "naive", **more: Any) -> list[Row]:
    """Return the row of a deterministic baseline."""
    return [NEEDED | {"model": model, "seed": "", "test_score": score, "baseline": kind} | more]


def write(path: Path, rows: Sequence[Row]) -> Path:
    """Write rows as a table; missing columns are empty."""
    columns = list(dict.fromkeys(name for row in rows for name in row))
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, columns, restval="")
        writer.writeheader()
        writer.writerows(rows)
    return path


def compared(folder: Path, *arms: list[Row], **options: Any) -> Comparison:
    """Compare arms."""
    rows = [row for each in arms for row in each]
    return compare([write(folder / "table.csv", rows)], Options(**options))


def grouped(folder: Path, *arms: list[Row], **options: Any) -> Group:
    """Compare arms of one group."""
    (group,) = compared(folder, *arms, **options).groups
    return group


def changed(folder: Path, before: list[Row], after: list[Row], **options: Any) -> dict[str, Change]:
    """Return the changes between two tables by label."""
    a, b = write(folder / "a.csv", before), write(folder / "b.csv", after)
    return {each.label: each for each in changes(a, b, Options(**options)).changes}


def keep_predictions(results: Path, run_id: str, columns: dict[str, Any]) -> None:
    """Write the predictions of a run to its folder."""
    import pyarrow as pa
    from pyarrow import parquet

    folder = results / "runs" / run_id
    folder.mkdir(parents=True)
    count = len(next(iter(columns.values())))
    items = {"item": np.arange(count, dtype=np.int32)}
    parquet.write_table(pa.table(items | columns), folder / "predictions.parquet")


def pair_of(group: Group, a: str, b: str) -> Pair:
    return next(pair for pair in group.pairs if {pair.a, pair.b} == {a, b})
