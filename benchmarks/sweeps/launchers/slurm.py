"""Cells as SLURM jobs, submitted in arrays through submitit.

The launcher watches the queue and the rows. submitit's watcher does not report killed jobs without
accounting, and its pickled results are not read. The launching process may end: the leases of
queued jobs prevent the next one from submitting them again.
"""

from __future__ import annotations

import contextlib
import logging
import os
import re
import subprocess
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.config.launchers import SlurmSettings
from benchmarks.errors import UserError, one_line
from benchmarks.results.index import Entry
from benchmarks.results.row import Status
from benchmarks.sweeps.cell import Completion, Termination
from benchmarks.sweeps.launchers.base import Launcher, SweepContext, WorkItem, child_environment
from benchmarks.sweeps.launchers.slurm_job import SlurmJob, lease_for_job, release_for_job
from benchmarks.system.disk_cache import cache_directory
from benchmarks.system.slurm_queue import queue, queued_jobs

POLL_SECONDS = 2.0
RETRY_SECONDS = 10.0  # between attempts to submit, while SLURM rejects jobs
SETTLING_SECONDS = 10.0  # for the row of a job that has left the queue to appear
EARLY_SECONDS = 45  # from a start to its warning, which SLURM may send half a minute early
MOST_LOGGED = 20_000  # characters of SLURM's own log of a job

STATUS_OF_STATE = {
    "CANCELLED": Status.INTERRUPTED,
    "NODE_FAIL": Status.INTERRUPTED,
    "BOOT_FAIL": Status.INTERRUPTED,
    "PREEMPTED": Status.INTERRUPTED,
    "TIMEOUT": Status.TIMEOUT,
    "DEADLINE": Status.TIMEOUT,
    "OUT_OF_MEMORY": Status.OUT_OF_MEMORY,
}

RESTARTED_STATES = ("TIMEOUT", "PREEMPTED", "NODE_FAIL", "BOOT_FAIL")
"""States of jobs that are submitted again, where the cluster did not requeue them itself."""

logger = logging.getLogger(__name__)


@dataclass
class SubmittedJob:
    """The job of a cell.

    Attributes:
        before: the cell's latest run at the first submission.
        tries: number of submissions.
        job_id: as in the queue; empty until SLURM accepts the job.
        gone_since: time at which it was first missing from the queue.
    """

    item: WorkItem
    before: Entry | None
    tries: int = 0
    job_id: str = ""
    gone_since: float | None = None


