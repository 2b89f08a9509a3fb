"""One run, from its lease to its row."""

from __future__ import annotations

import copy
import dataclasses
import json
import logging
import shlex
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import torch
from omegaconf import OmegaConf

from benchmarks.config.fingerprint import arm, fingerprint, seed_of
from benchmarks.config.matching import check_factor, decides_size, matched
from benchmarks.config.paths import make_paths_absolute
from benchmarks.config.schema import Config
from benchmarks.errors import DISK_ERRORS, UserError
from benchmarks.results.leases import Lease, new_lease
from benchmarks.results.row import Row, Status
from benchmarks.results.run_folder import RunFolder
from benchmarks.results.store import Store, new_run_id
from benchmarks.results.unfinished import clean_up, unfinished_runs
from benchmarks.runner.baseline import fit_and_measure
from benchmarks.runner.checkpointing import RunCheckpoint
from benchmarks.runner.display import show_data, show_start
from benchmarks.runner.row_columns import (
    configuration_columns,
    data_columns,
    describe,
    effective_overrides,
    source_of,
    status_of,
)
from benchmarks.runner.stages import PreparedRun, RunContext, train_and_measure
from benchmarks.system.atomic_files import write_atomically
from benchmarks.system.disk_cache import DiskCache, cache_directory
from benchmarks.system.environment import prepare_process
from benchmarks.system.load import ConcurrentRuns
from benchmarks.system.memory import reset_peak_rss
from benchmarks.system.signals import Interruption
from benchmarks.training.precision import use_precision
from models.baseline import BaselineSettings
from models.kernels.compiler import use_cache

logger = logging.getLogger(__name__)


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
    """Another process runs this cell."""


def run(
    config: Config,
    store: Store,
    interruption: Interruption,
    options: RunOptions,
    on_start: Callable[[str], None] = lambda run_id: None,
    prepared: PreparedRun | None = None,
) -> Row:
    """Train and measure one pair and store its row, also if the run fails.

    Args:
        config: checked.
        store: the results folder.
        interruption: installed by the caller if signals should end the run cleanly.
        options: options of this start.
        on_start: called with the run's id once the run has its lease.
        prepared: result of `prepare` for this configuration, if available.

    Raises:
        UserError: the device is missing, no hidden size meets the budget, or the disk is full.
        tasks.base.DataError: the data cannot be used; nothing was written.
        AlreadyRunningError: another process runs this cell; nothing was written.
        Exception: a bug; a row of status `failed` was stored.
    """
    started, started_at = time.perf_counter(), datetime.now(UTC)
    reset_peak_rss()
    prepared = prepared or prepare(config)
    config = prepared.config
    seeds = [] if seed_of(config) is None else [config.seed]
    show_start(config.model.label, config.task.name, seeds, prepared.environment)
    show_data(prepared.task.data)
    row = new_row(prepared, options, started_at)
    lease = acquire_lease(store, row, options, may_resume=config.resume != "never")
    on_start(row.run_id)
    concurrent = ConcurrentRuns()
    with (
        interruption.deferred(),  # from here on, every end leaves a row and no lease
        store.leases.renewed(lease, concurrent.update),
        concurrent.registered(),
    ):
        context = open_run(prepared, options, store, row, lease, concurrent, interruption, started)
        with stored_row(context, store), interruption.immediate():
            if isinstance(config.model, BaselineSettings):
                fit_and_measure(context)
            else:
                train_and_measure(context)
    return row


def prepare(config: Config) -> PreparedRun:
    """Set up the process, read the data and resolve the configuration."""
    started = time.perf_counter()
    train = config.train
    device, environment = prepare_process(train.device, train.threads, train.deterministic)
    use_precision(train.precision, device)
    if config.cache_dir is not None:
        use_cache(Path(config.cache_dir))
    task = config.task.load(DiskCache(cache_directory(config.cache_dir)))
    recipe, config = config, matched(config, task.input_size)
    if decides_size(config):
        check_factor(recipe, config.model.hidden_size)
        logger.info(
            "match=%s: hidden size %s (model.hidden_size: %s)",
            config.match.kind,
            f"{config.model.hidden_size:,}",
            f"{recipe.model.hidden_size:,}",
        )
    task.to(device, getattr(torch, train.dtype))
    return PreparedRun(config, task, device, environment, time.perf_counter() - started)


def new_row(prepared: PreparedRun, options: RunOptions, started_at: datetime) -> Row:
    """Return the row of a new run, with the status it has if the process is killed."""
    config, data = prepared.config, prepared.task.data
    return Row(
        run_id=new_run_id(config.model.label, config.task.name, config.seed, started_at),
        status=Status.INTERRUPTED,
        error="process terminated unexpectedly",
        starts=1,
        started_at=started_at.isoformat(timespec="milliseconds"),
        prepare_seconds=prepared.prepare_seconds,
        fingerprint=fingerprint(config, data, prepared.device.type),
        arm=arm(config, data),
        source_sha256=source_of(config),
        overrides=effective_overrides(config, options.overrides),
        sweep=options.sweep,
        study=options.study,
        trial=options.trial,
        **configuration_columns(config) | data_columns(data),
        dtype=config.train.dtype,
        **dataclasses.asdict(prepared.environment),
    )


