"""An index of the runs of a results folder, in a file that can be rebuilt from their rows."""

from __future__ import annotations

import contextlib
import json
import logging
import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

from benchmarks.results.row import Status
from benchmarks.results.run_folder import ROW
from benchmarks.system.atomic_files import set_aside, write_atomically

logger = logging.getLogger(__name__)

INDEX_FORMAT = "rnnbench index 1"
decode_json = json.JSONDecoder().raw_decode  # `json.loads` in half the time


class Entry(NamedTuple):
    """The indexed values of a row, and the time its file was last written."""

    run_id: str
    fingerprint: str
    status: Status
    starts: int
    sweep: str
    changed_ns: int


class Index:
    """The runs of a results folder that have a row; with `repair`, damaged rows are set aside."""

    def __init__(self, directory: Path, repair: bool) -> None:
        self.runs = directory / "runs"
        self.file = directory / ".index.jsonl"
        self.repair = repair
        self.entries: dict[str, Entry] = {}
        self.by_fingerprint: dict[str, dict[str, Entry]] = {}
        self.unsaved = 0
        self._reported: set[Path] = set()
        for entry in self._load():
            self._add(entry)

    def refresh(self) -> list[Entry]:
        """Find new and replaced rows, and return their entries ordered by run id.

        Rows with status `ok` are final. Other rows are checked again, as their runs may be resumed.
        """
        try:
            names = {entry.name for entry in os.scandir(self.runs)}
        except FileNotFoundError:
            names = set()
        for removed in self.entries.keys() - names:
            self._remove(removed)
        found = []
        for name in sorted(names):
            existing = self.entries.get(name)
            if existing is not None and existing.status == Status.OK:
                continue
            entry = self.look_at(name)
            if entry is not None and entry != existing:
                found.append(entry)
        return found

    def look_at(self, run_id: str) -> Entry | None:
        """Update the entry of one run; None if it has no row."""
        existing = self.entries.get(run_id)
        path = self.runs / run_id / ROW
        try:
            changed = path.stat().st_mtime_ns
            if existing is not None and existing.changed_ns == changed:
                return existing
            row = checked_row(path.read_bytes(), run_id)
        except OSError:
            return None
        except ValueError as error:
            self._report_damaged(path, error)
            return None
        fingerprint, sweep = str(row.get("fingerprint") or ""), str(row.get("sweep") or "")
        starts = int(row.get("starts") or 1)
        entry = entry_of(run_id, fingerprint, row["status"], starts, sweep, changed)
        self._add(entry)
        self.unsaved += 1
        return entry

    def save(self) -> None:
        """Write the index file, unless the folder is read-only."""
        lines = [INDEX_FORMAT, *map(json.dumps, self.entries.values())]
        with contextlib.suppress(OSError):
            write_atomically(self.file, "\n".join(lines) + "\n")
            self.unsaved = 0

    def row(self, run_id: str) -> dict[str, Any] | None:
        """Read a row; None if it is missing or damaged."""
        path = self.runs / run_id / ROW
        try:
            return checked_row(path.read_bytes(), run_id)
        except OSError:
            pass
        except ValueError as error:
            self._report_damaged(path, error)
        self._remove(run_id)
        return None

    def finished(self, fingerprints: list[str], since: str = "") -> Entry | None:
        """Return the earliest `ok` run after `since` with one of the fingerprints."""
        finished = (e for e in self.of(fingerprints) if e.status == Status.OK and e.run_id > since)
        return min(finished, default=None)

    def latest(self, fingerprints: list[str]) -> Entry | None:
        """Return the latest run with one of the fingerprints."""
        return max(self.of(fingerprints), default=None)

    def of(self, fingerprints: list[str]) -> Iterator[Entry]:
        """Iterate over the runs with one of the fingerprints."""
        for fingerprint in fingerprints:
            yield from self.by_fingerprint.get(fingerprint, {}).values()

    def _report_damaged(self, path: Path, error: ValueError) -> None:
        if path not in self._reported:
            self._reported.add(path)
            aside = set_aside(path, "damaged") if self.repair else None
            consequence = f"set aside as {aside.name}" if aside else "not counted"
            logger.warning("%s is damaged and %s (%s)", path, consequence, error)

    def _add(self, entry: Entry) -> None:
        self._remove(entry.run_id)
        self.entries[entry.run_id] = entry
        self.by_fingerprint.setdefault(entry.fingerprint, {})[entry.run_id] = entry

    def _remove(self, run_id: str) -> None:
        entry = self.entries.pop(run_id, None)
        if entry is not None:
            del self.by_fingerprint[entry.fingerprint][run_id]

    def _load(self) -> list[Entry]:
        try:
            lines = self.file.read_text(encoding="utf-8").splitlines()
            return [entry_of(*decode_json(row)[0]) for row in lines[1:] if lines[0] == INDEX_FORMAT]
        except (OSError, ValueError, TypeError):
            return []


def entry_of(
    run_id: str, fingerprint: str, status: str, starts: int, sweep: str, changed_ns: int
) -> Entry:
    """Return an entry whose repeated values share memory."""
    return Entry(run_id, fingerprint, Status(status), starts, sys.intern(sweep), changed_ns)


def checked_row(content: bytes, run_id: str) -> dict[str, Any]:
    """Parse a row file; raise ValueError unless it contains the complete row of this run."""
    row = json.loads(content)
    if not isinstance(row, dict) or row.get("run_id") != run_id:
        raise ValueError("not the row of this run")
    Status(row.get("status", ""))
    return row
