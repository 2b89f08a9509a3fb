"""The work of a SLURM job at each of its starts, and the leases of queued jobs."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from benchmarks.results.leases import Lease, Leases
from benchmarks.system.processes import JOB_VARIABLE, ProcessIdentity

POLL_SECONDS = 0.1


class SlurmJob:
    """Run a cell in a child process, which submitit's signal handling cannot disturb.

    Args:
        conf, sweep, number: arguments of `cluster_job`.
        log_name: of the cell's log file.
        grace_seconds: time that the run has to write a checkpoint.
    """

    def __init__(
        self, conf: str, sweep: str, number: int, log_name: str, grace_seconds: int
    ) -> None:
        self.arguments = (conf, sweep, number, log_name, grace_seconds)
        self.command = [conf, sweep, str(number)]
        self.log = Path(sweep) / "logs" / log_name
        self.grace_seconds = grace_seconds
        self.pid: int | None = None

    def __call__(self) -> None:
        """Run the cell."""
        with self.log.open("ab") as file:
            process = subprocess.Popen(
                [sys.executable, "-m", "benchmarks.sweeps.launchers.cluster_job", *self.command],
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
        """Interrupt the run, wait for its checkpoint and have submitit requeue the job.

        submitit calls this from a signal handler, in the middle of `__call__`.
        """
        from submitit.helpers import DelayedSubmission

        deadline = time.monotonic() + self.grace_seconds
        if self.pid is not None and not has_ended(self.pid):
            os.kill(self.pid, signal.SIGTERM)
            while not has_ended(self.pid) and time.monotonic() < deadline:
                time.sleep(POLL_SECONDS)
        return DelayedSubmission(SlurmJob(*self.arguments))


def has_ended(pid: int) -> bool:
    """Return True if a child has ended, without reaping it.

    `Popen.wait` holds a lock, on which a signal handler that interrupts it would wait forever.
    """
    try:
        return os.waitid(os.P_PID, pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is not None
    except ChildProcessError:  # it has been reaped
        return True


def job_of_environment() -> str:
    """Return the id of the job that this process belongs to, as the queue writes it."""
    array, index = os.environ.get("SLURM_ARRAY_JOB_ID"), os.environ.get("SLURM_ARRAY_TASK_ID")
    return f"{array}_{index}" if array and index else os.environ["SLURM_JOB_ID"]


def cpus_of_job() -> int | None:
    """Return the number of cores of this process's job."""
    cpus = os.environ.get("SLURM_CPUS_PER_TASK")
    return int(cpus) if cpus else None


def queued_process(job: str) -> ProcessIdentity:
    """Return the process of a lease that a queued job holds."""
    return ProcessIdentity(host="", boot="", pid=0, born="", job=job)


def lease_for_job(leases: Leases, fingerprints: list[str], run_id: str, job: str) -> None:
    """Acquire the leases of a cell for a queued job, which resumes a run unless `run_id` is ""."""
    process = queued_process(job)
    for fingerprint in fingerprints:
        dead = leases.read(fingerprint) or Lease(fingerprint, "", process)
        row = dead.row if run_id in ("", dead.run_id) else {}
        leases.acquire(Lease(fingerprint, run_id or dead.run_id, process, row))


def release_for_job(leases: Leases, fingerprints: list[str], job: str) -> None:
    """Release the leases of `lease_for_job` that no run has acquired since."""
    for fingerprint in fingerprints:
        leases.release(Lease(fingerprint, "", queued_process(job)))
