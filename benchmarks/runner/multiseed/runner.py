"""The seeds of one arm, from their leases to their rows, in one process."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial

import torch

from benchmarks.config.schema import Config
from benchmarks.results.row import Row
from benchmarks.results.store import Store
from benchmarks.runner.display import show_data, show_start
from benchmarks.runner.multiseed.eligibility import reason_against_multiseed, seeds_per_step
from benchmarks.runner.multiseed.progress import seed_displays
from benchmarks.runner.multiseed.trainer import SeedTrainer, fit_seeds
from benchmarks.runner.run import (
    AlreadyRunningError,
    RunOptions,
    acquire_lease,
    new_row,
    open_run,
    prepare,
    run,
    stored_row,
)
from benchmarks.runner.stages import (
    PreparedRun,
    RunContext,
    begin_training,
    measure,
    store_training,
)
from benchmarks.system.environment import reset_process
from benchmarks.system.load import ConcurrentRuns
from benchmarks.system.memory import reset_peak_rss
from benchmarks.system.signals import Interruption
from benchmarks.training.tensorboard import tensorboard_log

Result = Row | BaseException
"""The row of a run, or the exception that `benchmarks.runner.run.run` would have raised."""


@dataclass(frozen=True)
class SeedRuns:
    """The runs of the seeds of one arm.

    Attributes:
        prepared: one per seed.
        options: one per seed.
        on_end: called with the index of a run and its result, as soon as it has ended.
        on_start: called with the index of a run and its id, once it has its lease.
    """

    prepared: list[PreparedRun]
    store: Store
    interruption: Interruption
    options: Sequence[RunOptions]
    on_end: Callable[[int, Result], None]
    on_start: Callable[[int, str], None]


def run_seeds(
    configs: Sequence[Config],
    store: Store,
    interruption: Interruption,
    options: Sequence[RunOptions],
    on_end: Callable[[int, Result], None],
    on_start: Callable[[int, str], None] = lambda index, run_id: None,
) -> None:
    """Train and measure an arm with several seeds, in the same steps if that is faster.

    Args:
        configs: checked; they differ in their seed alone.
        store: the results folder.
        interruption: installed by the caller if signals should end the runs cleanly.
        options: options of each run.
        on_end, on_start: see `SeedRuns`.

    Raises:
        UserError: the device is missing, or no hidden size meets the budget.
        tasks.base.DataError: the data cannot be used; nothing was written.
    """
    first = prepare(configs[0])
    seeds = [config.seed for config in configs]
    resolved = [dataclasses.replace(first.config, seed=seed, seeds=None) for seed in seeds]
    prepared = [dataclasses.replace(first, config=config) for config in resolved]
    runs = SeedRuns(prepared, store, interruption, options, on_end, on_start)
    reason = reason_against_multiseed(first, seeds)
    if reason is None:
        print(f"multi-seed training of {len(seeds)} seeds: training time is not recorded")
        run_multiseed(runs)
        return
    if len(seeds) > 1:
        print(f"{len(seeds)} seeds are trained one after the other: {reason}")
    run_in_turn(runs)


def run_in_turn(runs: SeedRuns) -> None:
    """Run the seeds one after the other, on the same data."""
    store, interruption = runs.store, runs.interruption
    for index, (prepared, options) in enumerate(zip(runs.prepared, runs.options, strict=True)):
        if index:
            reset_process()
        on_start = partial(runs.on_start, index)
        try:
            interruption.check()
            row = run(prepared.config, store, interruption, options, on_start, prepared)
            runs.on_end(index, row)
        except (KeyboardInterrupt, Exception) as error:
            runs.on_end(index, error)


def run_multiseed(runs: SeedRuns) -> None:
    """Run all seeds at once; each ends on its own."""
    started = time.perf_counter()
    reset_peak_rss()
    first = runs.prepared[0]
    seeds = [prepared.config.seed for prepared in runs.prepared]
    show_start(first.config.model.label, first.config.task.name, seeds, first.environment)
    show_data(first.task.data)
    concurrent = ConcurrentRuns()
    with ExitStack() as held:
        held.enter_context(runs.interruption.deferred())
        held.enter_context(concurrent.registered())
        contexts: dict[int, RunContext] = {}
        leases: dict[int, ExitStack] = {}
        for index in range(len(runs.prepared)):
            leases[index] = held.enter_context(ExitStack())
            try:
                context = open_seed(runs, index, leases[index], concurrent, started)
            except AlreadyRunningError as error:
                runs.on_end(index, error)
                continue
            contexts[index] = context
        if contexts:
            at_once = seeds_per_step(first)
            trained, ended_by = train(list(contexts.values()), runs.interruption, at_once)
            for number, (index, context) in enumerate(contexts.items()):
                own = trained[number] if number < len(trained) else None
                end_seed(runs, index, context, leases[index], own, ended_by)


def open_seed(
    runs: SeedRuns, index: int, lease_held: ExitStack, concurrent: ConcurrentRuns, started: float
) -> RunContext:
    """Acquire the lease of a seed, keep it renewed, and return the context of its run."""
    prepared, options, store = runs.prepared[index], runs.options[index], runs.store
    row = new_row(prepared, options, datetime.now(UTC))
    may_resume = prepared.config.resume != "never"
    lease = acquire_lease(store, row, options, may_resume)
    runs.on_start(index, row.run_id)
    lease_held.enter_context(store.leases.renewed(lease, concurrent.update))
    held = (lease, concurrent, runs.interruption, started)
    return open_run(prepared, options, store, row, *held, is_multiseed=True)


def end_seed(
    runs: SeedRuns,
    index: int,
    context: RunContext,
    lease_held: ExitStack,
    trained: SeedTrainer | None,
    ended_by: BaseException | None,
) -> None:
    """Measure a seed, store its row and release its lease.

    `trained` is None if its training did not begin; `ended_by` ended the training of all seeds.
    """
    try:
        with lease_held, stored_row(context, runs.store):
            if trained is not None:
                store_training(context, trained.trainer.state)
            error = ended_by if trained is None else trained.error or ended_by
            if error is not None:
                raise error
            assert trained is not None
            with runs.interruption.immediate():
                measure(context, trained.trainer)
        runs.on_end(index, context.row)
    except Exception as error:
        runs.on_end(index, error)


def train(
    contexts: list[RunContext], interruption: Interruption, at_once: int
) -> tuple[list[SeedTrainer], BaseException | None]:
    """Train; return the seed trainers that began, and the exception that ended all, if any."""
    displays = seed_displays(contexts)
    begun: list[SeedTrainer] = []
    try:
        with interruption.immediate(), ExitStack() as open_files:
            for context, display in zip(contexts, displays, strict=True):
                trainer = begin_training(context, display, context.checkpoint.read())
                generator = torch.Generator().set_state(torch.get_rng_state())
                begun.append(SeedTrainer(trainer, generator))
                log = tensorboard_log(trainer, context.config.log, context.folder.path)
                open_files.enter_context(log)
            open_files.enter_context(displays[0].bar)
            fit_seeds(begun, interruption, at_once)
    except (KeyboardInterrupt, Exception) as error:
        return begun, error
    return begun, None
