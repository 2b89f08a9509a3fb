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
"""Of a claim that cannot be read: it counts as long as it is young."""

HEIR = "~"
"""Ends the key of a claim on taking over a question, which is held for a moment."""


@dataclass
class Claim:
    """A question being worked on.

    Attributes:
        key: the question's fingerprint; with the run's id behind it for a run beside another.
        run_id: of the run that works on it; empty while it waits in a queue.
        owner: the process, or the queued job.
        row: the row as far as it is known, for whoever must write it if the owner dies.
        progress: how far the run is: step, total_steps, epoch, score.
        has_row: whether the run has kept its row, so that nobody needs the claim any more.
    """

    key: str
    run_id: str
    owner: Owner
    row: dict[str, Any] = field(default_factory=dict)
    progress: dict[str, Any] = field(default_factory=dict)
    has_row: bool = False


class Claims:
    """The folder of claims of a results folder."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory

    def path(self, key: str) -> Path:
        """Where a claim is."""
        return self.directory / f"{key}.json"

    def read(self, key: str) -> Claim | None:
        """Return a claim, or None; a damaged one counts as none."""
        try:
            plain = json.loads(self.path(key).read_text(encoding="utf-8"))
            return Claim(**plain | {"owner": Owner(**plain["owner"])})
        except (OSError, ValueError, TypeError, KeyError):
            return None

    def of(self, fingerprint: str) -> Iterator[Claim]:
        """Go through a question's claims, those of runs beside another too."""
        for file in [self.path(fingerprint), *self.directory.glob(f"{fingerprint}.*.json")]:
            claim = self.read(file.stem)
            if claim is not None:
                yield claim

    def all(self) -> Iterator[Claim]:
        """Go through all claims, of the living and the dead."""
        for file in sorted(self.directory.glob("*.json")):
            claim = None if file.stem.endswith(HEIR) else self.read(file.stem)
            if claim is not None:
                yield claim

    def is_live(self, claim: Claim) -> bool:
        """Whether a claim's owner still works."""
        return is_alive(claim.owner, self.path(claim.key))

    def take(self, claim: Claim) -> bool:
        """Take a question, unless someone alive holds it.

        A job takes it over from its own last start, and from the launcher that entered it.
        """
        self.directory.mkdir(parents=True, exist_ok=True)
        target = self.path(claim.key)
        handle, draft = tempfile.mkstemp(dir=self.directory, prefix=".claim-")
        try:
            with os.fdopen(handle, "w") as file:
                json.dump(dataclasses.asdict(claim), file)
            for _ in range(3):
                with contextlib.suppress(FileExistsError):
                    create_from(Path(draft), target)
                    return True
                if self.is_mine(claim):  # a file server may answer twice to one linking
                    return True
                if not self._may_replace(claim):
                    return False
                # Of several that find the owner dead, one at a time looks again and replaces it:
                # else a slow one would put itself in the place of a quick one.
                heir = dataclasses.replace(claim, key=f"{claim.key}{HEIR}")
                if not self.take(heir):
                    return False
                try:
                    if target.exists() and self._may_replace(claim):
                        Path(draft).replace(target)
                        return True
                finally:
                    self.release(heir)
            return False
        finally:
            Path(draft).unlink(missing_ok=True)

    def _may_replace(self, claim: Claim) -> bool:
        """Whether whoever holds a claim's question is dead, or entered it for this claim's job."""
        holder = self.read(claim.key)
        if holder is not None and is_same_job(holder.owner, claim.owner):
            return True
        return not is_alive(holder.owner if holder else NOBODY, self.path(claim.key))

    def is_mine(self, claim: Claim) -> bool:
        """Whether the claim on disk is still this one."""
        there = self.read(claim.key)
        return there is not None and there.owner == claim.owner

    def release(self, claim: Claim) -> None:
        """Give a question back, if it is still this owner's."""
        with contextlib.suppress(OSError):
            if self.is_mine(claim):
                self.path(claim.key).unlink()

    @contextlib.contextmanager
    def kept_alive(self, claim: Claim, each_beat: Callable[[], None]) -> Iterator[None]:
        """Write the claim's progress and beat its heart from a thread until the block ends.

        The claim of a run that ends without a row stays: it alone tells of the run.

        Args:
            claim: taken.
            each_beat: called every time.
        """
        done = threading.Event()
        path = self.path(claim.key)

        def beat() -> None:
            pause = FIRST_BEAT_SECONDS
            while not done.wait(pause):
                pause = min(2 * pause, BEAT_SECONDS)
                each_beat()
                if not self.is_mine(claim):
                    continue
                # The training's thread may just be adding to the progress; the next beat tells it.
                with contextlib.suppress(OSError, RuntimeError):
                    os.utime(path)  # a sign of life even where the disk is full
                    write_atomically(path, json.dumps(dataclasses.asdict(claim)))

        thread = threading.Thread(target=beat, daemon=True)
        thread.start()
        try:
            yield
        finally:
            done.set()
            thread.join()
            if claim.has_row:
                self.release(claim)


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
    """Whether a claim is that of the job which the taker runs in.

    It was entered by the launcher, or by the job's last start; a launcher takes nothing back.
    """
    return holder.job is not None and holder.job == taker.job and taker.pid != 0


def new_claim(key: str, run_id: str, row: dict[str, Any]) -> Claim:
    """A claim of the calling process."""
    return Claim(key, run_id, this_process(), row)
