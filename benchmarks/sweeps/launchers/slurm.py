"""Cells as SLURM jobs, submitted in arrays through submitit.

The queue and the rows say how jobs fare, not submitit's watcher, which without accounting never
learns of a killed job, nor its pickled results, which nobody reads. The launching process may die:
what it has entered as leases of queued jobs keeps the next one from submitting them again.
"""

from __future__ import annotations

import contextlib
import os
import re
import subprocess
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks import PROJECT_ROOT
from benchmarks.config.launchers import SlurmSettings
from benchmarks.errors import UserError
from benchmarks.results.index import Entry
from benchmarks.results.row import Status
from benchmarks.sweeps.cell import Completion, Termination
from benchmarks.sweeps.launchers.base import Launcher, SweepContext, WorkItem
from benchmarks.sweeps.launchers.slurm_job import SlurmJob, lease_for_job, release_for_job
from benchmarks.system.disk_cache import default_cache_directory
from benchmarks.system.processes import queue_trouble, queued_jobs

POLL_SECONDS = 2.0

RETRY_SECONDS = 10.0
"""Between attempts to submit, while SLURM does not take jobs."""

SETTLING_SECONDS = 10.0
"""A job that is neither in the queue nor has left a row is given so long: files may be late."""

EARLY_SECONDS = 45
"""A start needs so long before its warning, which SLURM may send half a minute early."""

LONGEST_LOG = 20_000
"""Characters of SLURM's own log of a job that died."""

STATUS_OF_STATE = {
    "CANCELLED": Status.INTERRUPTED,
    "NODE_FAIL": Status.INTERRUPTED,
    "BOOT_FAIL": Status.INTERRUPTED,
    "PREEMPTED": Status.INTERRUPTED,
    "TIMEOUT": Status.TIMEOUT,
    "DEADLINE": Status.TIMEOUT,
    "OUT_OF_MEMORY": Status.OUT_OF_MEMORY,
}

CUT_SHORT = ("TIMEOUT", "PREEMPTED", "NODE_FAIL", "BOOT_FAIL")
"""Ends that say nothing against another start, where the cluster did not requeue by itself."""


@dataclass
class SubmittedJob:
    """A cell's job.

    Attributes:
        before: the latest run of its question when it was first submitted.
        tries: how often it was submitted.
        job_id: as the queue writes it; empty until SLURM has taken the job.
        gone_since: when it was first missed in the queue.
    """

    item: WorkItem
    before: Entry | None
    tries: int = 0
    job_id: str = ""
    gone_since: float | None = None


