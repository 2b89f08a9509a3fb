"""How far a sweep is, seen from another process that only reads."""

from __future__ import annotations

import json
import sys
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from rich.table import Table
from rich.text import Text

from benchmarks.errors import UserError, nearest
from benchmarks.results.index import Entry, Index
from benchmarks.results.leases import Lease, Leases
from benchmarks.results.row import Status
from benchmarks.results.store import Store
from benchmarks.runner.display import console, readable, show_text
from benchmarks.sweeps.directory import CellRecord, SweepDirectory, latest_sweep, started_at_of
from benchmarks.sweeps.progress import LONGEST_TABLE, counts_text, duration
from benchmarks.system.processes import LEASE_SECONDS, birth, boot, host, queued_jobs

FAILED = frozenset(status for status in Status if status.is_failure)
WATCH_SECONDS = 2.0
"""Between two looks, or longer where looking takes long."""

STILL_LOOKS = 10
"""Looks in a row at which nobody works on a sweep, before watching ends."""


@dataclass
class CellStatus:
    """A cell as it is now.

    Attributes:
        state: a status of rows, `running`, `queued` or `waiting`.
        entry: of the run that says so, if one does.
        lease: of who works on it.
    """

    record: CellRecord
    state: str
    entry: Entry | None = None
    lease: Lease | None = None


@dataclass
class Snapshot:
    """A sweep as it is now.

    Attributes:
        total: cells in all.
        counts: by state; cells that a search has not chosen yet wait.
        shown: cells worth a line.
        new: cells that have ended since the sweep was begun the last time.
        minutes: from then until now, or until the last of them if nothing goes on.
    """

    total: int
    counts: Counter[str] = field(default_factory=Counter)
    shown: list[CellStatus] = field(default_factory=list)
    new: int = 0
    minutes: float = 0.0

    @property
    def failed(self) -> int:
        """Cells that did not end well."""
        return sum(self.counts[status] for status in FAILED)

    @property
    def done(self) -> int:
        """Cells that have ended."""
        return self.counts[Status.OK] + self.failed

    @property
    def is_active(self) -> bool:
        """Whether anybody works on it."""
        return bool(self.counts["running"] + self.counts["queued"])

    def line(self) -> str:
        """Say it as the sweep itself does."""
        new = self.new if self.is_active else 0
        text = counts_text(self.done, self.total, self.failed, new, self.minutes)
        names = ("running", "queued", Status.INTERRUPTED, "waiting")
        return ", ".join([text, *(f"{self.counts[n]} {n}" for n in names if self.counts[n])])


