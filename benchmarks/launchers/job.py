"""A cell on a cluster, as a program: job.py CONF SWEEP NUMBER [THREADS].

It finds out for itself what is left to do: nothing, the rest of an interrupted run, or all of it.
"""

from __future__ import annotations

import dataclasses
import json
import sys
from datetime import UTC, datetime
from pathlib import Path

from benchmarks.compose import CellComposer, hydra_at
from benchmarks.config import Config, register_schemas
from benchmarks.continuation import unfinished_run
from benchmarks.interruption import Interruption
from benchmarks.launchers.base import Order, Surroundings
from benchmarks.launchers.child import run_cell
from benchmarks.launchers.slurm_job import cpus_of_job
from benchmarks.results import Store
from benchmarks.sweeps.cell import Cell
from benchmarks.sweeps.folder import SweepFolder


def main(conf: Path, sweep: Path, number: int, threads: int | None = None) -> int:
    """Run a cell; returns 0 if it has left a row or needs none."""
    folder = SweepFolder(sweep)
    record = folder.record(number)
    register_schemas(conf)
    with hydra_at(conf):
        config = CellComposer([]).compose(record.overrides)
    config = dataclasses.replace(config, results_dir=str(sweep.parent.parent))
    cell = Cell(
        number,
        record.overrides,
        record.label,
        with_threads(config, threads or cpus_of_job()),
        record.fingerprints,
        record.study,
        record.trial,
    )
    interruption = Interruption()
    interruption.install()
    store = Store(sweep.parent.parent)
    index = store.index()
    since = begun(sweep) if config.resume == "never" else ""
    finished = index.finished(cell.fingerprints)
    if finished is not None and finished.run_id > since:
        print(f"finished before, as {finished.run_id}")
        return 0
    around = Surroundings(store, index, folder, conf)
    order = Order(cell, unfinished_run(store, index, cell.fingerprints, since))
    ended = run_cell(cell, store, interruption, around.start(order))
    return 0 if ended.run_id is not None else 1


def with_threads(config: Config, threads: int | None) -> Config:
    """Give a run as many threads as its job has cores, unless the user said otherwise."""
    if config.train.threads is not None or threads is None:
        return config
    return dataclasses.replace(config, train=dataclasses.replace(config.train, threads=threads))


def begun(sweep: Path) -> str:
    """When the sweep was begun, as run ids write it."""
    about = json.loads((sweep / "sweep.json").read_text(encoding="utf-8"))
    return datetime.fromtimestamp(about["started"], UTC).strftime("%Y%m%dT%H%M%S")


if __name__ == "__main__":
    threads = int(sys.argv[4]) if len(sys.argv) > 4 else None
    sys.exit(main(Path(sys.argv[1]), Path(sys.argv[2]), int(sys.argv[3]), threads))
