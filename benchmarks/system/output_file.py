"""Output files that a user names: refused before the work, or in one line if writing fails."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path

from benchmarks.errors import UserError


def check_output(option: str, path: Path) -> None:
    """Raise UserError if a file can neither be created nor replaced."""
    if path.is_dir():
        raise UserError(f"{option} {path}: is a folder (allowed: a file)")
    if not path.parent.is_dir():
        raise UserError(f"{option} {path}: there is no folder {path.parent}")
    is_device = path.exists() and not path.is_file()
    if not os.access(path if is_device else path.resolve().parent, os.W_OK):
        raise UserError(f"{option} {path}: cannot be written (Permission denied)")


@contextlib.contextmanager
def writing(option: str, path: Path) -> Iterator[None]:
    """Turn an error of writing a file or folder into UserError."""
    try:
        yield
    except OSError as error:
        raise UserError(f"{option} {path}: cannot be written ({error.strerror})") from error
