"""Progress of a sweep, read by another process that writes nothing."""

from __future__ import annotations

import contextlib
import sys
import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

from rich.table import Table
from rich.text import Text

from benchmarks.errors import UserError, nearest
from benchmarks.results.index import Entry, Index
from benchmarks.results.leases import Lease, Leases
from benchmarks.results.row import FAILURES, Status
from benchmarks.results.store import Store
from benchmarks.sweeps.directory import CellRecord, SweepDirectory
from benchmarks.sweeps.progress import (
    MOST_ROWS,
    counts_text,
    duration,
    readable_or_empty,
    show_failure,
)
from benchmarks.system.console import console
from benchmarks.system.processes import LEASE_SECONDS, ProcessIdentity, boot, host, start_time
from benchmarks.system.slurm_queue import queued_jobs
from benchmarks.system.terminal import visible

WATCH_SECONDS = 2.0  # between two reads, at least
IDLE_READS = 10  # without an active cell or a live launcher, after which watching ends


@dataclass
class CellStatus:
    """The present status of a cell.

    Attributes:
        state: a status of rows, `running`, `queued` or `waiting`.
        entry: the run that has this status, if there is one.
        lease: of the process that runs the cell, or of its queued job.
    """

    record: CellRecord
    state: str
    entry: Entry | None = None
    lease: Lease | None = None


@dataclass
class Snapshot:
    """The present status of a sweep.

    Attributes:
        total: number of cells.
        counts: by state; cells that a search has not sampled yet count as waiting.
        shown: cells to list.
        new: networks that have ended since the sweep's latest start.
        minutes: from that start until now, or until the last end in an idle sweep.
        has_launcher: the process that runs the sweep is alive on this machine.
    """

    total: int
    counts: Counter[str] = field(default_factory=Counter)
    shown: list[CellStatus] = field(default_factory=list)
    new: int = 0
    minutes: float = 0.0
    has_launcher: bool = False

    @property
    def failed(self) -> int:
        """Return the number of failed cells."""
        return sum(self.counts[status] for status in FAILURES)

    @property
    def done(self) -> int:
        """Return the number of cells that have ended."""
        return self.counts[Status.OK] + self.failed

    @property
    def is_active(self) -> bool:
        """Return True if a cell is running or queued."""
        return bool(self.counts["running"] + self.counts["queued"])

    @property
    def continues(self) -> bool:
        """Return True if the sweep continues without a new command.

        Between two cells, and while data are read, no cell has a lease but the launcher is alive.
        """
        return self.is_active or self.has_launcher

    def line(self) -> str:
        """Return the counts as text."""
        new = self.new if self.is_active else 0
        text = counts_text(self.done, self.total, self.failed, new, self.minutes)
        names = ("running", "queued", Status.INTERRUPTED, "waiting")
        return ", ".join([text, *(f"{self.counts[n]} {n}" for n in names if self.counts[n])])


