"""`python run.py … seeds=[0,1,2]`: the seeds of one pair, and their exit code."""

from __future__ import annotations

import dataclasses
import sys

from benchmarks.config.schema import Config
from benchmarks.results.row import Row, Status
from benchmarks.results.store import Store
from benchmarks.runner.multiseed.progress import show_rows
from benchmarks.runner.multiseed.runner import Result, run_seeds
from benchmarks.runner.run import RunOptions, how_to_resume
from benchmarks.system.signals import INTERRUPTED, Interruption


def run_all(config: Config, store: Store, options: RunOptions) -> int:
    """Run a configuration with each of its seeds and return the exit code."""
    assert config.seeds is not None
    configs = [dataclasses.replace(config, seed=seed) for seed in config.seeds]
    each = [
        dataclasses.replace(options, overrides=single_seed(options.overrides, seed))
        for seed in config.seeds
    ]
    results: dict[int, Result] = {}
    started: dict[int, str] = {}
    interruption = Interruption()
    interruption.install()
    try:
        try:
            run_seeds(configs, store, interruption, each, results.__setitem__, started.__setitem__)
        finally:
            with interruption.deferred():
                store.view().update()
        with interruption.deferred():
            code = exit_code(config, store, results)
    except KeyboardInterrupt:
        if not started:
            raise
        code = INTERRUPTED
    if code == INTERRUPTED:
        runs = [store.run(run_id) for run_id in started.values()]
        print(how_to_resume(runs, config.resume), file=sys.stderr)
    return code


def exit_code(config: Config, store: Store, results: dict[int, Result]) -> int:
    """Show the rows and return the exit code; raise the first error without a row."""
    ended = [results[index] for index in sorted(results)]
    rows = [result for result in ended if isinstance(result, Row)]
    if rows:
        show_rows(rows, config.task.primary_metric, str(store.runs))
    for result in ended:
        if isinstance(result, Exception):
            raise result
    assert config.seeds is not None
    if len(rows) < len(config.seeds) or any(row.status == Status.INTERRUPTED for row in rows):
        return INTERRUPTED
    return int(any(row.status != Status.OK for row in rows))


def single_seed(overrides: tuple[str, ...], seed: int) -> tuple[str, ...]:
    """Return the overrides of one seed: `seed=N` in place of `seeds`."""
    others = tuple(text for text in overrides if text.lstrip("+").partition("=")[0] != "seeds")
    unset = () if len(others) < len(overrides) else ("seeds=null",)  # set by an experiment
    return (*others, *unset, f"seed={seed}")
