"""A cell on a cluster, as a program: python -m …cluster_job CONF SWEEP NUMBER [THREADS].

It skips a finished cell, resumes an interrupted run, or runs the cell from its beginning. With
THREADS, which Ray's workers pass, it ends when its standard input is closed.
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
from benchmarks.results.row import Status
from benchmarks.results.store import Store
from benchmarks.results.unfinished import unfinished_run
from benchmarks.sweeps.cell import Cell, Completion
from benchmarks.sweeps.directory import SweepDirectory
from benchmarks.sweeps.launchers.base import SweepContext, WorkItem
from benchmarks.sweeps.launchers.slurm_job import cpus_of_job, lease_for_job, release_for_job
from benchmarks.sweeps.launchers.worker import run_cell
from benchmarks.system.processes import job_of_this_process
from benchmarks.system.signals import Interruption
from benchmarks.system.terminal import print_log_messages, protect_output


def main(conf: Path, sweep: Path, number: int, threads: int | None = None) -> int:
    """Run a cell and return 0 if it wrote a row or needed none."""
    protect_output()
    print_log_messages()
    directory = SweepDirectory(sweep)
    cell = read_cell(conf, directory, number).with_threads(threads or cpus_of_job())
    interruption = Interruption()
    interruption.install()
    store = Store(sweep.parent.parent)
    index = store.index()
    since = directory.start_time() if cell.config.resume == "never" else ""
    finished = index.finished(cell.fingerprints, since)
    if finished is not None:
        print(f"already finished as {finished.run_id}")
        return 0
    context = SweepContext(store, index, directory, conf)
    item = WorkItem(cell, unfinished_run(store, index, cell.fingerprints, since))
    completion = run_cell(cell, store, interruption, context.options(item))
    with interruption.deferred():
        update_leases(cell, store, completion)
    return 0 if completion.run_id is not None or completion.held_elsewhere else 1


def read_cell(conf: Path, directory: SweepDirectory, number: int) -> Cell:
    """Return a cell of a sweep, with its results in the sweep's own results folder."""
    record = directory.record(number)
    register_schemas()
    with hydra_at(conf):
        config = CellComposer([]).compose(record.overrides)
    return Cell(
        number,
        record.overrides,
        record.label,
        dataclasses.replace(config, results_dir=str(directory.path.parent.parent)),
        record.fingerprints,
        record.study,
        record.trial,
    )


def update_leases(cell: Cell, store: Store, completion: Completion) -> None:
    """Keep the leases for a job that will be requeued, and release them otherwise."""
    job = job_of_this_process()
    if job is None:
        return
    row = store.row(completion.run_id) if completion.run_id is not None else None
    if row is not None and row["status"] == Status.INTERRUPTED:
        lease_for_job(store.leases, cell.fingerprints, row["run_id"], job)
    else:
        release_for_job(store.leases, cell.fingerprints, job)


def end_with_input() -> None:
    """Interrupt this process when its standard input is closed."""
    os.read(0, 1)  # not through sys.stdin, whose lock would be held at exit
    os.kill(os.getpid(), signal.SIGTERM)


if __name__ == "__main__":
    threads = None
    if len(sys.argv) > 4:
        threads = int(sys.argv[4])
        threading.Thread(target=end_with_input, daemon=True).start()
    sys.exit(main(Path(sys.argv[1]), Path(sys.argv[2]), int(sys.argv[3]), threads))