class SlurmLauncher(Launcher):
    """Submits cells and watches the queue and the results folder.

    Raises:
        UserError: there is no SLURM, or no submitit, or a setting is wrong.
    """

    leaves_running = True

    def __init__(self, settings: SlurmSettings, context: SweepContext) -> None:
        import submitit

        parameters = parameters_of(settings)
        if queued_jobs() is None:
            raise UserError(f"hydra/launcher=slurm: there is no SLURM here ({queue_trouble()})")
        self.settings = settings
        self.context = context
        self.unsent: list[SubmittedJob] = []
        self.submitted: list[SubmittedJob] = []
        self.largest_array = largest_array()
        self._has_sent = False
        self._try_at = 0.0
        # submitit pickles what it submits, and nothing in a results folder is ever unpickled.
        self.executor: Any = submitit.SlurmExecutor(
            default_cache_directory() / "slurm" / context.directory.sweep_id,
            max_num_timeout=settings.starts - 1,
        )
        self.executor.update_parameters(**parameters)

    def free_slots(self) -> int:
        """How many more jobs may be in the queue."""
        return max(0, self.settings.jobs - len(self.submitted) - len(self.unsent))

    def submit(self, items: list[WorkItem]) -> None:
        """Submit the cells."""
        for item in items:
            before = self.context.index.latest(item.cell.fingerprints)
            self.unsent.append(SubmittedJob(item, before))
        self._send()

    def _send(self) -> None:
        """Submit what waits, in arrays as large as SLURM takes, and enter the jobs as leases.

        Raises:
            UserError: SLURM is there and refuses the very first jobs.
        """
        while self.unsent and time.monotonic() >= self._try_at:
            array = self.unsent[: self.largest_array]
            try:
                ids = self._submit(array)
            except (RuntimeError, OSError) as error:  # submitit's own are of the first kind
                told = " ".join(str(error).split())
                if not self._has_sent and queued_jobs(at_most=0.0) is not None:
                    raise UserError(f"SLURM does not take the jobs: {told}") from error
                print(f"warning: SLURM does not take jobs now ({told}); trying again", flush=True)
                self._try_at = time.monotonic() + RETRY_SECONDS
                return
            self._has_sent = True
            self.unsent = self.unsent[len(array) :]
            for job, job_id in zip(array, ids, strict=True):
                job.job_id, job.gone_since = job_id, None
                job.tries += 1
                self.submitted.append(job)
                cell = job.item.cell
                lease_for_job(
                    self.context.store.leases, cell.fingerprints, job.item.continues or "", job_id
                )

    def _submit(self, array: list[SubmittedJob]) -> list[str]:
        """Submit jobs as one array and return their ids."""
        sweep = str(self.context.directory.path.resolve())
        with environment_of_jobs(), self.executor.batch():
            jobs = [
                self.executor.submit(
                    SlurmJob(
                        str(self.context.conf),
                        sweep,
                        job.item.cell.number,
                        job.item.cell.log_name,
                        self.settings.grace_seconds,
                    )
                )
                for job in array
            ]
        return [job.job_id for job in jobs]

    def poll(self) -> list[Completion]:
        """Look at the rows and the queue."""
        time.sleep(POLL_SECONDS)
        self._send()
        self.context.index.refresh()
        queued = queued_jobs()
        ended: list[Completion] = []
        left: list[SubmittedJob] = []
        for job in self.submitted:
            if not self._has_ended(job, queued):
                left.append(job)
                continue
            found = self._end_of(job)
            if found is None:
                self.unsent.append(job)
                continue
            ended.append(found)
            if found.run_id is not None or found.held_elsewhere:  # else the lease says what died
                release_for_job(self.context.store.leases, job.item.cell.fingerprints, job.job_id)
        self.submitted = left
        return ended

    def _latest(self, job: SubmittedJob) -> Entry | None:
        """The row that a job's run has left since it was submitted."""
        latest = self.context.index.latest(job.item.cell.fingerprints)
        return latest if latest != job.before else None

    def _has_ended(self, job: SubmittedJob, queued: set[str] | None) -> bool:
        """Whether a job's run has a row that is final, or the job is gone.

        A queue that does not answer says nothing of the job.
        """
        latest = self._latest(job)
        if latest is not None and not latest.status.is_resumable:
            return True
        if queued is None or job.job_id in queued:
            job.gone_since = None
            return False
        job.gone_since = job.gone_since or time.monotonic()
        return time.monotonic() - job.gone_since >= SETTLING_SECONDS

    def _end_of(self, job: SubmittedJob) -> Completion | None:
        """How a job has ended; None if it is to be submitted again."""
        cell, latest = job.item.cell, self._latest(job)
        if latest is not None and not latest.status.is_resumable:
            return Completion(cell, latest.run_id)
        leases = self.context.store.leases
        holders = [leases.read(fingerprint) for fingerprint in cell.fingerprints]
        if any(holder is not None and leases.is_live(holder) for holder in holders):
            return Completion(cell, held_elsewhere=True)
        state, code = state_of(job.job_id)
        starts = max(job.tries, latest.starts if latest is not None else 0)
        # A job that is given time before it is preempted ends by itself, and is not put back.
        was_told_to_end = state == "COMPLETED" and latest is not None
        if (state in CUT_SHORT or was_told_to_end) and starts < self.settings.starts:
            return None
        text = f"SLURM: job {job.job_id} ended as {state}{code}"
        if latest is None:
            self._keep_log(job)
        run_id = latest.run_id if latest is not None else job.item.continues
        if run_id is None or run_id not in self.context.index.entries:
            return Completion(
                cell, termination=Termination(text, STATUS_OF_STATE.get(state, Status.FAILED))
            )
        if starts >= self.settings.starts and state != "CANCELLED":
            text = f"not finished after {starts} starts of {self.settings.minutes} minutes; {text}"
            return Completion(cell, run_id, Termination(text, Status.TIMEOUT, from_scheduler=True))
        return Completion(cell, run_id, Termination(text, Status.INTERRUPTED, from_scheduler=True))

    def _keep_log(self, job: SubmittedJob) -> None:
        """Add what SLURM logged of a job that died to the log of its cell."""
        name = f"{job.job_id}_0_log.err"
        with contextlib.suppress(OSError):
            text = (Path(self.executor.folder) / name).read_text(errors="replace")
            with self.context.directory.log(job.item.cell).open("a", encoding="utf-8") as log:
                log.write(f"--- SLURM's log of job {job.job_id} ---\n{text[-LONGEST_LOG:]}")

    def interrupt(self) -> None:
        """Leave the jobs alone."""

    def kill(self) -> None:
        """Leave the jobs alone."""


