"""Files of runs next to their table: curves, predictions, samples, excerpts.

A table may have been copied without them, and files may be damaged: an unreadable file counts as
missing.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterable
from functools import lru_cache
from pathlib import Path
from typing import Any

import pandas as pd

from benchmarks.analysis.comparison import Arm
from benchmarks.results.reader import folder_of
from benchmarks.results.run_folder import RunFolder


class Runs:
    """The run folders next to results tables."""

    def __init__(self, tables: Iterable[Path]) -> None:
        """Open the run folders of tables; a table may have none."""
        self.tables = [str(table) for table in tables if (table.parent / "runs").is_dir()]
        self.predictions = lru_cache(maxsize=64)(self._read_predictions)

    def file(self, run_id: str, path_in: Callable[[RunFolder], Path]) -> Path | None:
        """Return the path of a file of a run; None if it is missing."""
        folders = (folder_of(table, run_id) for table in self.tables)
        places = (path_in(folder) for folder in folders if folder is not None)
        return next((place for place in places if place.is_file()), None)

    def history(self, run_id: str) -> pd.DataFrame | None:
        """Read the learning curve: one row per epoch, all columns numeric."""
        path = self.file(run_id, lambda run: run.history)
        if path is None:
            return None
        try:
            table = pd.read_csv(path).apply(pd.to_numeric, errors="coerce")
        except (OSError, ValueError):
            return None
        return table if len(table) else None

    def _read_predictions(self, run_id: str) -> pd.DataFrame | None:
        """Read the predictions by item; the index is the item number."""
        path = self.file(run_id, lambda run: run.predictions)
        if path is None:
            return None
        try:
            table = pd.read_parquet(path)
        except (OSError, ValueError):  # pyarrow's own errors derive from these
            return None
        if "item" not in table or not len(table):
            return None
        return table.set_index("item").sort_index()

    def sample(self, run_id: str) -> str | None:
        """Read the generated text."""
        path = self.file(run_id, lambda run: run.sample)
        if path is None:
            return None
        try:
            return path.read_text(encoding="utf-8", errors="replace")
        except OSError:
            return None

    def excerpts(self, run_id: str) -> list[dict[str, Any]]:
        """Read the items with the largest errors that have a number and a text."""
        path = self.file(run_id, lambda run: run.excerpts)
        if path is None:
            return []
        try:
            lines = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
        except (OSError, ValueError):
            return []
        return [
            line
            for line in lines
            if isinstance(line, dict)
            and isinstance(line.get("item"), int)
            and isinstance(line.get("text"), str)
        ]


def first_runs(arm: Arm, most: int) -> list[tuple[str, str]]:
    """Return run id and seed of the first runs of an arm, by seed."""
    rows = arm.rows.iloc[:most]
    return [
        (str(run_id), seed_name(seed))
        for run_id, seed in zip(rows["run_id"], rows["seed"], strict=True)
    ]


def seed_name(seed: object) -> str:
    """Format a seed; a dash for deterministic runs."""
    if isinstance(seed, (int, float)) and math.isfinite(seed):
        return f"{seed:.0f}"
    return "–"  # noqa: RUF001  an en dash
