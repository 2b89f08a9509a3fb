"""Files that are there whole or not at all."""

from __future__ import annotations

import contextlib
import os
import tempfile
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
    handle, draft = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}-")
    try:
        with os.fdopen(handle, "wb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        umask = os.umask(0)
        os.umask(umask)
        Path(draft).chmod(0o666 & ~umask)
        Path(draft).replace(path)
    except BaseException:
        Path(draft).unlink(missing_ok=True)
        raise
    flush_folder(path.parent)


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


def remove_drafts(path: Path) -> None:
    """Remove drafts of a file that processes killed long ago have left."""
    for draft in path.parent.glob(f".{path.name}-*"):
        with contextlib.suppress(OSError):
            if abs(time.time() - draft.stat().st_mtime) > STALE_DRAFT_SECONDS:
                draft.unlink()


def set_aside(path: Path, reason: str) -> Path | None:
    """Rename a file that must not be used, and say so; None if another process was first."""
    aside = path.with_name(f"{path.name}.{reason}-{time.time_ns()}")
    try:
        path.rename(aside)
    except OSError:
        return None
    return aside
