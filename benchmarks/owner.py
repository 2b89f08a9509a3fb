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


@dataclass(frozen=True)
class Owner:
    """A process and where it lives; JSON holds it.

    Attributes:
        host: name of the machine.
        boot: tells apart the machine's starts; empty where the system does not tell.
        pid: process id; 0 for a job that waits in a queue.
        born: tells apart processes that had the same id, in the system's own ticks.
        job: SLURM's id of the job, if it is one.
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
    """Name this start of this machine, where the system does."""
    with contextlib.suppress(OSError):
        return Path("/proc/sys/kernel/random/boot_id").read_text().strip()
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
    """SLURM's id of the job this process belongs to, as its queue writes it."""
    array, index = os.environ.get("SLURM_ARRAY_JOB_ID"), os.environ.get("SLURM_ARRAY_TASK_ID")
    return f"{array}_{index}" if array and index else os.environ.get("SLURM_JOB_ID")


def is_alive(owner: Owner, beat: Path) -> bool:
    """Whether an owner still works.

    A process of this machine is looked up. A job is looked up in the queue, where there is one. Of
    any other process only `beat`, a file that it touches, tells: its age is taken against a file
    touched now beside it, so that the file server's clock counts and no machine's own.
    """
    if owner.pid and owner.host == host() and owner.boot == boot():
        return birth(owner.pid) == owner.born
    if owner.job:
        queued = queued_jobs()
        if queued is not None:
            return owner.job in queued
    try:
        with tempfile.NamedTemporaryFile(dir=beat.parent, prefix=".now-") as probe:
            now = os.fstat(probe.fileno()).st_mtime
        return abs(now - beat.stat().st_mtime) < LEASE_SECONDS
    except OSError:
        return beat.exists()


_queue: tuple[float, set[str] | None] = (-1e9, None)
QUEUE_SECONDS = 2.0


def queued_jobs() -> set[str] | None:
    """Ids of this user's jobs that wait or run, at most two seconds old; None without SLURM."""
    global _queue
    asked, jobs = _queue
    if time.monotonic() - asked < QUEUE_SECONDS:
        return jobs
    command = ["squeue", "--me", "--noheader", "--array", "--format=%i"]
    try:
        answer = subprocess.run(command, capture_output=True, text=True, timeout=60, check=True)
        jobs = set(answer.stdout.split())
    except FileNotFoundError:
        jobs = None
    except subprocess.SubprocessError:
        # A controller that does not answer says nothing about the jobs: believe the last answer.
        pass
    _queue = (time.monotonic(), jobs)
    return jobs