class SlurmLauncher(Launcher):
    """Submit cells and watch the queue and the results folder."""

    leaves_running = True

    def __init__(self, settings: SlurmSettings, context: SweepContext) -> None:
        import submitit

        parameters = parameters_of(settings)
        if queued_jobs() is None:
            raise UserError(f"hydra/launcher=slurm: SLURM is not available ({queue.error})")
        self.settings = settings
        self.context = context
        self.leases = context.store.leases
        self.unsent: list[SubmittedJob] = []
        self.submitted: list[SubmittedJob] = []
        self.largest_array = largest_array()
        self._has_sent = False
        self._try_at = 0.0
        # Not in the results folder: submitit pickles, and files there must be safe to read.
        self.executor: Any = submitit.SlurmExecutor(
            cache_directory() / "slurm" / context.directory.sweep_id,
            max_num_timeout=settings.starts - 1,
        )
        self.executor.update_parameters(**parameters)

    def free_slots(self) -> int:
        """Return how many more jobs may be in the queue."""
        return max(0, self.settings.jobs - len(self.submitted) - len(self.unsent))

    def submit(self, items: list[WorkItem]) -> None:
        """Submit the cells."""
        for item in items:
            before = self.context.index.latest(item.cell.fingerprints)
            self.unsent.append(SubmittedJob(item, before))
        self._send()

    def _send(self) -> None:
        """Submit unsent jobs in the largest arrays that SLURM accepts, and lease their cells."""
        while self.unsent and time.monotonic() >= self._try_at:
            array = self.unsent[: self.largest_array]
            try:
                ids = self._submit(array)
            except (RuntimeError, OSError) as error:  # submitit's own derive from RuntimeError
                text = one_line(error)
                if not self._has_sent and queued_jobs(max_age=0.0) is not None:
                    raise UserError(f"SLURM rejected the jobs: {text}") from error
                logger.warning("SLURM rejected the jobs (%s); trying again", text)
                self._try_at = time.monotonic() + RETRY_SECONDS
                return
            self._has_sent = True
            self.unsent = self.unsent[len(array) :]
            for job, job_id in zip(array, ids, strict=True):
                job.job_id, job.gone_since = job_id, None
                job.tries += 1
                self.submitted.append(job)
                lease_for_job(
                    self.leases, job.item.cell.fingerprints, job.item.resumes or "", job_id
                )

    def _submit(self, array: list[SubmittedJob]) -> list[str]:
        """Submit jobs as one array and return their ids."""
        conf, sweep = str(self.context.conf), str(self.context.directory.path.resolve())
        grace = self.settings.grace_seconds
        cells = [job.item.cell for job in array]
        with environment_of_jobs(), self.executor.batch():
            jobs = [
                self.executor.submit(SlurmJob(conf, sweep, cell.number, cell.log_name, grace))
                for cell in cells
            ]
        return [job.job_id for job in jobs]

    def poll(self) -> list[Completion]:
        """Check the rows and the queue."""
        time.sleep(POLL_SECONDS)
        self._send()
        self.context.index.refresh()
        queued = queued_jobs()
        completions: list[Completion] = []
        submitted, self.submitted = self.submitted, []
        for job in submitted:
            if not self._has_ended(job, queued):
                self.submitted.append(job)
                continue
            completion = self._completion_of(job)
            if completion is None:
                self.unsent.append(job)
                continue
            completions.append(completion)
            # Without a row, the lease describes the run that was lost.
            if completion.run_id is not None or completion.held_elsewhere:
                release_for_job(self.leases, job.item.cell.fingerprints, job.job_id)
        return completions

    def _latest(self, job: SubmittedJob) -> Entry | None:
        """Return the row that a job's run has written since its submission."""
        latest = self.context.index.latest(job.item.cell.fingerprints)
        return latest if latest != job.before else None

    def _has_ended(self, job: SubmittedJob, queued: set[str] | None) -> bool:
        """Return True if a job has written a final row, or has left a queue that answers."""
        if is_final(self._latest(job)):
            return True
        if queued is None or job.job_id in queued:
            job.gone_since = None
            return False
        job.gone_since = job.gone_since or time.monotonic()
        return time.monotonic() - job.gone_since >= SETTLING_SECONDS

    def _completion_of(self, job: SubmittedJob) -> Completion | None:
        """Return the completion of a job that has ended; None if it is to be submitted again."""
        cell, latest = job.item.cell, self._latest(job)
        if latest is not None and is_final(latest):
            return Completion(cell, latest.run_id)
        if self.context.is_leased(cell):
            return Completion(cell, held_elsewhere=True)
        state, code, restarts = state_of(job.job_id)
        starts = max(job.tries, restarts + 1, latest.starts if latest is not None else 0)
        # A job with a grace time ends by itself before it is preempted, and is not requeued.
        was_preempted = state == "COMPLETED" and latest is not None
        if (state in RESTARTED_STATES or was_preempted) and starts < self.settings.starts:
            return None
        text = f"SLURM: job {job.job_id} ended as {state}{code}"
        if latest is None:
            self._keep_log(job)
        run_id = latest.run_id if latest is not None else job.item.resumes
        if run_id is None or run_id not in self.context.index.entries:
            termination = Termination(text, STATUS_OF_STATE.get(state, Status.FAILED))
            return Completion(cell, termination=termination)
        status = Status.INTERRUPTED
        if starts >= self.settings.starts and state != "CANCELLED":
            text = f"not finished after {starts} starts of {self.settings.minutes} minutes; {text}"
            status = Status.TIMEOUT
        return Completion(cell, run_id, Termination(text, status, replaces_error=True))

    def _keep_log(self, job: SubmittedJob) -> None:
        """Append SLURM's log of a failed job to the log of its cell."""
        name = f"{job.job_id}_0_log.err"
        with contextlib.suppress(OSError):
            text = (Path(self.executor.folder) / name).read_text(errors="replace")
            with self.context.directory.log(job.item.cell).open("a", encoding="utf-8") as log:
                log.write(f"--- SLURM's log of job {job.job_id} ---\n{text[-MOST_LOGGED:]}")


