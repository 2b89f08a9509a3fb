"""Identity of processes, and checks that a process is alive."""

from __future__ import annotations

import contextlib
import os
import socket
import tempfile
import time
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import psutil

from benchmarks.system import slurm_queue
from benchmarks.system.slurm_queue import queued_jobs

BEAT_SECONDS = 15.0
LEASE_SECONDS = 90.0  # a process on another machine with an older heartbeat is dead
YOUNG_SECONDS = 60.0
JOB_VARIABLE = "RNNBENCH_JOB"  # environment variable with the id of a sweep's cluster job


@dataclass(frozen=True)
class ProcessIdentity:
    """Identity of a process across machines, or of a queued job (pid 0); stored as JSON.

    `boot` identifies the machine's start and PID namespace, and `born` is the process's start time.
    `job` is SLURM's id of the job that exists for this run only, if there is one.
    """

    host: str
    boot: str
    pid: int
    born: str
    job: str | None = None


def this_process() -> ProcessIdentity:
    """Return the identity of the calling process."""
    pid = os.getpid()
    return ProcessIdentity(host(), boot(), pid, start_time(pid) or "", job_of_this_process())


@cache
def host() -> str:
    """Return the name of this machine."""
    return socket.gethostname()


@cache
def boot() -> str:
    """Return the id of this start of the machine and of the PID namespace."""
    with contextlib.suppress(OSError):
        start = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
        return f"{start} {Path('/proc/self/ns/pid').readlink()}"
    return ""


def start_time(pid: int) -> str | None:
    """Return the start time of a process as text to compare, or None if there is no process.

    Linux counts ticks since boot, which do not change when the clock is set.
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
    """Return the id of the job for this process only; SLURM's own may be shared by several."""
    return os.environ.get(JOB_VARIABLE)


def is_alive(process: ProcessIdentity, heartbeat: Path) -> bool:
    """Return True if a process runs, or its job will run.

    A process on this machine is looked up by pid. A job is looked up in SLURM's queue, because
    SLURM requeues it when its node fails. Otherwise the age of the lease file decides; it is
    measured against a file written now, so both times come from the file server.
    """
    if process.pid and process.host == host() and process.boot == boot():
        if start_time(process.pid) == process.born:
            return True
        if process.job is None:
            return False
    if process.job:
        queued = queued_jobs()
        if queued is not None and process.job not in queued and is_young(heartbeat):
            queued = queued_jobs(max_age=0.0)  # the job may be newer than the last answer
        if queued is not None:
            return process.job in queued
        if slurm_queue.queue.has_answered:
            return True  # the controller is down; its jobs may still run
    try:
        with tempfile.NamedTemporaryFile(dir=heartbeat.parent, prefix=".now-") as probe:
            now = os.fstat(probe.fileno()).st_mtime
        return abs(now - heartbeat.stat().st_mtime) < LEASE_SECONDS
    except OSError:
        return heartbeat.exists()


def is_young(file: Path) -> bool:
    """Return True if a file was written less than a minute ago."""
    try:
        return abs(time.time() - file.stat().st_mtime) < YOUNG_SECONDS
    except OSError:
        return False
