"""What the command leaves in a results folder."""

from __future__ import annotations

import csv
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.helpers import calling


@dataclass(frozen=True)
class Results:
    """A results folder that the command wrote to."""

    folder: Path

    @property
    def rows(self) -> list[dict[str, str]]:
        return calling.rows(self.folder)

    def run(self, row: dict[str, str]) -> Path:
        return self.folder / "runs" / row["run_id"]

    def row_json(self, row: dict[str, str]) -> dict[str, Any]:
        document: dict[str, Any] = json.loads((self.run(row) / "row.json").read_text())
        return document

    def history(self, row: dict[str, str]) -> list[dict[str, str]]:
        with (self.run(row) / "history.csv").open(newline="") as file:
            return list(csv.DictReader(file))
