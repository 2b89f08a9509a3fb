"""Files of runs next to their table; a missing or unreadable file counts as no file."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from functools import lru_cache
from pathlib import Path
from typing import Any, Literal, TypeVar

import pandas as pd

from benchmarks.analysis.comparison import Arm
from benchmarks.results.reader import folder_of

NO_SEED = "–"  # noqa: RUF001  an en dash

T = TypeVar("T")


class Runs:
    """The run folders next to results tables."""

    def __init__(self, tables: Iterable[Path]) -> None:
        """Open the run folders of tables; a table may have none."""
        self.tables = [str(table) for table in tables if (table.parent / "runs").is_dir()]
        self.predictions = lru_cache(maxsize=64)(self._predictions)

    def file(
        self, run_id: str, kind: Literal["row", "history", "predictions", "sample", "excerpts"]
    ) -> Path | None:
        """Return the path of a file of a run; None if it is missing."""
        folders = (folder_of(table, run_id) for table in self.tables)
        places = (getattr(folder, kind) for folder in folders if folder is not None)
        return next((place for place in places if place.is_file()), None)

    def _read(self, path: Path | None, reader: Callable[[Path], T]) -> T | None:
        try:
            return None if path is None else reader(path)
        except (OSError, ValueError):  # pyarrow's own errors derive from these
            return None

    def history(self, run_id: str) -> pd.DataFrame | None:
        """Read the learning curve: one row per epoch, all columns numeric."""
        table = self._read(self.file(run_id, "history"), pd.read_csv)
        if table is None or not len(table):
            return None
        numbers: pd.DataFrame = table.apply(pd.to_numeric, errors="coerce")
        return numbers

    def _predictions(self, run_id: str) -> pd.DataFrame | None:
        """Read the predictions by item; the index is the item number."""
        table = self._read(self.file(run_id, "predictions"), pd.read_parquet)
        if table is None or "item" not in table or not len(table):
            return None
        return table.set_index("item").sort_index()

    def classes(self, run_id: str) -> list[str]:
        """Read the names of the labels 0, 1, …; empty if the predictions do not contain them."""
        return self._read(self.file(run_id, "predictions"), _class_names) or []

    def other_metrics(self, run_id: str) -> dict[str, float]:
        """Read the test metrics that have no column in the table."""
        return self._read(self.file(run_id, "row"), _other_metrics) or {}

    def sample(self, run_id: str) -> str | None:
        """Read the generated text."""
        path = self.file(run_id, "sample")
        return self._read(path, lambda text: text.read_text(encoding="utf-8", errors="replace"))

    def excerpts(self, run_id: str) -> list[dict[str, Any]]:
        """Read the items with the largest errors that have a number and a text."""
        content = self._read(self.file(run_id, "excerpts"), _json_lines) or []
        return [
            line
            for line in content
            if isinstance(line, dict)
            and isinstance(line.get("item"), int)
            and isinstance(line.get("text"), str)
        ]


def _json_lines(path: Path) -> list[Any]:
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def _class_names(predictions: Path) -> list[str]:
    import pyarrow.parquet

    stored = (pyarrow.parquet.read_schema(predictions).metadata or {}).get(b"classes")
    names = json.loads(stored) if stored else []
    return [str(name) for name in names] if isinstance(names, list) else []


def _other_metrics(row: Path) -> dict[str, float]:
    content = json.loads(row.read_text(encoding="utf-8"))
    stored = content.get("other_metrics") if isinstance(content, dict) else None
    metrics = json.loads(stored) if isinstance(stored, str) else None
    if not isinstance(metrics, dict):
        return {}
    return {name: float(value) for name, value in metrics.items() if isinstance(value, int | float)}


def first_runs(arm: Arm, most: int) -> list[tuple[str, str]]:
    """Return run id and seed of the first runs of an arm, by seed."""
    rows = arm.rows.iloc[:most]
    return list(zip(rows["run_id"].map(str), map(seed_name, rows["seed"].tolist()), strict=True))


def seed_name(seed: object) -> str:
    """Format a seed; a dash for runs without one."""
    if isinstance(seed, int):
        return str(seed)
    return NO_SEED
