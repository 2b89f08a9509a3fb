"""Files that are there whole or not at all."""

from __future__ import annotations

import contextlib
import os
import secrets
import time
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

STALE_DRAFT_SECONDS = 3600.0


@contextlib.contextmanager
def replacing(path: Path) -> Iterator[BinaryIO]:
    """Open a draft that takes the place of `path` when the block ends well, also after a power cut.

    A process killed within leaves the draft, whose name begins with a dot; see `remove_drafts`.
    """
    draft = path.with_name(f".{path.name}-{secrets.token_hex(8)}")
    try:
        with new_file(draft) as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        draft.replace(path)
    except BaseException:
        draft.unlink(missing_ok=True)
        raise
    flush_folder(path.parent)


def new_file(path: Path) -> BinaryIO:
    """Create a file that is not there, with the rights that this user's files have."""
    return path.open("xb")


def write_atomically(path: Path, content: str | bytes) -> None:
    """Write a file so that it is there whole or not at all."""
    with replacing(path) as file:
        file.write(content.encode() if isinstance(content, str) else content)


def flush_folder(folder: Path) -> None:
    """Make a rename in a folder last, where the system can open folders."""
    with contextlib.suppress(OSError):
        handle = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)


def remove_drafts(path: Path, older_than: float = STALE_DRAFT_SECONDS) -> None:
    """Remove drafts of a file that killed processes have left, so many seconds ago."""
    for draft in path.parent.glob(f".{path.name}-*"):
        with contextlib.suppress(OSError):
            if abs(time.time() - draft.stat().st_mtime) >= older_than:
                draft.unlink()


def set_aside(path: Path, reason: str) -> Path | None:
    """Rename a file that must not be used, and say so; None if another process was first."""
    aside = path.with_name(f"{path.name}.{reason}-{time.time_ns()}")
    try:
        path.rename(aside)
    except OSError:
        return None
    return aside
