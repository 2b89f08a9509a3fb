"""Settings that are paths: `~` and environment variables in them, and their absolute form."""

from __future__ import annotations

import dataclasses
import os
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

from benchmarks.errors import UserError

VARIABLE = re.compile(r"\$(\w+)")


def expand_paths(settings: Any, prefix: str = "") -> None:
    """Replace `~` and `$NAME` in the path settings of a dataclass, also in nested ones.

    Raises:
        UserError: the environment has no such variable.
    """
    change_paths(settings, expanded, prefix)


def make_paths_absolute(settings: Any) -> None:
    """Make the path settings of a dataclass absolute if they exist, also in nested ones."""
    change_paths(settings, lambda key, text: str(Path(text).absolute()) if is_there(text) else text)


def change_paths(settings: Any, change: Callable[[str, str], str], prefix: str = "") -> None:
    """Replace the path settings of a dataclass by the results of a function of key and value."""
    for entry in dataclasses.fields(settings):
        key, value = f"{prefix}{entry.name}", getattr(settings, entry.name)
        if dataclasses.is_dataclass(value):
            change_paths(value, change, f"{key}.")
        elif not entry.metadata.get("is_path") or value in entry.metadata.get("words", ()):
            continue
        elif isinstance(value, str):
            setattr(settings, entry.name, change(key, value))


def expanded(key: str, text: str) -> str:
    """Return a path without `~` and variables; a path that exists as it is written is kept."""
    if not ("~" in text or "$" in text) or is_there(text):
        return text
    result = os.path.expandvars(Path(text).expanduser())
    missing = VARIABLE.search(result)
    if missing and missing[1] not in os.environ:
        raise UserError(f"{key}={text}: the environment has no variable {missing[1]}")
    return result


def is_there(text: str) -> bool:
    """Return True if a path exists; names that no file can have do not."""
    try:
        return Path(text).exists()
    except (OSError, ValueError):
        return False
