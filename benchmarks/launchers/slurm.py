"""Cells as SLURM jobs, submitted in arrays through submitit.

The queue and the rows say how jobs fare, not submitit's watcher, which without accounting never
learns of a killed job, nor its pickled results, which nobody reads. The launching process may die:
what it has entered as claims of queued jobs keeps the next one from submitting them again.
"""

from __future__ import annotations

import os
import re
import subprocess
import time
from pathlib import Path

from benchmarks.cache import default_cache_directory
from benchmarks.claims import Claim
from benchmarks.compose import ROOT
from benchmarks.errors import UserError
from benchmarks.index import Entry
from benchmarks.launchers.base import Launcher, Order, Surroundings
from benchmarks.launchers.settings import SlurmSettings
from benchmarks.launchers.slurm_job import SlurmJob
from benchmarks.owner import Owner, queued_jobs
from benchmarks.sweeps.cell import Cell, Death, Ended

POLL_SECONDS = 2.0

SETTLING_SECONDS = 10.0
"""A job that is neither in the queue nor has left a row is given so long: files may be late."""

STATUS_OF_STATE = {
    "CANCELLED": "interrupted",
    "NODE_FAIL": "interrupted",
    "BOOT_FAIL": "interrupted",
    "PREEMPTED": "interrupted",
    "TIMEOUT": "timeout",
    "DEADLINE": "timeout",
    "OUT_OF_MEMORY": "out_of_memory",
}


class Submitted:
    """A cell's job.

    Attributes:
        before: the latest run of its question when it was submitted.
        gone_since: when it was first missed in the queue.
    """

    def __init__(self, cell: Cell, job_id: str, before: Entry | None) -> None:
        self.cell = cell
        self.job_id = job_id
        self.before = before
        self.gone_since: float | None = None


class SlurmLauncher(Launcher):
    """Submits cells and watches the queue and the results folder.

    Raises:
        UserError: there is no SLURM, or no submitit.
    """

    leaves_running = True

    def __init__(self, settings: SlurmSettings, around: Surroundings) -> None:
        try:
            import submitit
        except ImportError as error:
            raise UserError(
                "hydra/launcher=slurm needs submitit: pip install -e '.[slurm]'"
            ) from error
        if queued_jobs() is None:
            raise UserError("hydra/launcher=slurm: there is no SLURM here (squeue is not found)")
        self.settings = settings
        self.around = around
        self.submitted: list[Submitted] = []
        # submitit pickles what it submits, and nothing in a results folder is ever unpickled.
        self.executor = submitit.SlurmExecutor(
            default_cache_directory() / "slurm" / around.folder.sweep_id,
            max_num_timeout=settings.starts - 1,
        )
        self.executor.update_parameters(**parameters_of(settings))
        # For the jobs, which inherit the environment.
        os.environ["PYTHONPATH"] = os.pathsep.join(
            [str(ROOT), *filter(None, [os.environ.get("PYTHONPATH")])]
        )

    def room(self) -> int:
        """How many more jobs may be in the queue."""
        return max(0, self.settings.jobs - len(self.submitted))

    def start(self, orders: list[Order]) -> None:
        """Submit the cells as one array, and enter their jobs as claims."""
        with self.executor.batch():
            jobs = [
                self.executor.submit(
                    SlurmJob(
                        str(self.around.conf),
                        str(self.around.folder.directory.resolve()),
                        order.cell.number,
                        order.cell.log_name,
                        self.settings.grace_seconds,
                    )
                )
                for order in orders
            ]
        for order, job in zip(orders, jobs, strict=True):
            cell = order.cell
            before = self.around.index.latest(cell.fingerprints)
            self.submitted.append(Submitted(cell, job.job_id, before))
            queued = Owner(host="", boot="", pid=0, born="", job=job.job_id)
            self.around.store.claims.take(
                Claim(cell.fingerprints[0], order.continues or "", queued)
            )

    def poll(self) -> list[Ended]:
        """Look at the rows and the queue."""
        time.sleep(POLL_SECONDS)
        self.around.index.refresh()
        queued = queued_jobs()
        ended: list[Ended] = []
        for job in self.submitted:
            found = self._end_of(job, queued)
            if found is not None:
                ended.append(found)
        done = {each.cell.number for each in ended}
        self.submitted = [job for job in self.submitted if job.cell.number not in done]
        return ended

    def _end_of(self, job: Submitted, queued: set[str] | None) -> Ended | None:
        """How a job has ended, or None if it has not."""
        latest = self.around.index.latest(job.cell.fingerprints)
        is_new = latest is not None and latest != job.before
        if latest is not None and is_new and latest.status not in ("interrupted", "timeout"):
            return Ended(job.cell, latest.run_id)
        if queued is None or job.job_id in queued:
            job.gone_since = None
            return None
        job.gone_since = job.gone_since or time.monotonic()
        if time.monotonic() - job.gone_since < SETTLING_SECONDS:
            return None
        if latest is not None and is_new:
            if latest.starts < self.settings.starts:
                return Ended(job.cell, latest.run_id)
            text = f"not finished after {latest.starts} starts of {self.settings.minutes} minutes"
            return Ended(job.cell, latest.run_id, Death(text, "timeout"))
        return Ended(job.cell, death=death_of(job.job_id, self.executor.folder))

    def interrupt(self) -> None:
        """Leave the jobs alone."""

    def kill(self) -> None:
        """Leave the jobs alone."""


def parameters_of(settings: SlurmSettings) -> dict[str, object]:
    """Translate the settings into submitit's parameters.

    Raises:
        UserError: a value has a line break, which would end sbatch's line and begin a shell's.
    """
    wanted: dict[str, object] = {
        "job_name": "rnnbench",
        "partition": settings.partition,
        "account": settings.account,
        "qos": settings.qos,
        "gpus_per_node": settings.gpus or None,
        "cpus_per_task": settings.cpus,
        "mem": settings.memory_gib and f"{round(1024 * settings.memory_gib)}M",
        "time": settings.minutes,
        "signal_delay_s": settings.grace_seconds,
        "array_parallelism": settings.jobs,
        "additional_parameters": dict(settings.parameters) | {"requeue": True},
    }
    for name, value in [*wanted.items(), *settings.parameters.items()]:
        if isinstance(value, str) and re.search(r"[\x00-\x1f]", f"{name}{value}"):
            raise UserError(f"hydra.launcher.{name}={value!r}: must be one line")
    return {name: value for name, value in wanted.items() if value is not None}


def death_of(job_id: str, folder: Path) -> Death:
    """Ask SLURM how a job ended that left no row."""
    answer = subprocess.run(
        ["scontrol", "show", "job", "--oneliner", job_id],
        capture_output=True,
        text=True,
        timeout=60,
    )
    found = re.search(r"JobState=(\w+)", answer.stdout)
    state = found[1] if found else "unknown"
    hint = f"; see {folder}/{job_id}_*_log.err" if state in ("FAILED", "unknown") else ""
    return Death(
        f"SLURM: job {job_id} ended as {state}{hint}", STATUS_OF_STATE.get(state, "failed")
    )
