"""The work of a process that runs cells."""

from __future__ import annotations

import contextlib
import sys
import traceback
from collections.abc import Callable

from benchmarks.errors import UserError
from benchmarks.results.row import Row, Status
from benchmarks.results.store import Store
from benchmarks.runner.multiseed.runner import Result, run_seeds
from benchmarks.runner.row_columns import describe, status_of
from benchmarks.runner.run import AlreadyRunningError, RunOptions, run
from benchmarks.sweeps.cell import Cell, Completion, Termination
from benchmarks.system.signals import Interruption
from benchmarks.system.terminal import visible
from tasks.base import DataError


def run_cell(
    cell: Cell, store: Store, interruption: Interruption, options: RunOptions
) -> Completion:
    """Run a cell and return its completion; errors are printed, never raised."""
    run_ids: list[str] = []
    try:
        run(cell.config, store, interruption, options, run_ids.append)
    except (KeyboardInterrupt, Exception) as error:  # a bug ends its cell, not the sweep
        return completion_of(error, cell, run_ids[-1] if run_ids else None)
    return Completion(cell, run_ids[-1])


def run_cells(
    cells: list[Cell],
    store: Store,
    interruption: Interruption,
    options: list[RunOptions],
    report: Callable[[Completion], None],
) -> None:
    """Run a cell or a group of cells, and report each completion at once."""
    if len(cells) == 1:
        report(run_cell(cells[0], store, interruption, options[0]))
        return
    run_ids: dict[int, str] = {}
    reported: set[int] = set()

    def complete(place: int, result: Result) -> None:
        reported.add(place)
        cell, run_id = cells[place], run_ids.get(place)
        if isinstance(result, Row):
            report(Completion(cell, run_id))
        else:
            report(completion_of(result, cell, run_id))

    try:
        configs = [cell.config for cell in cells]
        run_seeds(configs, store, interruption, options, complete, run_ids.__setitem__)
    except (KeyboardInterrupt, Exception) as error:
        for place in range(len(cells)):
            if place not in reported:
                complete(place, error)


def completion_of(error: BaseException, cell: Cell, run_id: str | None) -> Completion:
    """Print an error that a run raised, and return the completion of its cell."""
    if isinstance(error, AlreadyRunningError):
        return Completion(cell, held_elsewhere=True)
    if isinstance(error, KeyboardInterrupt):
        return Completion(cell, run_id, Termination(describe(error), Status.INTERRUPTED))
    is_mistake = isinstance(error, UserError | DataError)
    with contextlib.suppress(OSError):  # the disk of the log may be full
        if is_mistake:
            print(f"error: {visible(str(error))}")
        else:
            traceback.print_exception(error, file=sys.stderr)
    status = Status.FAILED if is_mistake else status_of(error)
    return Completion(cell, run_id, Termination(describe(error), status))