class SweepReader:
    """Looks at a sweep, again and again, and writes nothing.

    Args:
        store: the results folder.
        folder: the sweep's.

    Raises:
        UserError: what the folder says of the sweep cannot be read.
    """

    def __init__(self, store: Store, folder: SweepDirectory) -> None:
        self.store = store
        self.folder = folder
        self.index = Index(store.directory, repair=False)
        try:
            self.about = json.loads((folder.path / "sweep.json").read_text("utf-8"))
            # Sweeps that run everything anew do not count what was there before.
            anew = "resume=never" in self.about["command"]
            self.since = started_at_of(folder.path) if anew else ""
            next(folder.records(), None)
        except (OSError, ValueError, TypeError, KeyError) as error:
            raise UserError(f"{folder.path}: cannot be read ({error!r})") from error

    def look(self) -> Snapshot:
        """See how far every cell is."""
        self.index.refresh()
        leases = {lease.key: lease for lease in self.store.leases.all()}
        found = Snapshot(int(self.about["cells"]))
        started_ns = int(self.about["started"] * 1e9)
        last_ns = 0
        ended: list[CellStatus] = []
        going_on: list[CellStatus] = []
        waiting: list[CellStatus] = []
        seen: set[int] = set()
        for record in self.folder.records():
            if record.number in seen:
                continue
            seen.add(record.number)
            cell = self._state_of(record, leases)
            found.counts[cell.state] += 1
            if cell.state in ("running", "queued"):
                going_on.append(cell)
            elif found.total <= LONGEST_TABLE or cell.state in FAILED:
                (waiting if cell.entry is None else ended).append(cell)
            if cell.entry is not None and cell.entry.changed_ns >= started_ns:
                last_ns = max(last_ns, cell.entry.changed_ns)
                found.new += cell.state != Status.INTERRUPTED
        found.counts["waiting"] += max(0, found.total - len(seen))
        until = time.time() if found.is_active else last_ns / 1e9
        found.minutes = max(0.0, until - self.about["started"]) / 60
        if found.total > LONGEST_TABLE:  # keep half of the lines for each
            ended = ended[-max(LONGEST_TABLE // 2, LONGEST_TABLE - len(going_on)) :]
            going_on = going_on[: LONGEST_TABLE - len(ended)]
        found.shown = ended + going_on + waiting
        return found

    def _state_of(self, record: CellRecord, leases: dict[str, Lease]) -> CellStatus:
        entry = self.index.finished(record.fingerprints, self.since)
        if entry is not None:
            return CellStatus(record, Status.OK, entry)
        for fingerprint in record.fingerprints if leases else ():
            lease = leases.get(fingerprint)
            if lease is not None and is_probably_alive(lease, self.store.leases):
                return CellStatus(record, "running" if lease.process.pid else "queued", lease=lease)
        latest = self.index.latest(record.fingerprints)
        if latest is None or latest.run_id <= self.since:
            return CellStatus(record, "waiting")
        return CellStatus(record, latest.status, latest)


def is_probably_alive(lease: Lease, leases: Leases) -> bool:
    """Whether an owner still works, as well as a reader can tell.

    Unlike `processes.is_alive` it touches no file to learn the file server's time.
    """
    owner = lease.process
    if owner.pid and owner.host == host() and owner.boot == boot():
        if birth(owner.pid) == owner.born:
            return True
        if owner.job is None:
            return False
    if owner.job:
        queued = queued_jobs()
        if queued is not None:
            return owner.job in queued
        if not owner.pid:
            return True  # no queue here could say otherwise
    return age_of(lease, leases) < LEASE_SECONDS


def age_of(lease: Lease, leases: Leases) -> float:
    """Seconds since a lease's owner gave a sign of life, by this machine's clock."""
    try:
        return max(0.0, time.time() - leases.path(lease.key).stat().st_mtime)
    except OSError:
        return float("inf")


def find_sweep(store: Store, wanted: str | None) -> SweepDirectory:
    """Find a sweep by the beginning of its id, or the latest.

    Raises:
        UserError: there is none, or several begin so.
    """
    if not store.directory.is_dir():
        raise UserError(f"{store.directory}: there is no such results folder")
    if wanted is None:
        return latest_sweep(store.directory)
    known = sorted(file.parent.name for file in store.directory.glob("sweeps/*/sweep.json"))
    found = [name for name in known if name.startswith(wanted)]
    if wanted and (len(found) == 1 or wanted in found):
        return SweepDirectory(
            store.directory / "sweeps" / (wanted if wanted in found else found[0])
        )
    problem = "several sweeps begin so" if found else "there is no such sweep"
    there = ", ".join((found or known)[:10]) or "none"
    hint = "" if found else nearest(wanted, known)
    raise UserError(f"--sweep {wanted}: {problem} (there: {there}){hint}")


def show(reader: SweepReader, found: Snapshot) -> None:
    """Print the line and the table."""
    about = reader.about
    began = time.strftime("%Y-%m-%d %H:%M UTC", time.gmtime(about["started"]))
    print(f"sweep {about['sweep']}, launcher {about['launcher']}, begun {began}")
    print(found.line())
    terminal = console()
    if found.shown:
        terminal.print(table_of(reader, found.shown))
    for cell in found.shown:
        if cell.state in FAILED and cell.entry is not None:
            row = reader.index.row(cell.entry.run_id) or {}
            text = f"{cell.state}: {cell.record.label}: {row.get('error')}"
            show_text(terminal, text)
            log = reader.folder.path / "logs" / cell.record.log
            show_text(terminal, f"  log: {log}")
    told = sum(cell.state in FAILED for cell in found.shown)
    if told < found.failed:
        print(f"and {found.failed - told} more that failed")
    if not found.is_active and found.done < found.total:
        print("nobody works on this sweep; the command that began it continues it")


def table_of(reader: SweepReader, cells: list[CellStatus]) -> Table:
    """Make the table of cells."""
    table = Table(title_justify="left")
    table.add_column("cell", overflow="fold")
    for name in ("state", "step", "epoch", "score", "host", "seen"):
        table.add_column(name, no_wrap=True, justify="right" if name in NUMBERS else "left")
    for cell in cells:
        table.add_row(Text(cell.record.label), cell.state, *details(reader, cell))
    return table


NUMBERS = ("step", "epoch", "score", "seen")


def details(reader: SweepReader, cell: CellStatus) -> Iterator[str]:
    """Step, epoch, score, host and age of a cell, as far as they are known.

    The score is on validation while the cell runs and on test when it has ended.
    """
    lease = cell.lease
    if lease is None:
        score = None
        if cell.entry is not None:
            score = (reader.index.row(cell.entry.run_id) or {}).get("test_score")
        yield from ("", "", "" if score is None else readable(score), "", "")
        return
    if not lease.process.pid:
        yield from ("", "", "", f"job {lease.process.job}", "")
        return
    progress = lease.progress
    step, total, epoch, score = (
        progress.get(name) for name in ("step", "total_steps", "epoch", "score")
    )
    yield "" if step is None else str(step) if total is None else f"{step}/{total}"
    yield "" if epoch is None else str(epoch)
    yield "" if score is None else readable(score)
    yield lease.process.host
    yield f"{duration(age_of(lease, reader.store.leases) / 60)} ago"


def status(results: Path, sweep: str | None, watch: bool) -> int:
    """Show a sweep, once or until nobody works on it; returns 1 if a cell did not end well.

    Raises:
        UserError: there is no such sweep.
    """
    store = Store(results)
    reader = SweepReader(store, find_sweep(store, sweep))
    began = time.monotonic()
    found = reader.look()
    show(reader, found)
    try:
        still = 0
        while watch and found.done < found.total and still < STILL_LOOKS:
            sys.stdout.flush()
            time.sleep(max(WATCH_SECONDS, 10 * (time.monotonic() - began)))
            began, before = time.monotonic(), found.line()
            found = reader.look()
            still = 0 if found.is_active else still + 1
            if sys.stdout.isatty():
                print("\x1b[H\x1b[J", end="")
                show(reader, found)
            elif found.done == found.total:
                show(reader, found)
            elif found.line() != before:
                print(found.line())
    except KeyboardInterrupt:
        print()
    cut_short = 0 if found.is_active else found.counts[Status.INTERRUPTED]
    return int(found.failed + cut_short > 0)
