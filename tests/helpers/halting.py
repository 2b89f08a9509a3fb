"""Commands of which one process stops itself at an exact step.

A test that looks for a process in some state by polling fails on a slow machine, as the process may
have ended before the next look. A process that stops itself stays as it is until the test acts.
"""

from __future__ import annotations

import contextlib
import dataclasses
import json
import os
import signal
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psutil

HOOK = Path(__file__).with_name("halting_hook")
WAIT_SECONDS = 900.0
"""Limit for waits that only end late if something hangs."""


def wait_until(is_so: Callable[[], Any], what: str, timeout: float = WAIT_SECONDS) -> Any:
    """Wait for something to become true and return it."""
    deadline = time.monotonic() + timeout
    while not (found := is_so()):
        assert time.monotonic() < deadline, f"{what}: not within {timeout} s"
        time.sleep(0.02)
    return found


@dataclasses.dataclass(frozen=True)
class Halt:
    """The step at which the first process of a command that reaches it stops itself.

    The step is the end of an atomic write.

    Attributes:
        marker: a file that does not exist; it receives the id of the process.
        file: pattern of the name of the written file.
        number: how many such files the process has written, at least.
        rows: how many rows the results folder holds, at least; for files in run folders.
        cpu_seconds: how long the process computes after the step before it stops.
        is_thread: whether only the thread that wrote stops, so that heartbeats continue.
    """

    marker: Path
    file: str = "checkpoint.safetensors"
    number: int = 1
    rows: int = 0
    cpu_seconds: float = 0.0
    is_thread: bool = False

    def environment(self) -> dict[str, str]:
        """Return the variables that the command needs."""
        path = os.environ.get("PYTHONPATH")
        return {
            "PYTHONPATH": os.pathsep.join([str(HOOK), *([path] if path else [])]),
            "RNNBENCH_TEST_HALT": json.dumps(dataclasses.asdict(self), default=str),
        }

    def stopped(self) -> int | None:
        """Return the id of the process that has stopped, or None."""
        with contextlib.suppress(OSError, ValueError, psutil.Error):
            pid = int(self.marker.read_text())
            if self.is_thread or psutil.Process(pid).status() == psutil.STATUS_STOPPED:
                return pid
        return None

    def release(self) -> None:
        """Let a stopped thread continue."""
        self.marker.with_suffix(".released").touch()

    def wait(self, command: Any = None) -> int:
        """Wait until a process has stopped and return its id.

        Args:
            command: a `Popen`; its end before the step fails at once.
        """

        def stopped_or_ended() -> bool:
            has_ended = command is not None and command.poll() is not None
            return has_ended or self.stopped() is not None

        wait_until(stopped_or_ended, "a process that stops itself")
        pid = self.stopped()
        assert pid is not None, "the command ended before it reached the step"
        return pid


def go_on(pid: int) -> None:
    """Let a stopped process continue."""
    os.kill(pid, signal.SIGCONT)
