"""Who works on which question: one file per fingerprint, so that nothing is done twice at once.

`results/running/<fingerprint>.json` is created by the run, or by the launcher that queued it, and
removed when the run has left its row. A file whose owner has died is taken over, by one process
at a time. It works by exclusive creation and renaming alone, which network file systems keep, and
by no lock.
"""

from __future__ import annotations

import contextlib
import dataclasses
import json
import os
import tempfile
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from benchmarks.system.atomic_files import write_atomically
from benchmarks.system.processes import BEAT_SECONDS, Owner, is_alive, this_process

FIRST_BEAT_SECONDS = 1.0
NOBODY = Owner(host="", boot="", pid=0, born="")
"""Of a lease that cannot be read: it counts as long as it is young."""

HEIR = "~"
"""Ends the key of a lease on taking over a question, which is held for a moment."""


@dataclass
class Lease:
    """A question being worked on.

    Attributes:
        key: the question's fingerprint; with the run's id behind it for a run beside another.
        run_id: of the run that works on it; empty while it waits in a queue.
        process: that works on it, or the queued job.
        row: the row as far as it is known, for whoever must write it if the owner dies.
        progress: how far the run is: step, total_steps, epoch, score.
        has_row: whether the run has kept its row, so that nobody needs the lease any more.
    """

    key: str
    run_id: str
    process: Owner
    row: dict[str, Any] = field(default_factory=dict)
    progress: dict[str, Any] = field(default_factory=dict)
    has_row: bool = False


class Leases:
    """The folder of leases of a results folder."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory

    def path(self, key: str) -> Path:
        """Where a lease is."""
        return self.directory / f"{key}.json"

    def read(self, key: str) -> Lease | None:
        """Return a lease, or None; a damaged one counts as none."""
        try:
            plain = json.loads(self.path(key).read_text(encoding="utf-8"))
            process = Owner(**plain["owner"])
            others = {name: value for name, value in plain.items() if name != "owner"}
            return Lease(**others, process=process)
        except (OSError, ValueError, TypeError, KeyError):
            return None

    def of(self, fingerprint: str) -> Iterator[Lease]:
        """Go through a question's leases, those of runs beside another too."""
        for file in [self.path(fingerprint), *self.directory.glob(f"{fingerprint}.*.json")]:
            lease = self.read(file.stem)
            if lease is not None:
                yield lease

    def all(self) -> Iterator[Lease]:
        """Go through all leases, of the living and the dead."""
        for file in sorted(self.directory.glob("*.json")):
            lease = None if file.stem.endswith(HEIR) else self.read(file.stem)
            if lease is not None:
                yield lease

    def is_live(self, lease: Lease) -> bool:
        """Whether a lease's owner still works."""
        return is_alive(lease.process, self.path(lease.key))

    def acquire(self, lease: Lease) -> bool:
        """Take a question, unless someone alive holds it.

        A job takes it over from its own last start, and from the launcher that entered it.
        """
        self.directory.mkdir(parents=True, exist_ok=True)
        target = self.path(lease.key)
        handle, draft = tempfile.mkstemp(dir=self.directory, prefix=".lease-")
        try:
            with os.fdopen(handle, "w") as file:
                file.write(as_json(lease))
            for _ in range(3):
                with contextlib.suppress(FileExistsError):
                    create_from(Path(draft), target)
                    return True
                if self.is_mine(lease):  # a file server may answer twice to one linking
                    return True
                if not self._may_replace(lease):
                    return False
                # Of several that find the owner dead, one at a time looks again and replaces it:
                # else a slow one would put itself in the place of a quick one.
                heir = dataclasses.replace(lease, key=f"{lease.key}{HEIR}")
                if not self.acquire(heir):
                    return False
                try:
                    if target.exists() and self._may_replace(lease):
                        Path(draft).replace(target)
                        return True
                finally:
                    self.release(heir)
            return False
        finally:
            Path(draft).unlink(missing_ok=True)

    def _may_replace(self, lease: Lease) -> bool:
        """Whether whoever holds a lease's question is dead, or entered it for this lease's job."""
        holder = self.read(lease.key)
        if holder is not None and is_same_job(holder.process, lease.process):
            return True
        return not is_alive(holder.process if holder else NOBODY, self.path(lease.key))

    def is_mine(self, lease: Lease) -> bool:
        """Whether the lease on disk is still this one."""
        there = self.read(lease.key)
        return there is not None and there.process == lease.process

    def release(self, lease: Lease) -> None:
        """Give a question back, if it is still this owner's."""
        with contextlib.suppress(OSError):
            if self.is_mine(lease):
                self.path(lease.key).unlink()

    @contextlib.contextmanager
    def renewed(self, lease: Lease, each_beat: Callable[[], None]) -> Iterator[None]:
        """Write the lease's progress and beat its heart from a thread until the block ends.

        The lease of a run that ends without a row stays: it alone tells of the run.

        Args:
            lease: taken.
            each_beat: called every time.
        """
        done = threading.Event()
        path = self.path(lease.key)

        def beat() -> None:
            pause = FIRST_BEAT_SECONDS
            while not done.wait(pause):
                pause = min(2 * pause, BEAT_SECONDS)
                each_beat()
                if not self.is_mine(lease):
                    continue
                # The training's thread may just be adding to the progress; the next beat tells it.
                with contextlib.suppress(OSError, RuntimeError):
                    os.utime(path)  # a sign of life even where the disk is full
                    write_atomically(path, as_json(lease))

        thread = threading.Thread(target=beat, daemon=True)
        thread.start()
        try:
            yield
        finally:
            done.set()
            thread.join()
            if lease.has_row:
                self.release(lease)


def as_json(lease: Lease) -> str:
    """Return the text of a lease's file."""
    values = dataclasses.asdict(lease).items()
    return json.dumps({"owner" if name == "process" else name: value for name, value in values})


def create_from(draft: Path, target: Path) -> None:
    """Give a file its name, unless that is taken.

    Raises:
        FileExistsError: it is taken.
    """
    try:
        os.link(draft, target)
    except FileExistsError:
        raise
    except OSError:  # a file system without hard links
        with target.open("xb") as file:
            file.write(draft.read_bytes())


def is_same_job(holder: Owner, taker: Owner) -> bool:
    """Whether a lease is that of the job which the taker runs in.

    It was entered by the launcher, or by the job's last start; a launcher takes nothing back.
    """
    return holder.job is not None and holder.job == taker.job and taker.pid != 0


def new_lease(key: str, run_id: str, row: dict[str, Any]) -> Lease:
    """A lease of the calling process."""
    return Lease(key, run_id, this_process(), row)
