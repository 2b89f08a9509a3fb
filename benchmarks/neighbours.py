"""Runs that share this machine, whoever started them: their times are nobody's alone."""

from __future__ import annotations

import contextlib
import getpass
import os
import tempfile
import uuid
from collections.abc import Iterator
from pathlib import Path

from benchmarks.owner import birth


def folder() -> Path:
    """Where this user's runs on this machine announce themselves."""
    return Path(tempfile.gettempdir()) / f"rnnbench-{getpass.getuser()}" / "running"


class Neighbours:
    """Counts the runs of this machine, this one among them.

    Attributes:
        most: the largest count so far, at least that of the runs known to share the machine.
    """

    def __init__(self, known: int) -> None:
        self.most = known

    def look(self) -> None:
        """Count now."""
        with contextlib.suppress(OSError):
            self.most = max(self.most, sum(map(is_running, folder().iterdir())))

    @contextlib.contextmanager
    def announced(self) -> Iterator[None]:
        """Let other runs count this one."""
        mark = folder() / f"{os.getpid()}-{uuid.uuid4().hex}"
        try:
            mark.parent.mkdir(parents=True, exist_ok=True)
            mark.write_text(birth(os.getpid()) or "")
        except OSError:
            # Nowhere to announce it: then nobody else can either.
            yield
            return
        try:
            self.look()
            yield
        finally:
            self.look()
            mark.unlink(missing_ok=True)


def is_running(mark: Path) -> bool:
    """Whether a run that announced itself still lives; a dead one's mark is removed."""
    pid = mark.name.partition("-")[0]
    try:
        if pid.isdigit() and birth(int(pid)) == mark.read_text():
            return True
        mark.unlink()
    except OSError:
        pass
    return False
