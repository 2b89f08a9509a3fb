"""The seeds of one arm, from their leases to their rows, in one process."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from datetime import UTC, datetime
from functools import partial

import torch

from benchmarks.config.schema import Config
from benchmarks.results.row import Row
from benchmarks.results.store import Store
from benchmarks.runner.display import show_data, show_start
from benchmarks.runner.multiseed.eligibility import reason_against_multiseed, seeds_per_step
from benchmarks.runner.multiseed.progress import SeedsDisplay
from benchmarks.runner.multiseed.trainer import SeedTrainer, fit_seeds
from benchmarks.runner.run import (
    AlreadyRunningError,
    PreparedRun,
    RunOptions,
    concluded,
    new_row,
    open_work,
    prepare,
    run,
    take,
)
from benchmarks.runner.stages import Training, Work, begin_training, keep_training, measure
from benchmarks.system.environment import reset_process
from benchmarks.system.load import Neighbours
from benchmarks.system.memory import reset_peak_rss
from benchmarks.system.signals import Interruption
from benchmarks.training.tensorboard import tensorboard_log

Result = Row | BaseException
"""A run's row, or why it has none or more is to be said than it can."""

Announce = Callable[[int, str], None]
"""Is told the place of a run among its likes, and its id, once it is leased."""

Tell = Callable[[int, Result], None]
"""Is told the place of a run among its likes, and its result, as soon as it has ended."""


def run_seeds(
    configs: Sequence[Config],
    store: Store,
    interruption: Interruption,
    starts: Sequence[RunOptions],
    tell: Tell,
    announce: Announce = lambda place, run_id: None,
) -> None:
    """Train and measure an arm with several seeds: together where that is faster, else in turn.

    Args:
        configs: checked; they differ in their seed alone.
        store: the results folder.
        interruption: installed by whoever wants signals to end the runs cleanly.
        starts: what is known of each beforehand.
        tell: told the row of each, or what `benchmarks.runner.run.run` would have raised.
        announce: told of every run that has been leased.

    Raises:
        UserError: the device is not there, or no hidden size meets the budget.
        tasks.base.DataError: the data cannot be used; nothing was written.
    """
    ready = prepare(configs[0])
    each = [dataclasses.replace(ready, config=at_seed(ready.config, c.seed)) for c in configs]
    seeds = [config.seed for config in configs]
    reason = reason_against_multiseed(ready, seeds)
    if reason is None:
        print(f"{len(seeds)} seeds are trained together: a shared training has no times of its own")
        run_together(each, store, interruption, starts, tell, announce)
        return
    if len(seeds) > 1:
        print(f"{len(seeds)} seeds are trained one after the other: {reason}")
    run_in_turn(each, store, interruption, starts, tell, announce)


def at_seed(config: Config, seed: int) -> Config:
    """The configuration of one run."""
    return dataclasses.replace(config, seed=seed, seeds=None)


def run_in_turn(
    each: Sequence[PreparedRun],
    store: Store,
    interruption: Interruption,
    starts: Sequence[RunOptions],
    tell: Tell,
    announce: Announce,
) -> None:
    """Make a run of every seed, one after the other, on the same data."""
    for place, (ready, start) in enumerate(zip(each, starts, strict=True)):
        if place:
            reset_process()
        try:
            interruption.check()
            leased = partial(announce, place)
            tell(place, run(ready.config, store, interruption, start, leased, ready))
        except (KeyboardInterrupt, Exception) as error:
            tell(place, error)


def run_together(
    each: Sequence[PreparedRun],
    store: Store,
    interruption: Interruption,
    starts: Sequence[RunOptions],
    tell: Tell,
    announce: Announce,
) -> None:
    """Make a run of every seed, all of them at once; each ends in its own way."""
    started = time.perf_counter()
    reset_peak_rss()
    config = each[0].config
    seeds = [ready.config.seed for ready in each]
    show_start(config.model.label, config.task.name, seeds, each[0].environment)
    show_data(each[0].task.data)
    neighbours = Neighbours()
    with ExitStack() as held:
        held.enter_context(interruption.deferred())
        held.enter_context(neighbours.announced())
        works: dict[int, Work] = {}
        leases: dict[int, ExitStack] = {}
        for place, (ready, start) in enumerate(zip(each, starts, strict=True)):
            row = new_row(ready, start, datetime.now(UTC))
            try:
                lease = take(store, row, start, looks=ready.config.resume != "never")
            except AlreadyRunningError as error:
                tell(place, error)
                continue
            announce(place, row.run_id)
            leases[place] = held.enter_context(ExitStack())
            leases[place].enter_context(store.leases.renewed(lease, neighbours.look))
            work = open_work(ready, store, row, lease, neighbours, interruption, started, start)
            works[place] = dataclasses.replace(work, has_company=True)
        if not works:
            return
        begun, ended_by = trained(list(works.values()), interruption, seeds_per_step(each[0]))
        for number, (place, work) in enumerate(works.items()):
            try:
                with leases[place], concluded(work, store):
                    if number < len(begun):
                        keep_training(begun[number][0])
                        raise_if(begun[number][1].error)
                    raise_if(ended_by)
                    with interruption.immediate():
                        measure(begun[number][0])
                tell(place, work.row)
            except Exception as error:
                tell(place, error)


def trained(
    works: list[Work], interruption: Interruption, at_once: int
) -> tuple[list[tuple[Training, SeedTrainer]], BaseException | None]:
    """Train; returns those trainings that could begin, and what ended all, if anything did."""
    display = SeedsDisplay(works)
    begun: list[tuple[Training, SeedTrainer]] = []
    try:
        with interruption.immediate(), ExitStack() as open_files:
            for work, progress in zip(works, display.each, strict=True):
                training = begin_training(work, progress)
                chance = torch.Generator().set_state(torch.get_rng_state())
                begun.append((training, SeedTrainer(training.trainer, chance)))
                open_files.enter_context(
                    tensorboard_log(training.trainer, work.config.log, work.folder.path)
                )
            open_files.enter_context(display)
            fit_seeds([member for _, member in begun], interruption, at_once)
    except (KeyboardInterrupt, Exception) as error:
        return begun, error
    return begun, None


def raise_if(error: BaseException | None) -> None:
    """Raise what ended a training, if anything did."""
    if error is not None:
        raise error
