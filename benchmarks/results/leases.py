"""Leases on configurations: one file per fingerprint, so that no run is done twice at once.

The lease of a dead process is replaced by one process at a time. Only exclusive creation and
renaming are used, which work on network file systems, and no locks.
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
from benchmarks.system.processes import BEAT_SECONDS, ProcessIdentity, is_alive, this_process

FIRST_BEAT_SECONDS = 1.0
UNKNOWN_PROCESS = ProcessIdentity(host="", boot="", pid=0, born="")  # of an unreadable lease
TAKEOVER = "~"  # suffix of a key, while the lease of a dead process is replaced


@dataclass
class Lease:
    """The right of one process, or of a queued job, to run a configuration.

    The key is the fingerprint, followed by the run id for a second run of the same configuration.
    The row of the run so far is recorded if the process dies.
    """

    key: str
    run_id: str  # empty while it waits in a queue
    process: ProcessIdentity
    row: dict[str, Any] = field(default_factory=dict)
    progress: dict[str, Any] = field(default_factory=dict)
    has_row: bool = False

    def as_json(self) -> str:
        """Return the content of the lease's file."""
        values = dataclasses.asdict(self).items()
        return json.dumps({"owner" if name == "process" else name: value for name, value in values})


class Leases:
    """The folder with the leases of a results folder."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory

    def path(self, key: str) -> Path:
        """Return the path of a lease's file."""
        return self.directory / f"{key}.json"

    def read(self, key: str) -> Lease | None:
        """Read a lease; None if there is none or it is damaged."""
        try:
            plain = json.loads(self.path(key).read_text(encoding="utf-8"))
            return Lease(process=ProcessIdentity(**plain.pop("owner")), **plain)
        except (OSError, ValueError, TypeError, KeyError, AttributeError):
            return None

    def of(self, fingerprint: str) -> Iterator[Lease]:
        """Iterate over the leases of one configuration."""
        for file in [self.path(fingerprint), *self.directory.glob(f"{fingerprint}.*.json")]:
            lease = self.read(file.stem)
            if lease is not None:
                yield lease

    def all(self) -> Iterator[Lease]:
        """Iterate over all leases, of live and dead processes."""
        for file in sorted(self.directory.glob("*.json")):
            lease = None if file.stem.endswith(TAKEOVER) else self.read(file.stem)
            if lease is not None:
                yield lease

    def is_live(self, lease: Lease) -> bool:
        """Return True if the process of a lease is alive."""
        return is_alive(lease.process, self.path(lease.key))

    def acquire(self, lease: Lease) -> bool:
        """Acquire a lease, unless another live process holds it.

        A job replaces the lease of its own previous start and that of the launcher that queued it.
        """
        self.directory.mkdir(parents=True, exist_ok=True)
        target = self.path(lease.key)
        handle, name = tempfile.mkstemp(dir=self.directory, prefix=".lease-")
        draft = Path(name)
        try:
            with os.fdopen(handle, "w") as file:
                file.write(lease.as_json())
            for _ in range(3):
                with contextlib.suppress(FileExistsError):
                    create_from(draft, target)
                    return True
                if self.is_mine(lease):  # a file server may report an error after it made the link
                    return True
                if not self._may_replace(lease):
                    return False
                # One process at a time checks again and replaces the lease. Otherwise a slow
                # process would replace the new lease of a fast one.
                takeover = dataclasses.replace(lease, key=f"{lease.key}{TAKEOVER}")
                if not self.acquire(takeover):
                    return False
                try:
                    if target.exists() and self._may_replace(lease):
                        draft.replace(target)
                        return True
                finally:
                    self.release(takeover)
            return False
        finally:
            draft.unlink(missing_ok=True)

    def _may_replace(self, lease: Lease) -> bool:
        """Return True if the lease on disk is of a dead process or of the same job."""
        holder = self.read(lease.key)
        if holder is not None and is_same_job(holder.process, lease.process):
            return True
        return not is_alive(holder.process if holder else UNKNOWN_PROCESS, self.path(lease.key))

    def is_mine(self, lease: Lease) -> bool:
        """Return True if the lease on disk is of the same process."""
        on_disk = self.read(lease.key)
        return on_disk is not None and on_disk.process == lease.process

    def release(self, lease: Lease) -> None:
        """Remove a lease if it is still of the same process."""
        with contextlib.suppress(OSError):
            if self.is_mine(lease):
                self.path(lease.key).unlink()

    @contextlib.contextmanager
    def renewed(self, lease: Lease, each_beat: Callable[[], None]) -> Iterator[None]:
        """Renew a lease and write its progress from a thread until the block ends.

        Without a row the lease is the only record of the run, and remains.
        """
        done = threading.Event()
        path = self.path(lease.key)

        def renew() -> None:
            pause = FIRST_BEAT_SECONDS
            while not done.wait(pause):
                pause = min(2 * pause, BEAT_SECONDS)
                each_beat()
                if not self.is_mine(lease):
                    continue
                # RuntimeError: the training thread has just changed the progress.
                with contextlib.suppress(OSError, RuntimeError):
                    os.utime(path)  # renews the lease also on a full disk
                    write_atomically(path, lease.as_json())

        thread = threading.Thread(target=renew, daemon=True)
        thread.start()
        try:
            yield
        finally:
            done.set()
            thread.join()
            if lease.has_row:
                self.release(lease)


def create_from(draft: Path, target: Path) -> None:
    """Create a file with the content of a draft; raise FileExistsError if it exists."""
    try:
        os.link(draft, target)
    except FileExistsError:
        raise
    except OSError:  # a file system without hard links
        with target.open("xb") as file:
            file.write(draft.read_bytes())


def is_same_job(holder: ProcessIdentity, process: ProcessIdentity) -> bool:
    """Return True if a lease was created for, or by, the job that a process runs in."""
    return holder.job is not None and holder.job == process.job and process.pid != 0


def new_lease(key: str, run_id: str, row: dict[str, Any]) -> Lease:
    """Return a lease of the calling process."""
    return Lease(key, run_id, this_process(), row)
