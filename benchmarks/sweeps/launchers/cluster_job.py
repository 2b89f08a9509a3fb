"""A cell on a cluster, as a program: job.py CONF SWEEP NUMBER [THREADS].

With THREADS, which Ray's workers give, it ends when its standard input does.

It finds out for itself what is left to do: nothing, the rest of an interrupted run, or all of it.
"""

from __future__ import annotations

import dataclasses
import os
import signal
import sys
import threading
from pathlib import Path

from benchmarks.config.compose import CellComposer, hydra_at
from benchmarks.config.registry import register_schemas
from benchmarks.config.schema import Config
from benchmarks.results.row import Status
from benchmarks.results.store import Store
from benchmarks.results.unfinished import unfinished_run
from benchmarks.sweeps.cell import Cell, Completion
from benchmarks.sweeps.directory import SweepDirectory, started_at_of
from benchmarks.sweeps.launchers.base import SweepContext, WorkItem
from benchmarks.sweeps.launchers.slurm_job import cpus_of_job, lease_for_job, release_for_job
from benchmarks.sweeps.launchers.worker import run_cell
from benchmarks.system.processes import job_of_this_process
from benchmarks.system.signals import Interruption
from benchmarks.system.terminal import print_log_messages


def main(conf: Path, sweep: Path, number: int, threads: int | None = None) -> int:
    """Run a cell; returns 0 if it has left a row or needs none."""
    print_log_messages()
    folder = SweepDirectory(sweep)
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
    since = started_at_of(sweep) if config.resume == "never" else ""
    finished = index.finished(cell.fingerprints, since)
    if finished is not None:
        print(f"finished before, as {finished.run_id}")
        return 0
    context = SweepContext(store, index, folder, conf)
    item = WorkItem(cell, unfinished_run(store, index, cell.fingerprints, since))
    ended = run_cell(cell, store, interruption, context.start(item))
    with interruption.deferred():
        update_lease_of_job(cell, store, ended)
    return 0 if ended.run_id is not None or ended.held_elsewhere else 1


def update_lease_of_job(cell: Cell, store: Store, ended: Completion) -> None:
    """Keep the question for a job that will be requeued; give it back otherwise."""
    job = job_of_this_process()
    if job is None:
        return
    row = store.row(ended.run_id) if ended.run_id is not None else None
    if row is not None and row["status"] == Status.INTERRUPTED:
        lease_for_job(store.leases, cell.fingerprints, row["run_id"], job)
    else:
        release_for_job(store.leases, cell.fingerprints, job)


def with_threads(config: Config, threads: int | None) -> Config:
    """Give a run as many threads as its job has cores, unless the user said otherwise."""
    if config.train.threads is not None or threads is None:
        return config
    return dataclasses.replace(config, train=dataclasses.replace(config.train, threads=threads))


def end_with_input() -> None:
    """End this process cleanly once whoever holds its standard input has died."""
    os.read(0, 1)  # not by way of sys.stdin, whose lock would be held at exit
    os.kill(os.getpid(), signal.SIGTERM)


if __name__ == "__main__":
    threads = None
    if len(sys.argv) > 4:
        threads = int(sys.argv[4])
        threading.Thread(target=end_with_input, daemon=True).start()
    sys.exit(main(Path(sys.argv[1]), Path(sys.argv[2]), int(sys.argv[3]), threads))
