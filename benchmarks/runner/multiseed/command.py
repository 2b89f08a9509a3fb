"""`python run.py … seeds=[0,1,2]`: the seeds of one pair, and their exit code."""

from __future__ import annotations

import dataclasses
import sys

from benchmarks.config.schema import Config
from benchmarks.results.row import Row
from benchmarks.results.store import Store
from benchmarks.runner.multiseed.progress import show_rows
from benchmarks.runner.multiseed.runner import Result, run_seeds
from benchmarks.runner.run import Start
from benchmarks.sweeps.sweep import INTERRUPTED
from benchmarks.system.signals import Interruption


def run_all(config: Config, store: Store, start: Start) -> int:
    """Run a configuration with each of its seeds; returns the exit code.

    Raises:
        UserError, tasks.base.DataError: a mistake, or the disk is full.
        Exception: a bug; its row has been kept.
    """
    assert config.seeds is not None
    configs = [dataclasses.replace(config, seed=seed) for seed in config.seeds]
    results: dict[int, Result] = {}
    interruption = Interruption()
    interruption.install()
    try:
        run_seeds(configs, store, interruption, [start] * len(configs), results.__setitem__)
    finally:
        with interruption.deferred():
            store.view().update()
    ended = [results[place] for place in sorted(results)]
    rows = [result for result in ended if isinstance(result, Row)]
    if rows:
        show_rows(rows, config.task.metric, str(store.runs))
    for result in ended:
        if isinstance(result, Exception):
            raise result
    if len(rows) < len(configs) or any(row.status == "interrupted" for row in rows):
        print("the same command goes on from the checkpoints", file=sys.stderr)
        return INTERRUPTED
    return int(any(row.status != "ok" for row in rows))
