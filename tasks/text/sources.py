"""Sources of labelled documents: files, folders of `datasets`, and data sets of the hub."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tasks.base import DataError
from tasks.common.tables import declared_separator, ending, open_text
from tasks.text import hub
from tasks.text.paths import (
    ClassFolders,
    Saved,
    find_parts,
    names_of,
    tables_in,
)
from tasks.text.reading import LABELS, TEXTS, Columns, Frames, is_pointer, read_dataset, read_parts


@dataclass(frozen=True)
class Source:
    """Documents that are read only if they are not cached.

    Attributes:
        content: hashes of the files, available before they are read.
        read: returns the documents.
    """

    content: str
    read: Callable[[Columns], Frames]


def source_of(setting: str, value: str) -> Source:
    """Return the source of a path, the value of `task.data` or `task.test`."""
    path, where = Path(value), f"task.{setting}={value}"
    parts = find_parts(path, where)
    if isinstance(parts, Saved):
        folder = parts.folder
        return Source(
            hash_files(parts.files),
            lambda columns: read_dataset(load_saved(folder, where), columns, where),
        )
    files = [file for part in parts.values() for file in part.files]
    others = sorted(set(tables_in(files[0].parent)) - set(files)) if path.is_dir() else []

    def read(columns: Columns) -> Frames:
        frames = read_parts(parts, columns, where)
        if others:
            frames.notice(f"not read: {names_of(others)}")
        return frames

    return Source(hash_files(files), read)


def hub_source(name: str) -> Source:
    """Return the source of a data set of the hub."""
    loaded = load_hub(name)
    content = " ".join(f"{split} {each._fingerprint}" for split, each in loaded.items())
    return Source(content, lambda columns: read_dataset(loaded, columns, f"task.data={name}"))


def hash_files(files: Sequence[Path]) -> str:
    """Hash names and contents of files; a folder's name can be a class."""
    digest = hashlib.sha256()
    for file in files:
        digest.update(f"{file.parent.name}/{file.name}\n".encode("utf-8", "surrogateescape"))
        digest.update(hashlib.sha256(file.read_bytes()).digest())
    return digest.hexdigest()


def load_saved(folder: Path, where: str) -> Any:
    """Load what `save_to_disk` wrote."""
    import datasets

    try:
        return datasets.load_from_disk(str(folder))
    except Exception as error:
        reason = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
        raise DataError(f"{where}: cannot be read by datasets ({reason})") from error


def load_hub(name: str) -> Any:
    """Load a data set of the hub by its name.

    Raises:
        DataError: it is neither in the local cache nor on a hub that can be reached.
    """
    if not hub.is_cached(name) and not hub.is_reachable(name):
        raise DataError(
            f"task.data={name}: no such file or folder; as a data set of the Hugging Face hub it "
            f"is not in the local cache, and {hub.address()} has no such data set or cannot be "
            f"reached"
        )
    return hub.load(name)


def recognised(path: Path) -> str:
    """Return why a path is probably labelled documents; empty if it is not."""
    try:
        parts = find_parts(path, str(path))
        if isinstance(parts, Saved):
            return "a folder that save_to_disk of datasets wrote"
        part = parts["train"]
        if isinstance(part, ClassFolders):
            return "a folder of .txt files per class"
        if is_pointer(part.files[0]):
            return "a clone of a repository with Git LFS"
        names = header_of(part.files[0])
    except (DataError, OSError, ValueError, LookupError):
        return ""
    found = [
        next((n for n in names if n.strip().lower() in usual), "") for usual in (TEXTS, LABELS)
    ]
    return f"columns {found[0]} and {found[1]}" if all(found) else ""


def header_of(file: Path) -> Sequence[str]:
    """Return the names of a table's columns, without reading the rest."""
    if ending(file) == ".parquet":
        import pyarrow
        import pyarrow.parquet

        try:
            return list(pyarrow.parquet.read_schema(file).names)
        except pyarrow.ArrowException:
            return []
    with open_text(file) as opened:
        line = opened.readline(100_000)
        if declared_separator(line):
            line = opened.readline(100_000)
    if ending(file) in (".jsonl", ".ndjson"):
        return list(json.loads(line))
    return [cell.strip().strip('"') for cell in re.split("[,;\t|]", line)]
