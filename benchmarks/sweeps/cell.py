"""A cell of a sweep and its outcome."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from benchmarks.config.schema import Config
from benchmarks.results.row import Status
from benchmarks.system.load import is_busy

TRIAL_FAILURES = (Status.DIVERGED, Status.OUT_OF_MEMORY)
"""Statuses that a trial's settings cause: the trial counts as failed and is not repeated."""


@dataclass(frozen=True)
class Cell:
    """One run of a sweep.

    Attributes:
        number: position in the sweep, from 0.
        overrides: its own command line; `python run.py OVERRIDES` repeats the run.
        label: the overrides in which it differs from other cells.
        config: composed from the overrides.
        fingerprints: of the configuration, one for each kind of device it may run on.
        study, trial: in a search, the name of the study and the number of the trial.
        group: cells of one group differ only in their seed and may share a process.
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
        """Return True if a launcher may run both cells in one process."""
        return self.group is not None and self.group == other.group

    def with_threads(self, threads: int | None) -> Cell:
        """Return the cell with a number of threads, unless its configuration sets one."""
        if threads is None or self.config.train.threads is not None:
            return self
        train = dataclasses.replace(self.config.train, threads=threads)
        return dataclasses.replace(self, config=dataclasses.replace(self.config, train=train))

    @property
    def log_name(self) -> str:
        """Return the name of the cell's log file."""
        readable = "".join(c if c.isalnum() or c in "=.,-+_" else "-" for c in self.label)
        return f"{self.number:05d}-{readable[:80]}.log"


@dataclass(frozen=True)
class Termination:
    """The end of a cell's process that wrote no row.

    Attributes:
        text: one line for the row's `error`.
        status: for the row.
        replaces_error: the text replaces the error of a row with the same status.
    """

    text: str
    status: Status = Status.FAILED
    replaces_error: bool = False


@dataclass(frozen=True)
class Completion:
    """A launcher's report that a cell's process has ended.

    Attributes:
        run_id: of the row it wrote; None if it wrote none.
        termination: set if the process ended before it could write the row.
        held_elsewhere: another process holds the cell's lease, so nothing was run.
    """

    cell: Cell
    run_id: str | None = None
    termination: Termination | None = None
    held_elsewhere: bool = False


@dataclass(frozen=True)
class Outcome:
    """The result of a cell.

    Attributes:
        status: of its row.
        score, val_score: on test and validation data.
        is_previous: the row existed before this sweep started.
        is_slowed: other work on the machine makes the training time unreliable.
        used_fallback: PyTorch's kernel ran although the fused kernel was required.
        is_of_other_source: its code has changed since; only of an earlier run.
        is_undertrained: its best epoch is the last, and a limit ended it.
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
    is_of_other_source: bool = False
    is_undertrained: bool = False


def is_slowed_by_load(row: Mapping[str, Any]) -> bool:
    """Return True if a row has a training time that other work on the machine affected."""
    has_time = row.get("train_seconds") is not None
    return has_time and is_busy(row.get("load_average"), row.get("threads"), row.get("device"))


def used_fallback_kernel(row: Mapping[str, Any]) -> bool:
    """Return True if PyTorch's kernel ran although the fused kernel was required."""
    is_required = "model.kernel=fused" in (row.get("overrides") or "").split()
    return is_required and row.get("kernel") == "torch"
