"""Who shares this machine: other work by its load, other runs whichever folder they write to."""

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

from benchmarks.system.processes import birth

BUSY = 0.5
"""Load above a run's own threads from which on other work slowed it."""

MARK = re.compile(r"(\d+)-[0-9a-f]{32}")


def load_average() -> float | None:
    """The machine's load over the last minute; None where the system does not tell."""
    return os.getloadavg()[0] if hasattr(os, "getloadavg") else None


def is_busy(load: float | None, threads: int | None) -> bool:
    """Whether a load is that of more work than so many threads; what is not known is no sign."""
    return load is not None and threads is not None and load > threads + BUSY


def folder() -> Path | None:
    """Where this user's runs on this machine announce themselves; None if that is not to be had.

    The folder lies where everybody may write, so one that is not this user's own is not used.
    """
    user = os.getuid() if hasattr(os, "getuid") else "user"
    found = Path(tempfile.gettempdir()) / f"rnnbench-{user}"
    try:
        found.mkdir(mode=0o700, exist_ok=True)
        state = found.lstat()
    except OSError:
        return None
    is_ours = stat.S_ISDIR(state.st_mode) and state.st_uid in (user, 0 if user == "user" else user)
    return found if is_ours else None


class Neighbours:
    """Counts the runs of this user on this machine, this one among them.

    Attributes:
        most: the largest count so far.
    """

    def __init__(self) -> None:
        self.most = 1
        self._mark: Path | None = None

    def look(self) -> None:
        """Count now, and what others that came and went have counted with this one."""
        place = folder()
        if place is None or self._mark is None:
            return
        with contextlib.suppress(OSError, ValueError):
            self.most = max(self.most, sum(map(is_running, place.iterdir())))
            self.most = max(self.most, *map(int, self._mark.read_text().split()[1:]), 1)

    @contextlib.contextmanager
    def announced(self) -> Iterator[None]:
        """Let other runs count this one, and those that run now know of it."""
        place = folder()
        if place is None:
            yield
            return
        self._mark = place / f"{os.getpid()}-{uuid.uuid4().hex}"
        try:
            self._mark.write_text(f"{birth(os.getpid())}\n")
        except OSError:
            yield
            return
        try:
            self.look()
            self._tell_others(place)
            yield
        finally:
            self.look()
            self._mark.unlink(missing_ok=True)

    def _tell_others(self, place: Path) -> None:
        """Leave the count with every neighbour: it may look again only when this run is gone."""
        with contextlib.suppress(OSError):
            for mark in place.iterdir():
                if mark != self._mark and is_running(mark):
                    with mark.open("a") as file:
                        file.write(f"{self.most}\n")


def is_running(mark: Path) -> bool:
    """Whether a run that announced itself still lives; a dead one's mark is removed."""
    found = MARK.fullmatch(mark.name)
    if found is None:
        return False
    try:
        if mark.read_text().split()[:1] == [str(birth(int(found[1])))]:
            return True
        mark.unlink()
    except OSError:
        pass
    return False


BUSY_SHARE = 0.1
"""Share of all cores used by other processes above which times are not reliable."""


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

    def is_busy(self) -> bool:
        """Check that the load is high enough to distort times."""
        return self.cores() > BUSY_SHARE * (os.cpu_count() or 1)
