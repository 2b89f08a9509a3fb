"""Drives a sweep: skips what is done, starts what is not, keeps a row for every termination."""

from __future__ import annotations

import contextlib
import time
from collections import deque
from collections.abc import Iterable
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from benchmarks.results.leases import Lease
from benchmarks.results.row import COLUMNS, Row, Status
from benchmarks.results.store import new_run_id
from benchmarks.results.unfinished import clean_up, release_finished, unfinished_run
from benchmarks.runner.row_columns import configuration_columns
from benchmarks.sweeps.cell import (
    LOST,
    Cell,
    Completion,
    Outcome,
    Termination,
    is_slowed_by_load,
    used_fallback_kernel,
)
from benchmarks.sweeps.launchers.base import Launcher, SweepContext, WorkItem
from benchmarks.sweeps.progress import SweepProgress
from benchmarks.system.processes import this_process
from benchmarks.system.signals import Interruption

if TYPE_CHECKING:
    from benchmarks.sweeps.search import Search

ELSEWHERE_SECONDS = 2.0
"""How often to look for cells that other processes work on."""

PATIENCE_SECONDS = 30.0
"""How long cells may take to end after an interruption before they are killed."""

FAILURES = tuple(status for status in Status if status.is_failure)


class Scheduler:
    """Brings every cell of a sweep to a row.

    Args:
        cells: in the order to run them.
        launcher: who runs them.
        around: the results folder and the sweep's own.
        resume: `continue`, `skip_failed` or `never`.
        board: whom to tell.
        interruption: asked between cells whether to end.
        search: gives more cells as there is room for them, and learns from outcomes.
    """

    def __init__(
        self,
        cells: Iterable[Cell],
        launcher: Launcher,
        context: SweepContext,
        resume: str,
        progress: SweepProgress,
        interruption: Interruption,
        search: Search | None = None,
    ) -> None:
        self.search = search
        self.waiting = deque(cells)
        self.launcher = launcher
        self.context = context
        self.index = context.index
        self.resume = resume
        self.progress = progress
        self.interruption = interruption
        self.view = context.store.view(self.index)
        self.running: dict[int, Cell] = {}
        self.elsewhere: list[Cell] = []
        self.outcomes: dict[int, Outcome] = {}
        self.has_concurrent = False
        self._looked_at = time.monotonic()
        self._looking_took = 0.0

    def run(self) -> dict[int, Outcome]:
        """Run until every cell has a row or somebody interrupts; returns outcomes by number."""
        with self.interruption.deferred():
            try:
                self._skip_finished()
                self.progress.start()
                self._request_trials()
                while self.waiting or self.running or self.elsewhere:
                    self.interruption.check()
                    self._start()
                    self._collect()
                clean_up(self.context.store, self.index)
                if any(outcome.status == Status.INTERRUPTED for outcome in self.outcomes.values()):
                    self.interruption.check()  # it ended the last cells, and with them the loop
            except BaseException:  # a full disk and a bug leave nothing running either
                self._shut_down()
                raise
            finally:
                self.view.update()
                self.index.save()
                self.progress.close()
        return self.outcomes

    def _skip_finished(self) -> None:
        """Leave out the cells that need no run."""
        clean_up(self.context.store, self.index)
        left: deque[Cell] = deque()
        for cell in self.waiting:
            if not self._is_done(cell):
                left.append(cell)
        self.waiting = left

    def _request_trials(self) -> None:
        """Take as many cells from a search as there is room for, so that it knows all it can."""
        if self.search is not None:
            for cell in self.search.ask(max(0, self.launcher.free_slots() - len(self.waiting))):
                self.context.directory.add(cell)
                self.waiting.append(cell)

    def _is_done(self, cell: Cell) -> bool:
        """Whether a cell needs no run; notes its outcome if so."""
        if self.resume == "never":
            return False
        entry = self.index.finished(cell.fingerprints)
        # A trial that its settings are to blame for counts as it is, and is not tried again.
        final = FAILURES if self.resume == "skip_failed" else LOST if self.search else ()
        if entry is None and final:
            latest = self.index.latest(cell.fingerprints)
            entry = latest if latest and latest.status in final else None
        if entry is None:
            return False
        row = self.index.row(entry.run_id)
        if row is None:  # damaged or gone since it was read, and forgotten now
            return self._is_done(cell)
        self._record_outcome(cell, entry.run_id, row, is_previous=True)
        return True

    def _start(self) -> None:
        """Start what there is room for."""
        self._refresh_elsewhere()
        items: list[WorkItem] = []
        room = self.launcher.free_slots()
        while self.waiting:
            joins = self._joins(self.waiting[0], items)
            if not (joins or room):
                break
            cell = self.waiting.popleft()
            if self._is_done(cell):
                continue
            if self._is_held(cell):
                self.elsewhere.append(cell)
                self.has_concurrent = True
                continue
            if self.has_concurrent:  # whose lease may just have become a row
                self.index.refresh()
                if self._is_done(cell):
                    continue
            continues = None
            if self.resume != "never":
                continues = unfinished_run(self.context.store, self.index, cell.fingerprints)
            items.append(WorkItem(cell, continues))
            room -= not joins
            self.running[cell.number] = cell
        if items:
            self.progress.show([c.label for c in self.running.values()], len(self.elsewhere))
            self.launcher.submit(items)

    def _joins(self, cell: Cell, items: list[WorkItem]) -> bool:
        """Whether a cell goes where the last one goes, and needs no room of its own."""
        is_next = bool(items) and cell.is_grouped_with(items[-1].cell)
        return is_next and self.launcher.takes_groups

    def _is_held(self, cell: Cell) -> bool:
        leases = self.context.store.leases
        found = [leases.read(fingerprint) for fingerprint in cell.fingerprints]
        return any(lease is not None and leases.is_live(lease) for lease in found)

    def _refresh_elsewhere(self) -> None:
        """See what other processes have finished, as often as it costs little."""
        pause = max(ELSEWHERE_SECONDS, 20 * self._looking_took)
        started = time.monotonic()
        if started - self._looked_at < pause:
            return
        self.index.refresh()
        elsewhere, self.elsewhere = self.elsewhere, []
        for cell in elsewhere:
            (self.elsewhere if self._is_held(cell) else self.waiting).append(cell)
        self._looked_at = time.monotonic()
        self._looking_took = self._looked_at - started

    def _collect(self) -> None:
        if not self.running and self.elsewhere:
            time.sleep(ELSEWHERE_SECONDS / 4)
        for ended in self.launcher.poll():
            self._complete(ended)
        self._request_trials()
        self.view.update(lazily=True)
        self.progress.show([c.label for c in self.running.values()], len(self.elsewhere))

    def _complete(self, ended: Completion) -> None:
        """Note what became of a cell whose process has ended."""
        cell = self.running.pop(ended.cell.number)
        if ended.held_elsewhere:
            self.elsewhere.append(cell)
            self.has_concurrent = True
        elif ended.run_id is not None and self.index.look_at(ended.run_id) is not None:
            if ended.termination is not None and ended.termination.status.is_resumable:
                self._update_row(ended.run_id, ended.termination)
            self._record_outcome(cell, ended.run_id)
        else:
            self._record_outcome(
                cell,
                self._record_termination(
                    cell, ended.termination or Termination("the process left no row")
                ),
            )

    def _update_row(self, run_id: str, termination: Termination) -> None:
        """Say of a run that was cut short by what, or that it was given up."""
        row = Row(**{k: v for k, v in (self.index.row(run_id) or {}).items() if k in COLUMNS})
        knows = row.status == termination.status and not termination.from_scheduler
        if not row.status.is_resumable or knows:
            return
        row.status, row.error = termination.status, termination.text
        self.context.store.write_row(row)
        self.index.look_at(run_id)

    def _record_termination(self, cell: Cell, termination: Termination) -> str:
        """Write the row of a run that died before it could; returns its id.

        What the run had written of itself is in its lease.
        """
        store = self.context.store
        row = self._placeholder_row(cell)
        dead: list[Lease] = []
        for fingerprint in cell.fingerprints:
            lease = store.leases.read(fingerprint)
            # What ran in this process has ended, though its owner lives.
            is_over = lease is not None and lease.process == this_process()
            if lease is not None and (is_over or not store.leases.is_live(lease)):
                dead.append(lease)
                if lease.row:
                    row = Row(**{k: v for k, v in lease.row.items() if k in COLUMNS})
        entry = self.index.look_at(row.run_id)
        if entry is None or entry.starts != row.starts:
            row.status, row.error = termination.status, termination.text
            store.write_row(row)
            entry = self.index.look_at(row.run_id)
        # Only now: until there is a row, the lease alone tells of the run.
        for lease in dead:
            release_finished(store, lease, entry.status if entry else row.status)
        return row.run_id

    def _placeholder_row(self, cell: Cell) -> Row:
        """The row of a cell whose process died before it had begun a run."""
        now, config = datetime.now(UTC), cell.config
        return Row(
            new_run_id(config.model.label, config.task.name, config.seed, now),
            Status.FAILED,
            fingerprint=cell.fingerprints[0],
            starts=1,
            started_at=now.isoformat(timespec="milliseconds"),
            sweep=self.context.directory.sweep_id,
            study=cell.study,
            trial=cell.trial,
            **configuration_columns(config),
        )

    def _record_outcome(
        self, cell: Cell, run_id: str, row: dict[str, Any] | None = None, is_previous: bool = False
    ) -> None:
        row = row or self.index.row(run_id) or {}
        outcome = Outcome(
            cell,
            Status(row.get("status", Status.FAILED)),
            run_id,
            row.get("error"),
            row.get("test_score"),
            row.get("val_score"),
            row.get("train_seconds"),
            is_previous,
            is_slowed_by_load(row),
            used_fallback_kernel(row),
        )
        self.outcomes[cell.number] = outcome
        self.progress.note(outcome, str(self.context.directory.log(cell)))
        if self.search is not None:
            self.search.tell(outcome)

    def _shut_down(self) -> None:
        """Let the cells end in their own way, and end them if they will not."""
        if self.launcher.leaves_running:
            return
        self.running = {
            n: cell for n, cell in self.running.items() if self.launcher.has_started(cell)
        }
        self.launcher.interrupt()
        deadline = time.monotonic() + PATIENCE_SECONDS
        self.interruption.requested = None
        while self.running:
            if time.monotonic() > deadline or self.interruption.requested:
                self.launcher.kill()
            for ended in self.launcher.poll():
                with contextlib.suppress(OSError):
                    self._complete(ended)
