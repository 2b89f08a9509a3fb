"""`python run.py … seeds=[0,1,2]`: the seeds of one pair, and their exit code."""

from __future__ import annotations

import dataclasses
import sys

from benchmarks.config.schema import Config
from benchmarks.results.row import Row, Status
from benchmarks.results.store import Store
from benchmarks.runner.multiseed.progress import show_rows
from benchmarks.runner.multiseed.runner import Result, run_seeds
from benchmarks.runner.run import RunOptions
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
    interruption = Interruption()
    interruption.install()
    try:
        run_seeds(configs, store, interruption, each, results.__setitem__)
    finally:
        with interruption.deferred():
            store.view().update()
    ended = [results[index] for index in sorted(results)]
    rows = [result for result in ended if isinstance(result, Row)]
    if rows:
        show_rows(rows, config.task.metric, str(store.runs))
    for result in ended:
        if isinstance(result, Exception):
            raise result
    if len(rows) < len(configs) or any(row.status == Status.INTERRUPTED for row in rows):
        print("re-running the same command resumes from the checkpoints", file=sys.stderr)
        return INTERRUPTED
    return int(any(row.status != Status.OK for row in rows))


def single_seed(overrides: tuple[str, ...], seed: int) -> tuple[str, ...]:
    """Return the overrides of one seed: `seed=N` in place of `seeds`."""
    others = tuple(text for text in overrides if text.lstrip("+").partition("=")[0] != "seeds")
    unset = () if len(others) < len(overrides) else ("seeds=null",)  # set by an experiment
    return (*others, *unset, f"seed={seed}")