class SweepReader:
    """Read the status of a sweep repeatedly."""

    def __init__(self, store: Store, directory: SweepDirectory) -> None:
        self.store = store
        self.directory = directory
        self.index = Index(store.directory, repair=False)
        try:
            self.info = directory.info()
            # A sweep that repeats every cell does not count earlier runs.
            repeats_all = "resume=never" in self.info["command"]
            self.since = directory.start_time() if repeats_all else ""
            next(directory.records(), None)
        except (OSError, ValueError, TypeError, KeyError) as error:
            raise UserError(f"{directory.path}: cannot be read ({error!r})") from error

    def read(self) -> Snapshot:
        """Return the present status of every cell."""
        has_launcher = self._has_launcher()
        # A run writes its row before it releases its lease. With the leases read first, a run that
        # ends in between is in the index. In the other order it would be in neither.
        leases = {lease.key: lease for lease in self.store.leases.all()}
        self.index.refresh()
        snapshot = Snapshot(int(self.info["cells"]), has_launcher=has_launcher)
        started_ns, last_ns = int(self.info["started"] * 1e9), 0
        ended: list[CellStatus] = []
        active: list[CellStatus] = []
        waiting: list[CellStatus] = []
        seen: set[int] = set()
        for record in self.directory.records():
            if record.number in seen:
                continue
            seen.add(record.number)
            cell = self._status_of(record, leases)
            snapshot.counts[cell.state] += 1
            if cell.state in ("running", "queued"):
                active.append(cell)
            elif snapshot.total <= MOST_ROWS or cell.state in FAILURES:
                (waiting if cell.entry is None else ended).append(cell)
            if cell.entry is not None and cell.entry.changed_ns >= started_ns:
                last_ns = max(last_ns, cell.entry.changed_ns)
                snapshot.new += cell.state != Status.INTERRUPTED and not is_baseline(record)
        snapshot.counts["waiting"] += max(0, snapshot.total - len(seen))
        until = time.time() if snapshot.is_active else last_ns / 1e9
        snapshot.minutes = max(0.0, until - self.info["started"]) / 60
        if snapshot.total > MOST_ROWS:  # up to half of the rows for each
            ended = ended[-max(MOST_ROWS // 2, MOST_ROWS - len(active)) :]
            active = active[: MOST_ROWS - len(ended)]
        snapshot.shown = ended + active + waiting
        return snapshot

    def _has_launcher(self) -> bool:
        """Return True if the process of the sweep's latest start is alive on this machine."""
        with contextlib.suppress(OSError, ValueError, TypeError, KeyError):
            return is_local(ProcessIdentity(**self.directory.info()["owner"]))
        return False

    def _status_of(self, record: CellRecord, leases: dict[str, Lease]) -> CellStatus:
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


def is_baseline(record: CellRecord) -> bool:
    """Return True for the cell of a baseline."""
    return any(word.startswith("model.baseline=") for word in record.overrides)


def is_probably_alive(lease: Lease, leases: Leases) -> bool:
    """Return True if a lease's process is alive; unlike `processes.is_alive`, write no file."""
    process = lease.process
    if is_local(process):
        return True
    if process.pid and process.host == host() and process.boot == boot() and process.job is None:
        return False
    if process.job:
        queued = queued_jobs()
        if queued is not None:
            return process.job in queued
        if not process.pid:
            return True  # without a queue on this machine nothing contradicts it
    return age_of(lease, leases) < LEASE_SECONDS


def is_local(process: ProcessIdentity) -> bool:
    """Return True if a process is alive on this machine."""
    if not process.pid or process.host != host() or process.boot != boot():
        return False
    return start_time(process.pid) == process.born


def age_of(lease: Lease, leases: Leases) -> float:
    """Return the seconds since a lease was renewed, by this machine's clock."""
    try:
        return max(0.0, time.time() - leases.path(lease.key).stat().st_mtime)
    except OSError:
        return float("inf")


def find_sweep(store: Store, prefix: str | None) -> SweepDirectory:
    """Return the sweep whose id begins with a prefix, or the sweep started last."""
    if not store.directory.is_dir():
        raise UserError(f"{store.directory}: no such results folder")
    files = list(store.directory.glob("sweeps/*/sweep.json"))
    if prefix is None:
        if not files:
            raise UserError(f"{store.directory}: no sweeps in this results folder")
        return SweepDirectory(max(files, key=lambda file: file.stat().st_mtime).parent)
    known = sorted(file.parent.name for file in files)
    found = [name for name in known if name.startswith(prefix)]
    if prefix and (len(found) == 1 or prefix in found):
        return SweepDirectory(store.directory / "sweeps" / min(found, key=len))
    problem = "matches several sweeps" if found else "no such sweep"
    available = ", ".join((found or known)[:10]) or "none"
    hint = "" if found else nearest(prefix, known)
    raise UserError(f"--sweep {prefix}: {problem} (available: {available}){hint}")


def show(reader: SweepReader, snapshot: Snapshot) -> None:
    """Print the counts, the table of cells and the errors of failed ones."""
    info = reader.info
    started = time.strftime("%Y-%m-%d %H:%M UTC", time.gmtime(info["started"]))
    print(f"sweep {info['sweep']}, launcher {info['launcher']}, started {started}")
    print(snapshot.line())
    terminal = console()
    if snapshot.shown:
        terminal.print(table_of(reader, snapshot.shown))
    failed = [cell for cell in snapshot.shown if cell.state in FAILURES]
    for cell in failed:
        if cell.entry is not None:
            row = reader.index.row(cell.entry.run_id) or {}
            log = reader.directory.path / "logs" / cell.record.log
            show_failure(terminal, cell.state, cell.record.label, row.get("error"), log)
    if len(failed) < snapshot.failed:
        print(f"and {snapshot.failed - len(failed)} more failed cells")
    if not snapshot.continues and snapshot.done < snapshot.total:
        print("no process runs this sweep; run its command again to resume it")


def table_of(reader: SweepReader, cells: list[CellStatus]) -> Table:
    """Return a table with a row for each cell."""
    table = Table(title_justify="left")
    table.add_column("cell", overflow="fold")
    for name in ("state", "step", "epoch", "test score", "host", "seen"):
        is_text = name in ("state", "host")
        table.add_column(name, no_wrap=True, justify="left" if is_text else "right")
    for cell in cells:
        table.add_row(Text(visible(cell.record.label)), cell.state, *details(reader, cell))
    return table


def details(reader: SweepReader, cell: CellStatus) -> list[str]:
    """Return step, epoch, score, host and age of a cell, empty where unknown."""
    lease = cell.lease
    if lease is None:
        row = (cell.entry and reader.index.row(cell.entry.run_id)) or {}
        score = readable_or_empty(row.get("test_score")) or in_validation(row.get("val_score"))
        return ["", "", score, "", ""]
    if not lease.process.pid:
        return ["", "", "", f"job {lease.process.job}", ""]
    progress = lease.progress
    step, total, epoch = (progress.get(name) for name in ("step", "total_steps", "epoch"))
    return [
        "" if step is None else str(step) if total is None else f"{step}/{total}",
        "" if epoch is None else str(epoch),
        in_validation(progress.get("score")),
        lease.process.host,
        f"{duration(age_of(lease, reader.store.leases) / 60)} ago",
    ]


def in_validation(score: float | None) -> str:
    """Return a validation score as text, marked as such; empty for None."""
    return "" if score is None else f"{readable_or_empty(score)} validation"


def status(results: Path, sweep: str | None, watch: bool) -> int:
    """Show a sweep, once or until its end, and return 1 if a cell failed."""
    store = Store(results)
    reader = SweepReader(store, find_sweep(store, sweep))
    began = time.monotonic()
    snapshot = reader.read()
    show(reader, snapshot)
    try:
        idle = 0
        while watch and snapshot.done < snapshot.total and idle < IDLE_READS:
            sys.stdout.flush()
            time.sleep(max(WATCH_SECONDS, 10 * (time.monotonic() - began)))
            began, before = time.monotonic(), snapshot.line()
            snapshot = reader.read()
            idle = 0 if snapshot.continues else idle + 1
            if sys.stdout.isatty():
                print("\x1b[H\x1b[J", end="")
            if sys.stdout.isatty() or snapshot.done == snapshot.total:
                show(reader, snapshot)
            elif snapshot.line() != before:
                print(snapshot.line())
    except KeyboardInterrupt:
        print()
    interrupted = 0 if snapshot.continues else snapshot.counts[Status.INTERRUPTED]
    return int(snapshot.failed + interrupted > 0)
