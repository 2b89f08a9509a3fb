"""Errors that are shown to the user as one line."""

from __future__ import annotations

import contextlib
import difflib
import errno
import types
from collections.abc import Iterable, Iterator, Mapping


class UserError(Exception):
    """A mistake of the user; the text is one line that says how to fix it."""


def one_line(text: object) -> str:
    """Fold a text, or the text of an error, into one line."""
    return " ".join(str(text).split())


def counted(number: int, noun: str) -> str:
    """Return a number with its noun, as in "1 run" and "2 runs"."""
    return f"{number:,} {noun}" if number == 1 else f"{number:,} {noun}s"


DISK_ERRORS = {errno.ENOSPC, errno.EDQUOT, errno.EROFS}
"""Error numbers of a full or read-only disk."""


@contextlib.contextmanager
def disk_errors_in_one_line() -> Iterator[None]:
    """Convert the OSError of a full or read-only disk to a UserError."""
    try:
        yield
    except OSError as error:
        if error.errno not in DISK_ERRORS:
            raise
        where = f"{error.filename}: " if error.filename else ""
        raise UserError(
            f"{where}{error.strerror}; finished runs are kept, and re-running the same command "
            f"resumes once the disk is writable"
        ) from error


def nearest(
    given: str, allowed: Iterable[str], synonyms: Mapping[str, str] = types.MappingProxyType({})
) -> str:
    """Return "; did you mean X?" for the allowed word closest to `given`, or an empty text."""
    close = difflib.get_close_matches(given.lower(), [*allowed, *synonyms], n=1, cutoff=0.6)
    return f"; did you mean {synonyms.get(close[0], close[0])}?" if close else ""
