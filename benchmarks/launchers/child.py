"""What a launcher runs for a cell, in whatever process."""

from __future__ import annotations

import contextlib
import traceback

from benchmarks.columns import describe, status_of
from benchmarks.errors import UserError
from benchmarks.interruption import Interruption
from benchmarks.results import Store
from benchmarks.runner import Start, TakenError, run
from benchmarks.sweeps.cell import Cell, Death, Ended
from tasks.base import DataError


def run_cell(cell: Cell, store: Store, interruption: Interruption, start: Start) -> Ended:
    """Run a cell and say how it ended; whatever goes wrong is printed, never raised.

    Not even that the log's disk is full, which must not hide what went wrong before.
    """
    run_ids: list[str] = []
    try:
        run(cell.config, store, interruption, start, run_ids.append)
    except TakenError:
        return Ended(cell, is_taken=True)
    except (UserError, DataError) as error:
        with contextlib.suppress(OSError):
            print(f"error: {error}")
        return Ended(cell, last(run_ids), Death(describe(error)))
    except KeyboardInterrupt as error:
        return Ended(cell, last(run_ids), Death(describe(error), "interrupted"))
    except Exception as error:  # a bug ends its cell, not the sweep
        with contextlib.suppress(OSError):
            traceback.print_exc()
        return Ended(cell, last(run_ids), Death(describe(error), status_of(error)))
    return Ended(cell, last(run_ids))


def last(run_ids: list[str]) -> str | None:
    """The run that was announced, if one was."""
    return run_ids[-1] if run_ids else None
