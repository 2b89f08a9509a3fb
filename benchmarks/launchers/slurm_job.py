"""What a SLURM job does, once or after each requeueing."""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
from pathlib import Path
from typing import Any


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
        self.process: subprocess.Popen[bytes] | None = None

    def __call__(self) -> int:
        """Run the cell; returns its exit code."""
        log = Path(self.sweep) / "logs" / self.log_name
        command = [sys.executable, "-m", "benchmarks.launchers.job"]
        with log.open("ab") as file:
            self.process = subprocess.Popen(
                [*command, self.conf, self.sweep, str(self.number)],
                stdin=subprocess.DEVNULL,
                stdout=file,
                stderr=subprocess.STDOUT,
            )
            return self.process.wait()

    def checkpoint(self) -> Any:
        """Let the run save itself, then ask submitit to requeue the job."""
        from submitit.helpers import DelayedSubmission

        if self.process is not None:
            self.process.terminate()
            with contextlib.suppress(subprocess.TimeoutExpired):
                self.process.wait(self.grace_seconds)
        again = SlurmJob(self.conf, self.sweep, self.number, self.log_name, self.grace_seconds)
        return DelayedSubmission(again)


def cpus_of_job() -> int | None:
    """Cores that SLURM has given this job."""
    given = os.environ.get("SLURM_CPUS_PER_TASK")
    return int(given) if given else None
