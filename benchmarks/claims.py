"""Who works on which question: one file per fingerprint, so that nothing is done twice at once.

`results/running/<fingerprint>.json` is created by the run, or by the launcher that queued it, and
removed when the run has left its row. A file whose owner has died is taken over. It works by
exclusive creation and renaming alone, which network file systems keep, and by no lock.
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

from benchmarks.files import write_atomically
from benchmarks.owner import BEAT_SECONDS, Owner, is_alive, this_process

FIRST_BEAT_SECONDS = 1.0
NOBODY = Owner(host="", boot="", pid=0, born="")
"""Of a claim that cannot be read: it counts as long as it is young."""


@dataclass
class Claim:
    """A question being worked on.

    Attributes:
        key: the question's fingerprint; with the run's id behind it for a run beside another.
        run_id: of the run that works on it; empty while it waits in a queue.
        owner: the process, or the queued job.
        row: the row as far as it is known, for whoever must write it if the owner dies.
        progress: how far the run is: step, total_steps, epoch, score.
    """

    key: str
    run_id: str
    owner: Owner
    row: dict[str, Any] = field(default_factory=dict)
    progress: dict[str, Any] = field(default_factory=dict)


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

    def all(self) -> Iterator[Claim]:
        """Go through all claims, of the living and the dead."""
        for file in sorted(self.directory.glob("*.json")):
            claim = self.read(file.stem)
            if claim is not None:
                yield claim

    def is_live(self, claim: Claim) -> bool:
        """Whether a claim's owner still works."""
        return is_alive(claim.owner, self.path(claim.key))

    def take(self, claim: Claim) -> bool:
        """Take a question, unless someone alive holds it.

        A job that its launcher has entered for it may take it over.
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
                holder = self.read(claim.key)
                is_ours = holder is not None and is_same_job(holder.owner, claim.owner)
                if not is_ours and is_alive(holder.owner if holder else NOBODY, target):
                    return False
                # Of several that find the owner dead, one's renaming succeeds.
                with contextlib.suppress(FileNotFoundError):
                    aside = Path(draft).with_name(f"{Path(draft).name}-dead")
                    target.rename(aside)
                    aside.unlink()
            return False
        finally:
            Path(draft).unlink(missing_ok=True)

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
        """Write the claim's progress and beat its heart from a thread until the block ends."""
        done = threading.Event()
        path = self.path(claim.key)

        def beat() -> None:
            pause = FIRST_BEAT_SECONDS
            while not done.wait(pause):
                pause = BEAT_SECONDS
                each_beat()
                with contextlib.suppress(OSError):
                    if self.is_mine(claim):
                        write_atomically(path, json.dumps(dataclasses.asdict(claim)))

        thread = threading.Thread(target=beat, daemon=True)
        thread.start()
        try:
            yield
        finally:
            done.set()
            thread.join()
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
    """Whether a claim was entered by the launcher for the job that now begins."""
    return holder.job is not None and holder.job == taker.job


def new_claim(key: str, run_id: str, row: dict[str, Any]) -> Claim:
    """A claim of the calling process."""
    return Claim(key, run_id, this_process(), row)
