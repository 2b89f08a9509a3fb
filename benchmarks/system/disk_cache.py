"""Prepared data on disk, built once and memory-mapped afterwards."""

from __future__ import annotations

import json
import logging
import os
import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.system.atomic_files import set_aside
from tasks.base import Arrays

logger = logging.getLogger(__name__)

Build = Callable[[], tuple[Arrays, dict[str, Any]]]

DAMAGE = (OSError, ValueError, LookupError, TypeError, EOFError)  # of reading a damaged entry


def cache_directory(given: str | None = None) -> Path:
    """Return `cache_dir` if it is set, or else the user's cache directory by the XDG rule."""
    if given:
        return Path(given)
    base = os.environ.get("XDG_CACHE_HOME") or str(Path("~/.cache").expanduser())
    return Path(base) / "rnnbench"


class DiskCache:
    """A directory of entries, each a directory of arrays and metadata named by its key.

    An entry is written as a draft and renamed. The later of two drafts of an entry is dropped.
    """

    def __init__(self, directory: Path) -> None:
        self.directory = directory

    def __call__(self, key: str, build: Build) -> tuple[Arrays, dict[str, Any]]:
        """Return the arrays and metadata under `key`; build them if they are missing or damaged."""
        entry = self.directory / key
        if entry.exists():
            try:
                return read_entry(entry)
            except DAMAGE as error:
                aside = set_aside(entry, "broken")
                if aside is not None:
                    logger.info("cached data is damaged and set aside as %s (%r)", aside, error)
        arrays, metadata = build()
        try:
            self._write(entry, arrays, metadata)
        except OSError as error:  # costs time, not the run
            logger.info("prepared data could not be cached in %s (%s)", entry, error.strerror)
            return arrays, metadata
        return read_entry(entry)

    def _write(self, entry: Path, arrays: Arrays, metadata: dict[str, Any]) -> None:
        self.directory.mkdir(parents=True, exist_ok=True)
        draft = Path(tempfile.mkdtemp(dir=self.directory, prefix=".draft-"))
        try:
            for name, array in arrays.items():
                np.save(draft / f"{name}.npy", array)
            document = {"arrays": sorted(arrays), "facts": metadata}
            (draft / "facts.json").write_text(json.dumps(document))
            draft.rename(entry)
        except OSError:
            shutil.rmtree(draft, ignore_errors=True)
            if not entry.exists():
                raise


def read_entry(entry: Path) -> tuple[Arrays, dict[str, Any]]:
    """Map an entry's arrays into memory, copy on write, and read its metadata, or raise DAMAGE."""
    document = json.loads((entry / "facts.json").read_text())
    names = document["arrays"]
    arrays = {name: np.load(entry / f"{name}.npy", mmap_mode="c") for name in names}
    return arrays, document["facts"]
