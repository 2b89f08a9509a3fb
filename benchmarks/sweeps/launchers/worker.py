"""What a launcher runs for a cell, in whatever process."""

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
from tasks.base import DataError


def run_cell(cell: Cell, store: Store, interruption: Interruption, start: RunOptions) -> Completion:
    """Run a cell and say how it ended; whatever goes wrong is printed, never raised.

    Not even that the log's disk is full, which must not hide what went wrong before.
    """
    run_ids: list[str] = []
    try:
        run(cell.config, store, interruption, start, run_ids.append)
    except (KeyboardInterrupt, Exception) as error:  # a bug ends its cell, not the sweep
        return ended_by(error, cell, last(run_ids))
    return Completion(cell, last(run_ids))


def run_cells(
    cells: list[Cell],
    store: Store,
    interruption: Interruption,
    starts: list[RunOptions],
    tell: Callable[[Completion], None],
) -> None:
    """Run a cell, or those of a group, and tell how each ended as soon as it has."""
    if len(cells) == 1:
        tell(run_cell(cells[0], store, interruption, starts[0]))
        return
    run_ids: dict[int, str] = {}
    told: set[int] = set()

    def hear(place: int, result: Result) -> None:
        told.add(place)
        cell, run_id = cells[place], run_ids.get(place)
        if isinstance(result, Row):
            tell(Completion(cell, run_id))
        else:
            tell(ended_by(result, cell, run_id))

    try:
        configs = [cell.config for cell in cells]
        run_seeds(configs, store, interruption, starts, hear, run_ids.__setitem__)
    except (KeyboardInterrupt, Exception) as error:
        for place in range(len(cells)):
            if place not in told:
                hear(place, error)


def ended_by(error: BaseException, cell: Cell, run_id: str | None) -> Completion:
    """Print what ended a cell, and say it.

    Args:
        error: raised by the run.
        cell: that ended.
        run_id: of the run, if it was announced.
    """
    if isinstance(error, AlreadyRunningError):
        return Completion(cell, held_elsewhere=True)
    if isinstance(error, KeyboardInterrupt):
        return Completion(cell, run_id, Termination(describe(error), Status.INTERRUPTED))
    is_mistake = isinstance(error, UserError | DataError)
    with contextlib.suppress(OSError):
        if is_mistake:
            print(f"error: {error}")
        else:
            traceback.print_exception(error, file=sys.stderr)
    return Completion(
        cell,
        run_id,
        Termination(describe(error), Status.FAILED if is_mistake else status_of(error)),
    )


def last(run_ids: list[str]) -> str | None:
    """The run that was announced, if one was."""
    return run_ids[-1] if run_ids else None
