"""Prepared data on disk: built once, mapped into memory ever after."""

from __future__ import annotations

import contextlib
import json
import logging
import os
import shutil
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from tasks.base import Arrays

logger = logging.getLogger(__name__)

Build = Callable[[], tuple[Arrays, dict[str, Any]]]


def default_cache_directory() -> Path:
    """The user's cache directory, by the XDG rule."""
    base = os.environ.get("XDG_CACHE_HOME") or str(Path("~/.cache").expanduser())
    return Path(base) / "rnnbench"


def cache_directory(given: str | None) -> Path:
    """Where prepared data is kept: `cache_dir` if it is set."""
    return Path(given) if given else default_cache_directory()


DAMAGE = (OSError, ValueError, LookupError, TypeError, EOFError)
"""What reading an entry that was cut short or written by another program can raise."""


class DiskCache:
    """A folder of entries, each a folder of arrays and facts under the key that made them.

    An entry appears whole or not at all: it is written under another name and renamed. If two
    processes build the same entry, the later one's is dropped.
    """

    def __init__(self, directory: Path) -> None:
        self.directory = directory

    def __call__(self, key: str, build: Build) -> tuple[Arrays, dict[str, Any]]:
        """Return the arrays and facts under `key`, building them if need be."""
        entry = self.directory / key
        if entry.exists():
            try:
                return read_entry(entry)
            except DAMAGE as error:
                set_aside(entry, error)
        arrays, facts = build()
        try:
            self._write(entry, arrays, facts)
        except OSError as error:
            # A cache that cannot be written costs time, not the run.
            logger.info("prepared data could not be cached in %s (%s)", entry, error.strerror)
            return arrays, facts
        return read_entry(entry)

    def _write(self, entry: Path, arrays: Arrays, facts: dict[str, Any]) -> None:
        self.directory.mkdir(parents=True, exist_ok=True)
        draft = Path(tempfile.mkdtemp(dir=self.directory, prefix=".draft-"))
        try:
            for name, array in arrays.items():
                np.save(draft / f"{name}.npy", array)
            document = {"arrays": sorted(arrays), "facts": facts}
            (draft / "facts.json").write_text(json.dumps(document))
            draft.rename(entry)
        except OSError:
            shutil.rmtree(draft, ignore_errors=True)
            if not entry.exists():
                raise


def set_aside(entry: Path, error: Exception) -> None:
    """Rename a damaged entry, unless another process was first."""
    aside = entry.with_name(f"{entry.name}.broken-{time.time_ns()}")
    with contextlib.suppress(OSError):
        entry.rename(aside)
        logger.info("cached data is damaged and set aside as %s (%r)", aside, error)


def read_entry(entry: Path) -> tuple[Arrays, dict[str, Any]]:
    """Map an entry's arrays into memory and read its facts.

    Processes share the pages; one that writes to them keeps that to itself.

    Raises:
        One of DAMAGE: the entry is damaged.
    """
    document = json.loads((entry / "facts.json").read_text())
    names = document["arrays"]
    arrays = {name: np.load(entry / f"{name}.npy", mmap_mode="c") for name in names}
    return arrays, document["facts"]