def acquire_lease(store: Store, row: Row, options: RunOptions, may_resume: bool) -> Lease:
    """Acquire the lease of a new run, or that of the unfinished run which the row then resumes."""
    assert row.fingerprint is not None
    resumes = options.resumes
    if resumes is not None and (store.row(resumes) or {}).get("status") == Status.OK:
        raise AlreadyRunningError(f"another process has finished {resumes}")
    fresh = (row.run_id, row.starts, row.started_at)
    if not options.is_cell:
        index = store.index()
        clean_up(store, index)
        if may_resume:
            resumes, *others = [*unfinished_runs(store, index, [row.fingerprint]), None][:2]
            if resumes is not None and any(others):
                logger.info(
                    "%s has the most steps of several unfinished runs of this configuration and is "
                    "resumed; %s remains",
                    *(resumes, others[0]),
                )
    if resumes is not None:
        resume_row(row, store, resumes)
    lease = new_lease(row.fingerprint, row.run_id, dataclasses.asdict(row))
    if store.leases.acquire(lease):
        return lease
    if options.is_cell:
        raise AlreadyRunningError(f"another process works on {row.fingerprint}")
    # A single run always runs, even while another process runs the same configuration.
    holder = store.leases.read(row.fingerprint)
    logger.info(
        "process %s runs the same configuration (%s); this run is independent of it and trains it "
        "a second time",
        *((holder.process.pid, holder.run_id) if holder else ("another", "not named")),
    )
    row.run_id, row.starts, row.started_at = fresh
    key = f"{row.fingerprint}.{row.run_id}"
    additional = new_lease(key, row.run_id, dataclasses.asdict(row))
    store.leases.acquire(additional)
    return additional


def resume_row(row: Row, store: Store, run_id: str) -> None:
    """Turn a new row into that of an earlier start of the run."""
    assert row.fingerprint is not None
    earlier = [lease.row for lease in store.leases.of(row.fingerprint) if lease.run_id == run_id]
    earlier += [store.row(run_id) or {}]
    row.run_id = run_id
    row.starts = max(int(each.get("starts") or 1) for each in earlier) + 1
    starts = [each["started_at"] for each in [*earlier, vars(row)] if each.get("started_at")]
    row.started_at = min(starts)


def open_run(
    prepared: PreparedRun,
    options: RunOptions,
    store: Store,
    row: Row,
    lease: Lease,
    concurrent: ConcurrentRuns,
    interruption: Interruption,
    started: float,
    is_multiseed: bool = False,
) -> RunContext:
    """Create the folder of a run with its configuration and command, and return its context."""
    folder = store.run(row.run_id).create()
    # The settings of task and model do not contain their names.
    heading = f"# python run.py model={row.model} task={row.task}, with these settings\n"
    config = copy.deepcopy(prepared.config)
    make_paths_absolute(config)  # so that the run can be loaded from another directory
    settings = OmegaConf.to_yaml(OmegaConf.structured(config))
    write_atomically(folder.config, heading + settings)
    write_command(folder, options.overrides)
    checkpoint = RunCheckpoint(folder, row, prepared.device.type, concurrent, started)
    return RunContext(
        **vars(prepared),
        row=row,
        folder=folder,
        lease=lease,
        checkpoint=checkpoint,
        interruption=interruption,
        is_multiseed=is_multiseed,
    )


def write_command(folder: RunFolder, overrides: Sequence[str]) -> None:
    """Write `command.txt`: one line, the shell command that repeats this run alone.

    It is `python run.py` and the overrides in the order given, each quoted for a POSIX shell, as in
    `python run.py model=lstm task=sp500 seed=1`. Paths are as given, also if they are not UTF-8.
    The command of a sweep's cell has no `-m` and a single value of every key, and that of one of
    several seeds has `seed=N` in place of `seeds=[...]`. Runs started from Python, without
    overrides, have no such file.
    """
    if overrides:
        command = f"python run.py {shlex.join(overrides)}\n"
        write_atomically(folder.command, command.encode("utf-8", "surrogateescape"))


@contextmanager
def stored_row(context: RunContext, store: Store) -> Iterator[None]:
    """Store the row at the end of a block; re-raise only disk errors and bugs."""
    row, checkpoint = context.row, context.checkpoint
    try:
        yield
        row.status, row.error = Status.OK, None
    except (KeyboardInterrupt, Exception) as error:
        row.status, row.error = status_of(error), describe(error)
        is_external = row.status in (Status.INTERRUPTED, Status.OUT_OF_MEMORY)
        checkpoint.is_kept = is_external or isinstance(error, OSError)
        if isinstance(error, OSError) and error.errno in DISK_ERRORS:
            raise UserError(
                f"{row.error}; re-running the same command resumes {row.run_id} from its last "
                f"checkpoint"
            ) from error
        if row.status == Status.FAILED:
            raise
    finally:
        checkpoint.concurrent.update()
        row.concurrent_runs = checkpoint.concurrent.maximum
        if not (context.is_multiseed or row.trained_together):  # else other runs share the time
            row.total_seconds = checkpoint.total_seconds
        with context.interruption.shielded():
            store_row(store, row)
            context.lease.has_row = True
            checkpoint.remove_if_obsolete()


def how_to_resume(interrupted: Sequence[RunFolder], resume: str) -> str:
    """Return a line about what the same command does after an interruption of these runs."""
    saved = sum(folder.checkpoint.exists() for folder in interrupted)
    if saved == 0:
        return "there is no checkpoint yet: re-running the same command trains from the beginning"
    checkpoint = "the checkpoint" if len(interrupted) == 1 else "the checkpoints"
    if resume == "never":
        return f"re-running the command without resume=never resumes from {checkpoint}"
    return f"re-running the same command resumes from {checkpoint}"


def store_row(store: Store, row: Row) -> None:
    """Store the row; print it if that fails."""
    try:
        store.write_row(row)
    except OSError as error:
        print(f"the row that could not be written: {json.dumps(dataclasses.asdict(row))}")
        raise UserError(
            f"the row of {row.run_id} could not be written ({error.strerror}); free some space, "
            f"then re-running the same command resumes the run from its last checkpoint"
        ) from error
