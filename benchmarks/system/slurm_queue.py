"""The user's jobs in SLURM's queue."""

from __future__ import annotations

import subprocess
import time
from dataclasses import dataclass

from benchmarks.errors import one_line

MAX_AGE_SECONDS = 2.0
COMMAND = ["squeue", "--me", "--noheader", "--array", "--format=%i"]


@dataclass
class Queue:
    """The latest answer of `squeue`: ids of the user's jobs, or None and the error."""

    queried: float = -1e9
    jobs: set[str] | None = None
    has_answered: bool = False
    error: str = ""


queue = Queue()


def queued_jobs(max_age: float = MAX_AGE_SECONDS) -> set[str] | None:
    """Return the ids of the user's pending and running jobs, at most `max_age` seconds old."""
    if time.monotonic() - queue.queried < max_age:
        return queue.jobs
    queue.jobs = None
    try:
        answer = subprocess.run(COMMAND, capture_output=True, text=True, timeout=30, check=True)
        queue.jobs, queue.has_answered, queue.error = set(answer.stdout.split()), True, ""
    except FileNotFoundError:
        queue.error = "squeue is not found"
    except subprocess.CalledProcessError as error:
        queue.error = one_line(error.stderr)
    except subprocess.TimeoutExpired:
        queue.error = "squeue does not answer"
    queue.queried = time.monotonic()
    return queue.jobs
