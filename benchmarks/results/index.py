"""What is known of every run of a results folder, without reading every row each time.

The rows in the run folders are the truth. What was read of them is kept in a file, which holds
nothing that cannot be read again.
"""

from __future__ import annotations

import contextlib
import json
import os
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.results.row import Status
from benchmarks.results.run_folder import ROW
from benchmarks.system.atomic_files import set_aside, write_atomically

INDEX_FORMAT = "rnnbench index 1"

parsed = json.JSONDecoder().raw_decode
"""As `json.loads`, in half the time: lines are many and have nothing around them."""


@dataclass(frozen=True, slots=True)
class Entry:
    """A finished run.

    Attributes:
        changed_ns: when its row file was last written.
    """

    run_id: str
    fingerprint: str
    status: Status
    starts: int
    sweep: str
    changed_ns: int

    def as_list(self) -> list[str | int]:
        """Write it as the arguments that make it again."""
        return [
            self.run_id,
            self.fingerprint,
            self.status,
            self.starts,
            self.sweep,
            self.changed_ns,
        ]


class Index:
    """The runs of a results folder that have a row.

    Args:
        directory: the results folder.
        repair: whether a damaged row may be set aside; a mere reader leaves it.
        tell: whom to tell of damage.
    """

    def __init__(self, directory: Path, repair: bool, tell: Callable[[str], None] = print) -> None:
        self.runs = directory / "runs"
        self.file = directory / ".index.jsonl"
        self.repair = repair
        self.tell = tell
        self.entries: dict[str, Entry] = {}
        self.by_fingerprint: dict[str, dict[str, Entry]] = {}
        self.unsaved = 0
        self._told: set[str] = set()
        for entry in self._load():
            self._enter(entry)

    def refresh(self) -> list[Entry]:
        """Look for rows that are new or were replaced, and return them in order of their ids.

        Only an `ok` row is final: that of a run that can be continued is looked at again.
        """
        try:
            names = {entry.name for entry in os.scandir(self.runs)}
        except FileNotFoundError:
            names = set()
        for gone in self.entries.keys() - names:
            self._forget(gone)
        found = []
        for name in sorted(names):
            known = self.entries.get(name)
            if known is not None and known.status == Status.OK:
                continue
            entry = self.look_at(name)
            if entry is not None and entry != known:
                found.append(entry)
        return found

    def look_at(self, run_id: str) -> Entry | None:
        """Look at one run alone; None if it has no row."""
        entry = self._look(run_id, self.entries.get(run_id))
        if entry is not None and entry != self.entries.get(run_id):
            self._enter(entry)
            self.unsaved += 1
        return entry

    def save(self) -> None:
        """Keep what was read; a folder that cannot be written to costs time, nothing else."""
        lines = [INDEX_FORMAT, *(json.dumps(e.as_list()) for e in self.entries.values())]
        with contextlib.suppress(OSError):
            write_atomically(self.file, "\n".join(lines) + "\n")
            self.unsaved = 0

    def row(self, run_id: str) -> dict[str, Any] | None:
        """Read a row; None if there is none or it is damaged."""
        path = self.runs / run_id / ROW
        try:
            return checked_row(path.read_bytes(), run_id)
        except OSError:
            pass
        except ValueError as error:
            self._damaged(path, error)
        self._forget(run_id)
        return None

    def finished(self, fingerprints: list[str], since: str = "") -> Entry | None:
        """Return a run that ended well with one of the fingerprints, the earliest after `since`."""
        first = None
        for entry in self._of(fingerprints):
            if entry.status == Status.OK and entry.run_id > since:
                first = entry if first is None or entry.run_id < first.run_id else first
        return first

    def latest(self, fingerprints: list[str]) -> Entry | None:
        """Return the latest run with one of the fingerprints."""
        return max(self._of(fingerprints), key=lambda entry: entry.run_id, default=None)

    def _of(self, fingerprints: list[str]) -> Iterator[Entry]:
        for fingerprint in fingerprints:
            if fingerprint in self.by_fingerprint:
                yield from self.by_fingerprint[fingerprint].values()

    def _look(self, name: str, known: Entry | None) -> Entry | None:
        path = self.runs / name / ROW
        try:
            changed = path.stat().st_mtime_ns
            if known is not None and known.changed_ns == changed:
                return known
            row = checked_row(path.read_bytes(), name)
        except OSError:
            return None
        except ValueError as error:
            self._damaged(path, error)
            return None
        return Entry(
            name,
            str(row.get("fingerprint") or ""),
            Status(row["status"]),
            int(row.get("starts") or 1),
            sys.intern(str(row.get("sweep") or "")),
            changed,
        )

    def _damaged(self, path: Path, error: ValueError) -> None:
        if str(path) in self._told:
            return
        self._told.add(str(path))
        aside = set_aside(path, "damaged") if self.repair else None
        fate = f"set aside as {aside.name}" if aside else "not counted"
        self.tell(f"warning: {path} is damaged and {fate} ({error})")

    def _enter(self, entry: Entry) -> None:
        self._forget(entry.run_id)
        self.entries[entry.run_id] = entry
        self.by_fingerprint.setdefault(entry.fingerprint, {})[entry.run_id] = entry

    def _forget(self, run_id: str) -> None:
        entry = self.entries.pop(run_id, None)
        if entry is not None:
            del self.by_fingerprint[entry.fingerprint][run_id]

    def _load(self) -> list[Entry]:
        try:
            lines = self.file.read_text(encoding="utf-8").splitlines()
            if lines[:1] != [INDEX_FORMAT]:
                return []
            return [entry_of(*parsed(line)[0]) for line in lines[1:]]
        except (OSError, ValueError, TypeError):
            return []


def entry_of(
    run_id: str, fingerprint: str, status: str, starts: int, sweep: str, changed_ns: int
) -> Entry:
    """Make an entry that shares with others what is the same in most."""
    sweep = sys.intern(sweep)
    return Entry(run_id, fingerprint, Status(status), starts, sweep, changed_ns)


def checked_row(content: bytes, run_id: str) -> dict[str, Any]:
    """Parse a row file.

    Raises:
        ValueError: it is not the whole row of this run.
    """
    row = json.loads(content)
    if (
        not isinstance(row, dict)
        or row.get("run_id") != run_id
        or row.get("status") not in [*Status]
    ):
        raise ValueError("not the row of this run")
    return row
