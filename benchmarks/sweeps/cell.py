"""A cell of a sweep, and what became of it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from benchmarks.config.schema import Config
from benchmarks.results.row import Status
from benchmarks.system.load import is_busy

LOST = (Status.DIVERGED, Status.OUT_OF_MEMORY)
"""Ends that a trial's settings are to blame for: it counts, and has no value."""


@dataclass(frozen=True)
class Cell:
    """One run of a sweep.

    Attributes:
        number: from 0, in the order of the sweep.
        overrides: the command line of this cell alone: `python run.py OVERRIDES` repeats it.
        label: what tells it from its neighbours.
        config: what the overrides come to.
        fingerprints: of its question, one for each kind of device it may be asked on.
        study, trial: of the search it belongs to, if any.
        group: cells of one name differ in their seed alone, and a launcher that can runs them in
            one process; None for a cell by itself.
    """

    number: int
    overrides: list[str]
    label: str
    config: Config
    fingerprints: list[str]
    study: str | None = None
    trial: int | None = None
    group: str | None = None

    def is_grouped_with(self, other: Cell) -> bool:
        """Whether a launcher that can runs both in one process."""
        return self.group is not None and self.group == other.group

    @property
    def log_name(self) -> str:
        """Name of the file that its output goes to."""
        readable = "".join(c if c.isalnum() or c in "=.,-+_" else "-" for c in self.label)
        return f"{self.number:05d}-{readable[:80]}.log"


@dataclass(frozen=True)
class Termination:
    """How a cell's process ended without leaving a row.

    Attributes:
        text: in one line.
        status: for its row; `interrupted` and `timeout` runs go on when the sweep is continued.
        from_scheduler: it says more than an interrupted run could know.
    """

    text: str
    status: Status = Status.FAILED
    from_scheduler: bool = False


@dataclass(frozen=True)
class Completion:
    """Word from a launcher that a cell's process has ended.

    Attributes:
        run_id: of the row it has left; None if it died before, or was not needed.
        termination: how it died, if it did.
        is_taken: it found another process at work on its question, and left.
    """

    cell: Cell
    run_id: str | None = None
    termination: Termination | None = None
    held_elsewhere: bool = False


@dataclass(frozen=True)
class Outcome:
    """What became of a cell.

    Attributes:
        status: of its row.
        score, val_score: on test and on validation.
        is_slowed: by other work on the machine, so that its time of training is in doubt; not one
            that has none, as of seeds trained together.
        is_old: the row was there before this sweep began.
        lacks_fused: PyTorch's kernel ran where the fused one was asked for.
    """

    cell: Cell
    status: Status
    run_id: str
    error: str | None = None
    score: float | None = None
    val_score: float | None = None
    train_seconds: float | None = None
    is_previous: bool = False
    is_slowed: bool = False
    used_fallback: bool = False


def is_slowed_by_load(row: Mapping[str, Any]) -> bool:
    """Whether other work slowed a training whose time the row tells.

    Rows without one, as of seeds trained together or of runs that failed, are nobody's concern.
    """
    has_time = row.get("train_seconds") is not None
    return has_time and is_busy(row.get("load_average"), row.get("threads"))


def used_fallback_kernel(row: Mapping[str, Any]) -> bool:
    """Whether PyTorch's kernel ran where the fused one was asked for."""
    is_asked = "model.kernel=fused" in (row.get("overrides") or "").split()
    return is_asked and row.get("kernel") == "torch"
