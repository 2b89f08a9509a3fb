"""One run, from its lease to its row, whatever becomes of it."""

from __future__ import annotations

import dataclasses
import json
import shlex
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime

import torch
from omegaconf import OmegaConf

from benchmarks.config.fingerprint import arm, fingerprint, seed_of
from benchmarks.config.matching import matched
from benchmarks.config.schema import Config
from benchmarks.errors import DISK_ERRORS, UserError
from benchmarks.results.leases import Lease, new_lease
from benchmarks.results.row import Row, Status
from benchmarks.results.run_folder import RunFolder
from benchmarks.results.store import Store, new_run_id
from benchmarks.results.unfinished import clean_up, unfinished_run
from benchmarks.runner.baseline import fit_and_measure
from benchmarks.runner.checkpointing import RunCheckpoint
from benchmarks.runner.display import show_data, show_start
from benchmarks.runner.row_columns import (
    configuration_columns,
    data_columns,
    describe,
    effective_overrides,
    status_of,
)
from benchmarks.runner.stages import Work, train_and_measure
from benchmarks.system.atomic_files import write_atomically
from benchmarks.system.disk_cache import DiskCache, cache_directory
from benchmarks.system.environment import Environment, prepare_process
from benchmarks.system.load import Neighbours
from benchmarks.system.memory import (
    reset_peak_rss,
)
from benchmarks.system.signals import Interruption
from benchmarks.training.precision import use_precision
from models.baseline import BaselineSettings
from tasks.base import Task


@dataclass(frozen=True)
class RunOptions:
    """Options of a run that its configuration does not contain.

    Attributes:
        is_cell: the run is a cell of a sweep, whose launcher has looked for an unfinished run.
        resumes: id of the unfinished run to resume.
        overrides: the command line of this run alone: `python run.py OVERRIDES` repeats it.
        sweep, study, trial: columns of the row.
    """

    is_cell: bool = False
    resumes: str | None = None
    overrides: tuple[str, ...] = ()
    sweep: str | None = None
    study: str | None = None
    trial: int | None = None


class AlreadyRunningError(Exception):
    """Another process works on this cell."""


def run(
    config: Config,
    store: Store,
    interruption: Interruption,
    options: RunOptions,
    on_start: Callable[[str], None] = lambda run_id: None,
    prepared: PreparedRun | None = None,
) -> Row:
    """Train and measure one pair and keep its row, whatever becomes of it.

    Args:
        config: checked.
        store: the results folder.
        interruption: installed by whoever wants signals to end the run cleanly.
        options: of this start.
        on_start: called with the run's id once it has its lease.
        prepared: result of `prepare` for this configuration, if it was called before.

    Raises:
        UserError: the device is not there, no hidden size meets the budget, or the disk is full.
        tasks.base.DataError: the data cannot be used; nothing was written.
        AlreadyRunningError: the run is a sweep's cell and another process runs it.
        Exception: a bug. Its row has been kept as `failed` before it goes on.
    """
    started, started_at = time.perf_counter(), datetime.now(UTC)
    reset_peak_rss()
    prepared = prepared or prepare(config)
    seeds = [] if seed_of(prepared.config) is None else [config.seed]
    show_start(prepared.config.model.label, prepared.config.task.name, seeds, prepared.environment)
    show_data(prepared.task.data)
    row = new_row(prepared, options, started_at)
    lease = take(store, row, options, looks=config.resume != "never")
    on_start(row.run_id)
    neighbours = Neighbours()
    with (
        interruption.deferred(),  # once the run is open, every end leaves a row and no lease
        store.leases.renewed(lease, neighbours.look),
        neighbours.announced(),
    ):
        work = open_work(prepared, store, row, lease, neighbours, interruption, started, options)
        with concluded(work, store), interruption.immediate():
            if isinstance(config.model, BaselineSettings):
                fit_and_measure(work)
            else:
                train_and_measure(work)
    return row


@dataclass(frozen=True)
class PreparedRun:
    """What a run needs before it is leased; runs that differ in their seed alone can share it.

    Attributes:
        config: with the hidden size that its match asks for.
        seconds: that reading and preparing the data took.
    """

    config: Config
    task: Task
    device: torch.device
    environment: Environment
    seconds: float


def prepare(config: Config) -> PreparedRun:
    """Set up the process and read the data.

    Raises:
        UserError: the device is not there, or no hidden size meets the budget.
        tasks.base.DataError: the data cannot be used.
    """
    started = time.perf_counter()
    train = config.train
    device, environment = prepare_process(train.device, train.threads, train.deterministic)
    use_precision(train.precision, device)
    cache = DiskCache(cache_directory(config.cache_dir))
    task = config.task.load(cache)
    config = matched(config, task.input_size)
    task.to(device, getattr(torch, config.train.dtype))
    return PreparedRun(config, task, device, environment, time.perf_counter() - started)


def new_row(prepared: PreparedRun, options: RunOptions, started_at: datetime) -> Row:
    """The row of a run that begins."""
    config, data = prepared.config, prepared.task.data
    return Row(
        run_id=new_run_id(config.model.label, config.task.name, config.seed, started_at),
        status=Status.INTERRUPTED,
        error="the process ended without a word",
        starts=1,
        started_at=started_at.isoformat(timespec="milliseconds"),
        prepare_seconds=prepared.seconds,
        fingerprint=fingerprint(config, data, prepared.device.type),
        arm=arm(config, data),
        overrides=effective_overrides(config, options.overrides),
        sweep=options.sweep,
        study=options.study,
        trial=options.trial,
        **configuration_columns(config),
        **data_columns(data),
        dtype=config.train.dtype,
        **dataclasses.asdict(prepared.environment),
    )


