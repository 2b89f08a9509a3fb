"""The results folder: one folder per run, the results table and the leases."""

from __future__ import annotations

import dataclasses
import json
import os
import secrets
import tempfile
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from benchmarks.errors import UserError
from benchmarks.results.csv_table import TableView
from benchmarks.results.index import Index, checked_row
from benchmarks.results.leases import Leases
from benchmarks.results.row import COLUMNS, Row
from benchmarks.results.run_folder import RunFolder
from benchmarks.system.atomic_files import write_atomically


def new_run_id(model: str, task: str, seed: int, now: datetime) -> str:
    """Return a unique id that sorts by start time in UTC."""
    moment = now.astimezone(UTC).strftime("%Y%m%dT%H%M%S.%fZ")
    return f"{moment}-{task}-{model}-s{seed}-{secrets.token_hex(3)}"


class Store:
    """A results folder: `runs/<run_id>/` for each run, and `results.csv` as a view of the rows."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.runs = directory / "runs"
        self.table = directory / "results.csv"
        self.leases = Leases(directory / "running")

    def check_writable(self) -> None:
        """Create the folder and check that files can be written in it, or raise UserError."""
        try:
            for folder in (self.directory, self.runs, self.leases.directory):
                folder.mkdir(parents=True, exist_ok=True)
                with tempfile.TemporaryFile(dir=folder) as file:
                    file.write(b" ")
                    file.flush()
            if self.table.exists() and not os.access(self.table, os.W_OK):
                raise PermissionError(0, "results.csv is read-only")
        except OSError as error:
            raise UserError(
                f"results_dir={self.directory}: cannot be written to ({error.strerror}); "
                f"choose another with results_dir=PATH"
            ) from error

    def run(self, run_id: str) -> RunFolder:
        """Return the folder of a run, which may not exist."""
        return RunFolder(self.runs / run_id)

    def write_row(self, row: Row) -> None:
        """Write a row into the folder of its run; on OSError the previous row is kept."""
        text = json.dumps(dataclasses.asdict(row), indent=2, allow_nan=False)
        write_atomically(self.run(row.run_id).create().row, text + "\n")

    def row(self, run_id: str) -> dict[str, Any] | None:
        """Read the row of a run; None if it is missing or damaged."""
        try:
            return checked_row(self.run(run_id).row.read_bytes(), run_id)
        except (OSError, ValueError):
            return None

    def index(self, repair: bool = True) -> Index:
        """Return an up-to-date index of the runs."""
        index = Index(self.directory, repair)
        index.refresh()
        return index

    def view(self, index: Index | None = None) -> TableView:
        """Return the results table."""
        return TableView(self.table, index or self.index(), COLUMNS)
