"""Scheduling of a sweep's cells: skip the finished ones, start the others, record every end."""

from __future__ import annotations

import contextlib
import time
from collections import deque
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from benchmarks.config.schema import Config
from benchmarks.results.leases import Lease
from benchmarks.results.row import COLUMNS, FAILURES, Row, Status
from benchmarks.results.store import new_run_id
from benchmarks.results.unfinished import clean_up, release_finished, unfinished_run
from benchmarks.runner.row_columns import configuration_columns, source_of
from benchmarks.sweeps.cell import (
    TRIAL_FAILURES,
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

RECHECK_SECONDS = 2.0  # between two checks of cells that other processes run, at least
SHUTDOWN_SECONDS = 30.0  # for interrupted cells to end before they are killed


@dataclass
class Scheduler:
    """Run the cells of a sweep until each has a row."""

    cells: Iterable[Cell]  # in the order to run them
    launcher: Launcher
    context: SweepContext
    resume: str  # `continue`, `skip_failed` or `never`
    progress: SweepProgress
    interruption: Interruption
    search: Search | None = None

    def __post_init__(self) -> None:
        self.store, self.index = self.context.store, self.context.index
        self.waiting = deque(self.cells)
        self.view = self.store.view(self.index)
        self.running: dict[int, Cell] = {}
        self.leased: list[Cell] = []  # by other processes
        self.outcomes: dict[int, Outcome] = {}
        self.has_concurrent_sweeps = False
        self._checked_at = time.monotonic()
        self._check_took = 0.0

    def run(self) -> dict[int, Outcome]:
        """Run until every cell has a row or the sweep is interrupted; return outcomes by number."""
        with self.interruption.deferred():
            try:
                clean_up(self.store, self.index)
                self.waiting = deque(c for c in self.waiting if not self._is_finished(c))
                self.progress.start()
                self._request_trials()
                while self.waiting or self.running or self.leased:
                    self.interruption.check()
                    self._check_leased()
                    self._submit()
                    self._collect()
                clean_up(self.store, self.index)
                if any(outcome.status == Status.INTERRUPTED for outcome in self.outcomes.values()):
                    self.interruption.check()  # it ended the last cells, and so the loop
            except BaseException:  # a full disk or a bug must not leave cells running either
                self._shut_down()
                raise
            finally:
                self.view.update()
                self.index.save()
                self.progress.close()
        return self.outcomes

    def _request_trials(self) -> None:
        """Sample only as many trials as can start now, so that later trials use more outcomes."""
        if self.search is not None:
            for cell in self.search.ask(max(0, self.launcher.free_slots() - len(self.waiting))):
                self.context.directory.add(cell)
                self.waiting.append(cell)

    def _is_finished(self, cell: Cell) -> bool:
        """Return True if a cell needs no run, after recording its outcome."""
        if self.resume == "never":
            return False
        entry = self.index.finished(cell.fingerprints)
        final = FAILURES if self.resume == "skip_failed" else TRIAL_FAILURES if self.search else ()
        if entry is None and final:
            latest = self.index.latest(cell.fingerprints)
            entry = latest if latest and latest.status in final else None
        if entry is None:
            return False
        row = self.index.row(entry.run_id)
        if row is None:  # damaged or removed since the index read it
            return self._is_finished(cell)
        if entry.status == Status.OK:
            row = self._of_current_source(cell, row)
        self._record_outcome(cell, row["run_id"], row, is_previous=True)
        return True

    def _of_current_source(self, cell: Cell, row: dict[str, Any]) -> dict[str, Any]:
        """Return the row of a finished cell, or of a later run of it by the current code."""
        if not is_of_other_source(row, cell.config):
            return row
        for entry in [*self.index.of(cell.fingerprints)]:
            other = self.index.row(entry.run_id) if entry.status == Status.OK else None
            if other is not None and not is_of_other_source(other, cell.config):
                return other
        return row

    def _submit(self) -> None:
        """Submit as many cells as the launcher has free slots."""
        items: list[WorkItem] = []
        free = self.launcher.free_slots()
        while self.waiting:
            shares_slot = self._shares_slot(self.waiting[0], items)
            if not (shares_slot or free):
                break
            cell = self.waiting.popleft()
            if self._is_finished(cell):
                continue
            if self.context.is_leased(cell):
                self._leave_to_others(cell)
                continue
            if self.has_concurrent_sweeps:  # whose lease may just have become a row
                self.index.refresh()
                if self._is_finished(cell):
                    continue
            resumes = None
            if self.resume != "never":
                resumes = unfinished_run(self.store, self.index, cell.fingerprints)
            items.append(WorkItem(cell, resumes))
            free -= not shares_slot
            self.running[cell.number] = cell
        if items:
            self._show()
            self.launcher.submit(items)

    def _shares_slot(self, cell: Cell, items: list[WorkItem]) -> bool:
        """Return True if a cell runs in the process of the last item."""
        is_grouped = bool(items) and cell.is_grouped_with(items[-1].cell)
        return is_grouped and self.launcher.takes_groups

    def _leave_to_others(self, cell: Cell) -> None:
        self.leased.append(cell)
        self.has_concurrent_sweeps = True

    def _check_leased(self) -> None:
        """Look for results of other processes, at most 5 % of the time."""
        pause = max(RECHECK_SECONDS, 20 * self._check_took)
        started = time.monotonic()
        if started - self._checked_at < pause:
            return
        self.index.refresh()
        leased, self.leased = self.leased, []
        for cell in leased:
            (self.leased if self.context.is_leased(cell) else self.waiting).append(cell)
        self._checked_at = time.monotonic()
        self._check_took = self._checked_at - started

    def _collect(self) -> None:
        """Process what the launcher reports."""
        if not self.running and self.leased:
            time.sleep(RECHECK_SECONDS / 4)
        for completion in self.launcher.poll():
            self._complete(completion)
        self._request_trials()
        self.view.update(lazily=True)
        self._show()

    def _show(self) -> None:
        self.progress.update([cell.label for cell in self.running.values()], len(self.leased))

    def _complete(self, completion: Completion) -> None:
        """Record the outcome of a cell whose process has ended."""
        cell = self.running.pop(completion.cell.number)
        run_id, termination = completion.run_id, completion.termination
        if completion.held_elsewhere:
            self._leave_to_others(cell)
            return
        if run_id is None or self.index.look_at(run_id) is None:
            missing_row = Termination("process terminated without writing a row")
            run_id = self._record_termination(cell, termination or missing_row)
        elif termination is not None and termination.status.is_resumable:
            self._update_row(run_id, termination)
        self._record_outcome(cell, run_id)

    def _update_row(self, run_id: str, termination: Termination) -> None:
        """Store the cause of an interruption in the row."""
        row = row_of(self.index.row(run_id) or {})
        is_same = row.status == termination.status and not termination.replaces_error
        if row.status.is_resumable and not is_same:
            row.status, row.error = termination.status, termination.text
            self.store.write_row(row)
            self.index.look_at(run_id)

    def _record_termination(self, cell: Cell, termination: Termination) -> str:
        """Write the row of a run that ended without one and return the run's id.

        The run's lease contains the columns known so far.
        """
        row = self._placeholder_row(cell)
        dead: list[Lease] = []
        for fingerprint in cell.fingerprints:
            lease = self.store.leases.read(fingerprint)
            if lease is None:
                continue
            # A run inside this process has ended, although the process is alive.
            if lease.process == this_process() or not self.store.leases.is_live(lease):
                dead.append(lease)
                row = row_of(lease.row) if lease.row else row
        entry = self.index.look_at(row.run_id)
        if entry is None or entry.starts != row.starts:
            row.status, row.error = termination.status, termination.text
            self.store.write_row(row)
            entry = self.index.look_at(row.run_id)
        # Not earlier: until the row is written, only the lease describes the run.
        for lease in dead:
            release_finished(self.store, lease, entry.status if entry else row.status)
        return row.run_id

    def _placeholder_row(self, cell: Cell) -> Row:
        """Return the row of a cell whose process ended before its run began."""
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
            is_previous and is_of_other_source(row, cell.config),
            bool(row.get("undertrained") and not row.get("smoke")),
        )
        self.outcomes[cell.number] = outcome
        self.progress.record(outcome, str(self.context.directory.log(cell)))
        if self.search is not None:
            self.search.tell(outcome)

    def _shut_down(self) -> None:
        """Interrupt the running cells, and kill them if they do not end in time."""
        if self.launcher.leaves_running:
            return
        self.running = {n: c for n, c in self.running.items() if self.launcher.has_started(c)}
        self.launcher.interrupt()
        deadline = time.monotonic() + SHUTDOWN_SECONDS
        while self.running:
            if time.monotonic() > deadline:
                self.launcher.kill()
            for completion in self.launcher.poll():
                with contextlib.suppress(OSError):
                    self._complete(completion)


def is_of_other_source(row: Mapping[str, Any], config: Config) -> bool:
    """Return True if other code of the model, task or training has computed a row."""
    return row.get("source_sha256") not in (None, source_of(config))


def row_of(values: Mapping[str, Any]) -> Row:
    """Return a row from values by column; other keys are ignored."""
    return Row(**{name: value for name, value in values.items() if name in COLUMNS})
