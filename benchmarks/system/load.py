"""Load of this machine: other processes, and concurrent runs of this user."""

from __future__ import annotations

import contextlib
import os
import re
import stat
import tempfile
import time
import uuid
from collections.abc import Iterator
from pathlib import Path

import psutil

from benchmarks.system.processes import start_time

BUSY_LOAD = 0.5  # load above the number of threads from which times are not reliable
BUSY_SHARE = 0.1  # share of all cores used by other processes, likewise
MARKER = re.compile(r"(\d+)-[0-9a-f]{32}")


def load_average() -> float | None:
    """Return the machine's load over the last minute, or None where it is unknown."""
    return os.getloadavg()[0] if hasattr(os, "getloadavg") else None


def is_busy(load: float | None, threads: int | None, device: str | None) -> bool:
    """Return True if the load makes the times of a CPU run unreliable; no device means the CPU."""
    is_on_cpu = device in ("cpu", "", None)
    return is_on_cpu and load is not None and threads is not None and load > threads + BUSY_LOAD


def marker_directory() -> Path | None:
    """Return the directory of this user's markers; None if it is unusable or another user's."""
    user = os.getuid() if hasattr(os, "getuid") else "user"
    directory = Path(tempfile.gettempdir()) / f"rnnbench-{user}"
    try:
        directory.mkdir(mode=0o700, exist_ok=True)
        state = directory.lstat()
    except OSError:
        return None
    is_ours = stat.S_ISDIR(state.st_mode) and state.st_uid in (user, 0 if user == "user" else user)
    return directory if is_ours else None


class ConcurrentRuns:
    """Counts the runs of this user on this machine, this run included."""

    def __init__(self) -> None:
        self.maximum = 1
        self._marker: Path | None = None

    def update(self) -> None:
        """Count the runs; runs that ended meanwhile left their counts in this run's marker."""
        directory = marker_directory()
        if directory is None or self._marker is None:
            return
        with contextlib.suppress(OSError, ValueError):
            self.maximum = max(self.maximum, sum(map(is_running, directory.iterdir())))
            self.maximum = max(self.maximum, *map(int, self._marker.read_text().split()[1:]), 1)

    @contextlib.contextmanager
    def registered(self) -> Iterator[None]:
        """Make this run visible to other runs for the block."""
        directory = marker_directory()
        if directory is None:
            yield
            return
        self._marker = directory / f"{os.getpid()}-{uuid.uuid4().hex}"
        try:
            self._marker.write_text(f"{start_time(os.getpid())}\n")
        except OSError:
            yield
            return
        try:
            self.update()
            self._write_to_others(directory)
            yield
        finally:
            self.update()
            self._marker.unlink(missing_ok=True)

    def _write_to_others(self, directory: Path) -> None:
        """Append the count to the other runs' markers; they may count only after this run ended."""
        with contextlib.suppress(OSError):
            for marker in directory.iterdir():
                if marker != self._marker and is_running(marker):
                    with marker.open("a") as file:
                        file.write(f"{self.maximum}\n")


def is_running(marker: Path) -> bool:
    """Return True if the run of a marker is alive; remove the marker of a dead run."""
    found = MARKER.fullmatch(marker.name)
    if found is None:
        return False
    with contextlib.suppress(OSError):
        if marker.read_text().split()[:1] == [str(start_time(int(found[1])))]:
            return True
        marker.unlink()
    return False


class ExternalLoad:
    """CPU time used by other processes since the object was created."""

    def __init__(self) -> None:
        self._before = self._cpu_seconds(), time.perf_counter()

    @property
    def seconds(self) -> float:
        """Wall-clock seconds since the object was created."""
        return time.perf_counter() - self._before[1]

    @staticmethod
    def _cpu_seconds() -> float:
        """Return the CPU seconds of all other processes since the machine started."""
        cpu, own = psutil.cpu_times(), os.times()
        idle = cpu.idle + getattr(cpu, "iowait", 0.0)
        guests = getattr(cpu, "guest", 0.0) + getattr(cpu, "guest_nice", 0.0)
        ours = own.user + own.system + own.children_user + own.children_system
        return sum(cpu) - idle - guests - ours

    def cores(self) -> float:
        """Return the mean number of cores in use; running children count as other processes."""
        return max(0.0, (self._cpu_seconds() - self._before[0]) / max(1e-9, self.seconds))

    @staticmethod
    def text(cores: float) -> str:
        """Return a number of cores in use as a statement."""
        return f"other processes used {cores:.2f} of {os.cpu_count()} cores"

    def is_busy(self) -> bool:
        """Return True if the load is high enough to distort times."""
        return self.cores() > BUSY_SHARE * (os.cpu_count() or 1)
