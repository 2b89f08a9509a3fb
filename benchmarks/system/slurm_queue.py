"""The user's jobs in SLURM's queue."""

from __future__ import annotations

import subprocess
import time
from dataclasses import dataclass

MAX_AGE_SECONDS = 2.0
COMMAND = ["squeue", "--me", "--noheader", "--array", "--format=%i"]


@dataclass
class Queue:
    """The latest answer of `squeue`: ids of the user's jobs, or None and the error."""

    queried: float = -1e9
    jobs: set[str] | None = None
    has_answered: bool = False
    error: str = ""


_queue = Queue()


def queued_jobs(max_age: float = MAX_AGE_SECONDS) -> set[str] | None:
    """Return the ids of the user's pending and running jobs, at most `max_age` seconds old."""
    if time.monotonic() - _queue.queried < max_age:
        return _queue.jobs
    _queue.jobs = None
    try:
        answer = subprocess.run(COMMAND, capture_output=True, text=True, timeout=30, check=True)
        _queue.jobs, _queue.has_answered, _queue.error = set(answer.stdout.split()), True, ""
    except FileNotFoundError:
        _queue.error = "squeue is not found"
    except subprocess.CalledProcessError as error:
        _queue.error = " ".join(error.stderr.split())
    except subprocess.TimeoutExpired:
        _queue.error = "squeue does not answer"
    _queue.queried = time.monotonic()
    return _queue.jobs


def has_answered() -> bool:
    """Return True if the queue has answered this process before."""
    return _queue.has_answered


def queue_error() -> str:
    """Return the reason why the queue did not answer."""
    return _queue.error