def parameters_of(settings: SlurmSettings) -> dict[str, object]:
    """Translate the settings into submitit's parameters.

    Raises:
        UserError: a value has a line break, which would end sbatch's line and begin a shell's, or
            the warning would come before the run has begun.
    """
    wanted: dict[str, object] = {
        "job_name": "rnnbench",
        "partition": settings.partition,
        "account": settings.account,
        "qos": settings.qos,
        "gpus_per_node": settings.gpus or None,
        "cpus_per_task": settings.cpus,
        # Else srun, in the versions that do not look at the job's own, gives the run one core.
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
    """Let jobs inherit this environment, without what SLURM says of a job we may be in."""
    from submitit.helpers import clean_env

    kept = dict(os.environ)
    paths = [str(PROJECT_ROOT), *filter(None, [kept.get("PYTHONPATH")])]
    try:
        with clean_env():
            os.environ["PYTHONPATH"] = os.pathsep.join(paths)
            if "SLURM_CONF" in kept:
                os.environ["SLURM_CONF"] = kept["SLURM_CONF"]
            yield
    finally:
        os.environ.clear()
        os.environ.update(kept)


def state_of(job_id: str) -> tuple[str, str]:
    """Ask SLURM how a job ended: its state and, if it says so, the exit code in brackets.

    The controller forgets a job after minutes; accounting, where there is any, never.
    """
    told = answer_of("scontrol", "show", "job", "--oneliner", job_id)
    state = re.search(r"JobState=(\w+)", told)
    code = re.search(r"ExitCode=(\d+):(\d+)", told)
    if state is None:
        wanted = ["--noheader", "--parsable2", "--format=State,ExitCode"]
        told = answer_of("sacct", "--allocations", *wanted, f"--jobs={job_id}")
        state, code = re.match(r"(\w+)", told), re.search(r"\|(\d+):(\d+)", told)
    if state is None:
        # A task cancelled before it began is no job of its own: its array alone is remembered.
        array = answer_of("scontrol", "show", "job", "--oneliner", job_id.partition("_")[0])
        return "CANCELLED" if "JobState=" in array else "unknown", ""
    if code is None or code[1] == "0":
        return state[1], ""
    return state[1], f" (exit code {code[1]})"


def largest_array() -> int:
    """How many jobs SLURM takes in one array; its default if it does not say."""
    found = re.search(r"MaxArraySize\s*=\s*(\d+)", answer_of("scontrol", "show", "config"))
    return max(1, int(found[1])) if found else 1001


def answer_of(*command: str) -> str:
    """What a command of SLURM's prints; nothing if it fails."""
    try:
        answer = subprocess.run(command, capture_output=True, text=True, timeout=60, check=True)
    except (OSError, subprocess.SubprocessError):
        return ""
    return answer.stdout
