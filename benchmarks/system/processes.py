"""Whether the process that works on something still lives, on this machine or another."""

from __future__ import annotations

import contextlib
import os
import socket
import subprocess
import tempfile
import time
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import psutil

BEAT_SECONDS = 15.0
LEASE_SECONDS = 90.0
"""A process of another machine that has not beaten for this long is dead."""

QUEUE_SECONDS = 2.0
"""How often the queue is asked at most."""
YOUNG_SECONDS = 60.0

JOB_VARIABLE = "RNNBENCH_JOB"
"""Environment variable in which a sweep's job names itself to the run within."""


@dataclass(frozen=True)
class Owner:
    """A process and where it lives; JSON holds it.

    Attributes:
        host: name of the machine.
        boot: tells apart the machine's starts; empty where the system does not tell.
        pid: process id; 0 for a job that waits in a queue.
        born: tells apart processes that had the same id, in the system's own ticks.
        job: SLURM's id of the job that is there for this work alone, if there is one.
    """

    host: str
    boot: str
    pid: int
    born: str
    job: str | None = None


def this_process() -> Owner:
    """Describe the calling process."""
    return Owner(host(), boot(), os.getpid(), birth(os.getpid()) or "", job_of_this_process())


@cache
def host() -> str:
    """Name this machine."""
    return socket.gethostname()


@cache
def boot() -> str:
    """Name this start of this machine, and the container whose process ids these are."""
    with contextlib.suppress(OSError):
        start = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
        return f"{start} {Path('/proc/self/ns/pid').readlink()}"
    return ""


def birth(pid: int) -> str | None:
    """When a process began, as text to compare; None if there is none.

    Linux's ticks since boot do not move when somebody sets the clock; psutil's time of day would.
    """
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        return None if fields[0] == "Z" else fields[19]
    except OSError:
        if Path("/proc/self/stat").exists():
            return None
    try:
        return str(psutil.Process(pid).create_time())
    except psutil.Error:
        return None


def job_of_this_process() -> str | None:
    """SLURM's id of the job that runs this process alone, as its queue writes it.

    SLURM's own variables would not tell: many processes may share an allocation.
    """
    return os.environ.get(JOB_VARIABLE)


def is_alive(owner: Owner, beat: Path) -> bool:
    """Whether an owner still works, or will.

    A process of this machine is looked up. A job is looked up in the queue, where there is one:
    when its process has died with a node, the job comes back. Of any other process only `beat`, a
    file that it touches, tells: its age is taken against a file touched now beside it, so that the
    file server's clock counts and no machine's own.
    """
    if owner.pid and owner.host == host() and owner.boot == boot():
        if birth(owner.pid) == owner.born:
            return True
        if owner.job is None:
            return False
    if owner.job:
        queued = queued_jobs()
        if queued is not None and owner.job not in queued and is_young(beat):
            queued = queued_jobs(at_most=0.0)  # it may have been submitted since
        if queued is not None:
            return owner.job in queued
        if _queue.has_answered:
            return True  # A controller that is away says nothing about its jobs.
    try:
        with tempfile.NamedTemporaryFile(dir=beat.parent, prefix=".now-") as probe:
            now = os.fstat(probe.fileno()).st_mtime
        return abs(now - beat.stat().st_mtime) < LEASE_SECONDS
    except OSError:
        return beat.exists()


def is_young(file: Path) -> bool:
    """Whether a file was written in the last minute or so."""
    try:
        return abs(time.time() - file.stat().st_mtime) < YOUNG_SECONDS
    except OSError:
        return False


@dataclass
class Queue:
    """What SLURM's queue said when it was asked last.

    Attributes:
        jobs: ids of this user's jobs that wait or run; None if it did not answer.
        has_answered: at any time.
        trouble: what it said instead of an answer.
    """

    asked: float = -1e9
    jobs: set[str] | None = None
    has_answered: bool = False
    trouble: str = ""


_queue = Queue()


def queued_jobs(at_most: float = QUEUE_SECONDS) -> set[str] | None:
    """Ids of this user's jobs that wait or run, so many seconds old; None without an answer."""
    if time.monotonic() - _queue.asked < at_most:
        return _queue.jobs
    command = ["squeue", "--me", "--noheader", "--array", "--format=%i"]
    try:
        answer = subprocess.run(command, capture_output=True, text=True, timeout=30, check=True)
        _queue.jobs, _queue.has_answered, _queue.trouble = set(answer.stdout.split()), True, ""
    except FileNotFoundError:
        _queue.jobs, _queue.trouble = None, "squeue is not found"
    except subprocess.CalledProcessError as error:
        _queue.jobs, _queue.trouble = None, " ".join(error.stderr.split())
    except subprocess.TimeoutExpired:
        _queue.jobs, _queue.trouble = None, "squeue does not answer"
    _queue.asked = time.monotonic()
    return _queue.jobs


def queue_trouble() -> str:
    """Why the queue did not answer."""
    return _queue.trouble
