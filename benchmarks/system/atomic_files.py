"""Files that appear complete or not at all."""

from __future__ import annotations

import contextlib
import os
import secrets
import time
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO


@contextlib.contextmanager
def replacing(path: Path) -> Iterator[BinaryIO]:
    """Open a draft that replaces `path` when the block ends without error, power cuts included.

    A process killed within the block leaves the draft; see `remove_drafts`. A link keeps its
    target, whose content is replaced; a device or pipe, such as /dev/stdout, is written directly.
    """
    if path.exists() and not path.is_file():
        with path.open("wb") as device:
            yield device
        return
    path = path.resolve()
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
    with contextlib.suppress(OSError):  # some systems cannot open directories
        directory = os.open(path.parent, os.O_RDONLY)
        try:
            os.fsync(directory)
        finally:
            os.close(directory)


def new_file(path: Path) -> BinaryIO:
    """Create a file with the user's default permissions."""
    return path.open("xb")


def write_atomically(path: Path, content: str | bytes) -> None:
    """Write a file so that it appears complete or not at all; text is UTF-8 where it can be."""
    if isinstance(content, str):
        content = content.encode(errors="backslashreplace")
    with replacing(path) as file:
        file.write(content)


def remove_drafts(path: Path, older_than: float = 3600.0) -> None:
    """Remove drafts of a file that killed processes left at least `older_than` seconds ago."""
    path = path.resolve()
    for draft in path.parent.glob(f".{path.name}-*"):
        with contextlib.suppress(OSError):
            if abs(time.time() - draft.stat().st_mtime) >= older_than:
                draft.unlink()


def set_aside(path: Path, reason: str) -> Path | None:
    """Rename a file or directory and return its new path; None if another process was faster."""
    aside = path.with_name(f"{path.name}.{reason}-{time.time_ns()}")
    try:
        path.rename(aside)
    except OSError:
        return None
    return aside
