"""What a SLURM job does, once or after each requeueing, and what says that it will."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from benchmarks.results.leases import Lease, Leases
from benchmarks.system.processes import JOB_VARIABLE, Owner

POLL_SECONDS = 0.1


class SlurmJob:
    """Runs a cell in a process of its own, which submitit's signal handling cannot disturb.

    Args:
        conf: the configuration folder.
        sweep: the sweep's folder.
        number: of the cell.
        log_name: of the file for its output.
        grace_seconds: how long the run may take to save itself.
    """

    def __init__(
        self, conf: str, sweep: str, number: int, log_name: str, grace_seconds: int
    ) -> None:
        self.conf = conf
        self.sweep = sweep
        self.number = number
        self.log_name = log_name
        self.grace_seconds = grace_seconds
        self.pid: int | None = None

    def __call__(self) -> None:
        """Run the cell.

        Raises:
            SystemExit: it has left no row; the job is to count as failed.
        """
        log = Path(self.sweep) / "logs" / self.log_name
        command = [sys.executable, "-m", "benchmarks.sweeps.launchers.cluster_job"]
        with log.open("ab") as file:
            process = subprocess.Popen(
                [*command, self.conf, self.sweep, str(self.number)],
                stdin=subprocess.DEVNULL,
                stdout=file,
                stderr=subprocess.STDOUT,
                env=os.environ | {JOB_VARIABLE: job_of_environment()},
            )
        self.pid = process.pid
        while not has_ended(self.pid):
            time.sleep(POLL_SECONDS)
        code = process.wait()
        if code != 0:
            sys.exit(code if code > 0 else 128 - code)

    def checkpoint(self) -> Any:
        """Let the run save itself, then ask submitit to requeue the job.

        submitit calls this from a signal handler, in the middle of `__call__`.
        """
        from submitit.helpers import DelayedSubmission

        deadline = time.monotonic() + self.grace_seconds
        if self.pid is not None and not has_ended(self.pid):
            os.kill(self.pid, signal.SIGTERM)
            while not has_ended(self.pid) and time.monotonic() < deadline:
                time.sleep(POLL_SECONDS)
        again = SlurmJob(self.conf, self.sweep, self.number, self.log_name, self.grace_seconds)
        return DelayedSubmission(again)


def has_ended(pid: int) -> bool:
    """Whether a child has ended; it can still be waited for.

    Unlike `Popen.wait` this holds no lock, which a signal's handler would find taken for ever.
    """
    try:
        return os.waitid(os.P_PID, pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is not None
    except ChildProcessError:  # it has been waited for
        return True


def job_of_environment() -> str:
    """SLURM's id of the job this process belongs to, as its queue writes it."""
    array, index = os.environ.get("SLURM_ARRAY_JOB_ID"), os.environ.get("SLURM_ARRAY_TASK_ID")
    return f"{array}_{index}" if array and index else os.environ["SLURM_JOB_ID"]


def cpus_of_job() -> int | None:
    """Cores that SLURM has given this job."""
    given = os.environ.get("SLURM_CPUS_PER_TASK")
    return int(given) if given else None


def queued_as(job: str) -> Owner:
    """A job that waits in the queue, as the owner of a lease."""
    return Owner(host="", boot="", pid=0, born="", job=job)


def lease_for_job(leases: Leases, fingerprints: list[str], run_id: str, job: str) -> None:
    """Enter a queued job as what will answer a question, whatever device it meets.

    Args:
        leases: of the results folder.
        fingerprints: of the question.
        run_id: of the unfinished run that the job will go on with, or empty.
        job: its id.
    """
    for fingerprint in fingerprints:
        dead = leases.read(fingerprint) or Lease(fingerprint, "", queued_as(job))
        row = dead.row if run_id in ("", dead.run_id) else {}
        leases.acquire(Lease(fingerprint, run_id or dead.run_id, queued_as(job), row))


def release_for_job(leases: Leases, fingerprints: list[str], job: str) -> None:
    """Take back what `enter` has entered and no run has taken over."""
    for fingerprint in fingerprints:
        leases.release(Lease(fingerprint, "", queued_as(job)))