def is_final(entry: Entry | None) -> bool:
    """Return True if a job's row ends its work; the job of a resumable run may continue."""
    return entry is not None and not entry.status.is_resumable


def parameters_of(settings: SlurmSettings) -> dict[str, object]:
    """Convert the settings to submitit's parameters."""
    wanted: dict[str, object] = {
        "job_name": "rnnbench",
        "partition": settings.partition,
        "account": settings.account,
        "qos": settings.qos,
        "gpus_per_node": settings.gpus or None,
        "cpus_per_task": settings.cpus,
        # Versions of srun that ignore the job's own number would give the run one core.
        "srun_args": [f"--cpus-per-task={settings.cpus}"],
        "mem": settings.memory_gib and f"{round(1024 * settings.memory_gib)}M",
        "time": settings.minutes,
        "signal_delay_s": settings.grace_seconds,
        "array_parallelism": settings.jobs,
        "additional_parameters": dict(settings.parameters) | {"requeue": True},
    }
    for name, value in [*wanted.items(), *settings.parameters.items()]:
        if isinstance(value, str) and re.search(r"[\x00-\x1f]", f"{name}{value}"):
            raise UserError(f"hydra.launcher.{name}={value!r}: must be one line")
    longest = 60 * settings.minutes - EARLY_SECONDS
    if settings.grace_seconds > longest:
        raise UserError(
            f"hydra.launcher.grace_seconds={settings.grace_seconds}: must be at most {longest} "
            f"with hydra.launcher.minutes={settings.minutes}"
        )
    return {name: value for name, value in wanted.items() if value is not None}


@contextlib.contextmanager
def environment_of_jobs() -> Iterator[None]:
    """Remove the variables of a job that this process may run in: submitted jobs inherit them."""
    from submitit.helpers import clean_env

    conf = os.environ.get("SLURM_CONF")
    with child_environment(), clean_env():
        if conf is not None:
            os.environ["SLURM_CONF"] = conf
        yield


def state_of(job_id: str) -> tuple[str, str, int]:
    """Return a job's final state, in brackets its exit code if reported, and its restarts.

    A start may end before the run has a row, which counts its starts too. The controller forgets
    jobs after minutes; accounting, if available, keeps them.
    """
    answer = answer_of("scontrol", "show", "job", "--oneliner", job_id)
    state = re.search(r"JobState=(\w+)", answer)
    code = re.search(r"ExitCode=(\d+):(\d+)", answer)
    restarts = re.search(r"Restarts=(\d+)", answer)
    if state is None:
        wanted = ["--noheader", "--parsable2", "--format=State,ExitCode"]
        answer = answer_of("sacct", "--allocations", *wanted, f"--jobs={job_id}")
        state, code = re.match(r"(\w+)", answer), re.search(r"\|(\d+):(\d+)", answer)
    if state is None:
        # SLURM has no record of a task that was cancelled before it began, only of its array.
        array = answer_of("scontrol", "show", "job", "--oneliner", job_id.partition("_")[0])
        return "CANCELLED" if "JobState=" in array else "unknown", "", 0
    has_failed = code is not None and code[1] != "0"
    text = f" (exit code {code[1]})" if code is not None and has_failed else ""
    return state[1], text, int(restarts[1]) if restarts else 0


def largest_array() -> int:
    """Return how many jobs SLURM accepts in one array, or its default if it is not reported."""
    found = re.search(r"MaxArraySize\s*=\s*(\d+)", answer_of("scontrol", "show", "config"))
    return max(1, int(found[1])) if found else 1001


def answer_of(*command: str) -> str:
    """Return the output of a SLURM command, or an empty text if it fails."""
    try:
        answer = subprocess.run(command, capture_output=True, text=True, timeout=60, check=True)
    except (OSError, subprocess.SubprocessError):
        return ""
    return answer.stdout
