"""What a sweep leaves beside its runs: its cells, for status and clusters, and their logs."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from benchmarks.errors import UserError
from benchmarks.results.index import parsed
from benchmarks.sweeps.cell import Cell
from benchmarks.system.atomic_files import write_atomically


@dataclass(frozen=True)
class CellRecord:
    """A line of `cells.jsonl`; see `Cell`."""

    number: int
    label: str
    overrides: list[str]
    fingerprints: list[str]
    log: str
    study: str | None = None
    trial: int | None = None


class SweepDirectory:
    """`results/sweeps/<sweep_id>/`: `sweep.json`, `cells.jsonl` and `logs/`."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.sweep_id = path.name
        self.cells_path = path / "cells.jsonl"

    def log(self, cell: Cell) -> Path:
        """Where the output of a cell goes."""
        return self.path / "logs" / cell.log_name

    def shared_log(self, cells: list[Cell]) -> Path:
        """Where the output of cells goes that run in one process; the other cells' logs say so."""
        log = self.log(cells[0])
        for cell in cells[1:]:
            with self.log(cell).open("a", encoding="utf-8") as file:
                file.write(f"in one process with {cells[0].label}: see {log.name}\n")
        return log

    def write(self, cells: list[Cell], command: list[str], launcher: str, total: int) -> None:
        """Write down what the sweep is made of; what a search has added before stays."""
        (self.path / "logs").mkdir(parents=True, exist_ok=True)
        if len(cells) == total or not self.cells_path.exists():
            write_atomically(self.cells_path, "".join(map(line_of, cells)))
        about = {
            "sweep": self.sweep_id,
            "command": command,
            "launcher": launcher,
            "cells": total,
            "started": time.time(),
        }
        write_atomically(self.path / "sweep.json", json.dumps(about, indent=2) + "\n")

    def add(self, cell: Cell) -> None:
        """Write down one more cell of a search, which learns of them one by one."""
        with self.cells_path.open("a", encoding="utf-8") as file:
            file.write(line_of(cell))

    def records(self) -> Iterator[CellRecord]:
        """Read the cells back; a last line that a crash tore is no cell."""
        with self.cells_path.open(encoding="utf-8") as file:
            for line in file:
                if line.endswith("\n"):
                    yield CellRecord(**parsed(line)[0])

    def record(self, number: int) -> CellRecord:
        """Read one cell back, without reading all of them if they are in order."""
        found = self._nearby(number)
        if found is None or found.number != number:  # a search adds them in any order
            found = next(record for record in self.records() if record.number == number)
        return found

    def _nearby(self, number: int) -> CellRecord | None:
        """Look a cell up as in a dictionary: the first whose number is not smaller."""
        low, high, found = 0, self.cells_path.stat().st_size, None
        with self.cells_path.open("rb") as file:
            while low < high:
                middle = (low + high) // 2
                file.seek(max(0, middle - 1))
                if middle > 0:
                    file.readline()  # the rest of the line before
                line = file.readline()
                record = CellRecord(**json.loads(line)) if line.endswith(b"\n") else None
                if record is not None and record.number < number:
                    low = file.tell()
                else:
                    found, high = record or found, middle
        return found


def line_of(cell: Cell) -> str:
    """Write a cell as a line of JSON."""
    plain = {
        "number": cell.number,
        "label": cell.label,
        "overrides": cell.overrides,
        "fingerprints": cell.fingerprints,
        "log": cell.log_name,
        "study": cell.study,
        "trial": cell.trial,
    }
    return json.dumps(plain) + "\n"


def started_at_of(sweep: Path) -> str:
    """When the sweep in a folder was begun the last time, as run ids write it."""
    about = json.loads((sweep / "sweep.json").read_text(encoding="utf-8"))
    return datetime.fromtimestamp(about["started"], UTC).strftime("%Y%m%dT%H%M%S")


def latest_sweep(results: Path) -> SweepDirectory:
    """Find the sweep that was begun last.

    Raises:
        UserError: there is none.
    """
    files = list((results / "sweeps").glob("*/sweep.json"))
    if not files:
        raise UserError(f"{results}: there is no sweep here")
    return SweepDirectory(max(files, key=lambda file: file.stat().st_mtime).parent)
