"""The directory of a sweep: its cells, for status and cluster jobs, and their logs."""

from __future__ import annotations

import dataclasses
import json
import time
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from benchmarks.results.index import decode_json
from benchmarks.sweeps.cell import Cell
from benchmarks.system.atomic_files import write_atomically
from benchmarks.system.processes import this_process


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
        """Return the path of a cell's log."""
        return self.path / "logs" / cell.log_name

    def shared_log(self, cells: list[Cell]) -> Path:
        """Return the log of cells that share a process; the other cells' logs refer to it."""
        log = self.log(cells[0])
        for cell in cells[1:]:
            with self.log(cell).open("a", encoding="utf-8") as file:
                file.write(f"in one process with {cells[0].label}: see {log.name}\n")
        return log

    def write(self, cells: list[Cell], command: list[str], launcher: str, total: int) -> None:
        """Write the sweep's description and cells; cells that a search added before are kept."""
        (self.path / "logs").mkdir(parents=True, exist_ok=True)
        if len(cells) == total or not self.cells_path.exists():
            write_atomically(self.cells_path, "".join(map(line_of, cells)))
        info = {
            "sweep": self.sweep_id,
            "command": command,
            "launcher": launcher,
            "cells": total,
            "started": time.time(),
            "owner": dataclasses.asdict(this_process()),
        }
        write_atomically(self.path / "sweep.json", json.dumps(info, indent=2) + "\n")

    def info(self) -> dict[str, Any]:
        """Read `sweep.json`."""
        info: dict[str, Any] = json.loads((self.path / "sweep.json").read_text("utf-8"))
        return info

    def start_time(self) -> str:
        """Return the time of the sweep's latest start, in the format of run ids."""
        return datetime.fromtimestamp(self.info()["started"], UTC).strftime("%Y%m%dT%H%M%S")

    def add(self, cell: Cell) -> None:
        """Append a cell, which a search has just sampled."""
        with self.cells_path.open("a", encoding="utf-8") as file:
            file.write(line_of(cell))

    def records(self) -> Iterator[CellRecord]:
        """Read the cells; an incomplete last line is ignored."""
        with self.cells_path.open(encoding="utf-8") as file:
            for line in file:
                if line.endswith("\n"):
                    yield CellRecord(**decode_json(line)[0])

    def record(self, number: int) -> CellRecord:
        """Read one cell, without reading all of them if they are in order."""
        found = self._bisect(number)
        if found is None or found.number != number:  # a search adds them in any order
            found = next(record for record in self.records() if record.number == number)
        return found

    def _bisect(self, number: int) -> CellRecord | None:
        """Return the first cell, in a file in order, whose number is not smaller."""
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
    """Return a cell as a line of `cells.jsonl`."""
    names = ("number", "label", "overrides", "fingerprints", "log_name", "study", "trial")
    return json.dumps(vars(CellRecord(*(getattr(cell, name) for name in names)))) + "\n"
