"""Processes of other machines and the age of a lease's heartbeat."""

from __future__ import annotations

import dataclasses
import os
import time
from pathlib import Path

from benchmarks.system.processes import ProcessIdentity

ELSEWHERE = ProcessIdentity(host="another machine", boot="b", pid=1, born="1")
IN_JOB = dataclasses.replace(ELSEWHERE, job="7_1")


def set_age(heartbeat: Path, seconds: float) -> None:
    """Set the age of a heartbeat; a negative one lies in the future."""
    then = time.time() - seconds
    os.utime(heartbeat, (then, then))