def open_work(
    prepared: PreparedRun,
    store: Store,
    row: Row,
    lease: Lease,
    neighbours: Neighbours,
    interruption: Interruption,
    started: float,
    options: RunOptions,
) -> Work:
    """Make the folder of a run that is leased, and write down its configuration."""
    folder = store.run(row.run_id).create()
    # Task and model are what their schemas are; only a comment can name them.
    heading = f"# python run.py model={row.model} task={row.task}, with these settings\n"
    settings = OmegaConf.to_yaml(OmegaConf.structured(prepared.config))
    write_atomically(folder.config, heading + settings)
    write_command(folder, options.overrides)
    continuation = RunCheckpoint(folder, row, prepared.device.type, neighbours, started)
    return Work(
        prepared.config,
        prepared.task,
        prepared.device,
        row,
        folder,
        continuation,
        lease,
        interruption,
    )


def write_command(folder: RunFolder, overrides: Sequence[str]) -> None:
    """Write `command.txt`: one line, the shell command that repeats this run alone.

    It is `python run.py` and the overrides in the order given, each quoted for a POSIX shell, as in
    `python run.py model=lstm task=sp500 seed=1`. Paths are as given. The command of a sweep's cell
    has no `-m` and a single value of every key, and that of one of several seeds has `seed=N` in
    the place of `seeds=[...]`. Runs started from Python, without overrides, have no such file.
    """
    if overrides:
        write_atomically(folder.command, f"python run.py {shlex.join(overrides)}\n")


@contextmanager
def concluded(work: Work, store: Store) -> Iterator[None]:
    """Keep a run's row at the end of a block, whatever ends it; interruptions end here.

    Raises:
        UserError: the disk is full.
        Exception: a bug.
    """
    row, continuation = work.row, work.continuation
    try:
        yield
        row.status, row.error = Status.OK, None
    except (KeyboardInterrupt, Exception) as error:
        row.status, row.error = status_of(error), describe(error)
        continuation.is_wanted = can_go_on(error, row.status)
        if isinstance(error, OSError) and error.errno in DISK_ERRORS:
            raise UserError(
                f"{row.error}; the same command goes on from the last checkpoint of {row.run_id}"
            ) from error
        if row.status == Status.FAILED:
            raise
    finally:
        continuation.neighbours.look()
        row.concurrent_runs = continuation.neighbours.most
        if not (work.has_company or row.trained_together):  # else it is also the time of others
            passed = time.perf_counter() - continuation.started
            row.total_seconds = continuation.total_seconds + passed
        with work.interruption.shielded():
            keep_row(store, row)
            work.lease.has_row = True
            continuation.finish()


def take(store: Store, row: Row, options: RunOptions, looks: bool) -> Lease:
    """Lease the question for this run, or for the unfinished run that it continues.

    Raises:
        AlreadyRunningError: a sweep's cell is another's already.
    """
    assert row.fingerprint is not None
    if (
        options.resumes is not None
        and (store.row(options.resumes) or {}).get("status") == Status.OK
    ):
        raise AlreadyRunningError(f"another process has finished {options.resumes}")
    fresh = (row.run_id, row.starts, row.started_at)
    unfinished = options.resumes
    if not options.is_cell:
        index = store.index()
        clean_up(store, index)
        if looks:
            unfinished = unfinished_run(store, index, [row.fingerprint])
    if unfinished is not None:
        adopt(row, store, unfinished)
    lease = new_lease(row.fingerprint, row.run_id, dataclasses.asdict(row))
    if store.leases.acquire(lease):
        return lease
    if options.is_cell:
        raise AlreadyRunningError(f"another process works on {row.fingerprint}")
    # A single run always runs, beside whoever asks the same question.
    row.run_id, row.starts, row.started_at = fresh
    beside = new_lease(f"{row.fingerprint}.{row.run_id}", row.run_id, dataclasses.asdict(row))
    store.leases.acquire(beside)
    return beside


def adopt(row: Row, store: Store, run_id: str) -> None:
    """Make a new row that of an earlier start of the same run."""
    assert row.fingerprint is not None
    known = [lease.row for lease in store.leases.of(row.fingerprint) if lease.run_id == run_id]
    known += [store.row(run_id) or {}]
    row.run_id = run_id
    row.starts = max(int(earlier.get("starts") or 1) for earlier in known) + 1
    row.started_at = min(e["started_at"] for e in [*known, vars(row)] if e.get("started_at"))


def can_go_on(error: BaseException, status: str) -> bool:
    """Whether what ended a run lay outside it, so that its checkpoint is worth keeping."""
    return status in (Status.INTERRUPTED, Status.OUT_OF_MEMORY) or isinstance(error, OSError)


def keep_row(store: Store, row: Row) -> None:
    """Write the row; a full disk must not swallow what was measured.

    Raises:
        UserError: it could not be written.
    """
    try:
        store.write_row(row)
    except OSError as error:
        print(f"the row that could not be kept: {json.dumps(dataclasses.asdict(row))}")
        raise UserError(
            f"the row of {row.run_id} could not be written ({error.strerror}); "
            f"after making space the same command goes on from the last checkpoint"
        ) from error
