"""The files of labelled documents: which of them are train, validation and test."""

from __future__ import annotations

import difflib
import re
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from tasks.base import DataError, Split
from tasks.common.tables import ENDINGS, ending, unreadable

SPLIT_NAMES: dict[str, Split] = {
    **dict.fromkeys(("train", "training"), "train"),
    **dict.fromkeys(("validation", "valid", "val", "dev"), "validation"),
    **dict.fromkeys(("test", "testing", "eval", "evaluation"), "test"),
}
"""As the library `datasets` recognises them in the names of files and folders."""

HUB_NAME = re.compile(r"\w[\w.-]*/\w[\w.-]*")
FORMATS = (
    "a table (CSV, TSV, JSONL, Parquet), a folder with a folder of .txt files per class, or a "
    "folder with train and test of these"
)


@dataclass(frozen=True)
class Tables:
    """A split as files of one table."""

    files: tuple[Path, ...]


@dataclass(frozen=True)
class ClassFolders:
    """A split as folders of .txt files, each named by its class."""

    folder: Path

    @property
    def files(self) -> tuple[Path, ...]:
        """All texts."""
        return tuple(sorted(self.folder.glob("*/*.txt")))


@dataclass(frozen=True)
class Saved:
    """All splits as a folder that `save_to_disk` of the library `datasets` wrote."""

    folder: Path

    @property
    def files(self) -> tuple[Path, ...]:
        """All files."""
        return tuple(sorted(path for path in self.folder.rglob("*") if path.is_file()))


Part = Tables | ClassFolders
Parts = dict[Split, Part]


def check_path(value: str, setting: str) -> None:
    """Raise DataError unless a path exists or could be the name of a data set of the hub."""
    path = Path(value)
    if path.exists() or (setting == "task.data" and is_hub_name(value)):
        return
    parent = path.parent
    names = [each.name for each in parent.iterdir()] if parent.is_dir() else []
    close = difflib.get_close_matches(path.name, names, n=1)
    hint = f"; did you mean {parent / close[0]}?" if close else ""
    raise DataError(f"{setting}={value}: no such file or folder{hint}")


def is_hub_name(value: str) -> bool:
    """Return True for `owner/name` that is no path of a table."""
    is_table = ending(value) in ENDINGS
    return HUB_NAME.fullmatch(value) is not None and not is_table and not Path(value).exists()


def find_parts(path: Path, where: str) -> Parts | Saved:
    """Return the splits of a file or folder; `train` alone if it has no splits.

    Raises:
        DataError: nothing usable is there, or the choice is open.
    """
    if path.is_file():
        if ending(path) not in ENDINGS:
            raise unreadable(path, where, ENDINGS)
        return {"train": Tables((path,))}
    if (path / "dataset_dict.json").is_file() or (path / "state.json").is_file():
        return Saved(path)
    found = folders_of_splits(path, where) or tables_of_splits(path, where)
    if found:
        return found
    if is_class_folder(path):
        return {"train": ClassFolders(path)}
    inner = [each for each in folders_in(path) if tables_in(each) or folders_of_splits(each, where)]
    if len(inner) == 1:
        return find_parts(inner[0], where)
    if inner:
        names = ", ".join(str(each) for each in inner)
        raise DataError(f"{where}: several data sets; choose one with task.data=FOLDER: {names}")
    raise DataError(f"{where}: nothing to read; give {FORMATS}")


def split_of(name: str) -> Split | None:
    """Return the split that a word of a file's or folder's name means."""
    words = re.findall("[a-z]+", name.lower())
    return next((SPLIT_NAMES[word] for word in words if word in SPLIT_NAMES), None)


def folders_in(path: Path) -> list[Path]:
    """Return the folders in a folder that are not hidden."""
    return sorted(each for each in path.iterdir() if each.is_dir() and each.name[0] != ".")


def tables_in(path: Path) -> list[Path]:
    """Return the tables in a folder; .txt files only if their name means a split."""
    files = [each for each in path.iterdir() if each.is_file() and each.name[0] != "."]
    known = [each for each in files if ending(each) in ENDINGS]
    return sorted(each for each in known if ending(each) != ".txt" or split_of(each.stem))


def is_class_folder(path: Path) -> bool:
    """Return True if a folder contains folders of .txt files."""
    return any(next(each.glob("*.txt"), None) for each in folders_in(path))


def folders_of_splits(path: Path, where: str) -> Parts:
    """Return the splits that are folders of a folder; empty without a folder of training."""
    found: Parts = {}
    for each in folders_in(path):
        split = SPLIT_NAMES.get(each.name.lower())
        if split is None:
            continue
        tables = tables_in(each)
        if not tables and not is_class_folder(each):
            continue
        if split in found:
            raise DataError(f"{where}: two folders are the {split} split; remove one of them")
        found[split] = Tables(tuple(tables)) if tables else ClassFolders(each)
    return found if "train" in found else {}


def tables_of_splits(path: Path, where: str) -> Parts:
    """Return the splits that are tables in a folder, or its only table as `train`."""
    by_split: dict[Split | None, list[Path]] = defaultdict(list)
    for table in tables_in(path):
        by_split[split_of(table.stem)].append(table)
    others = by_split.pop(None, [])
    if "train" not in by_split:
        if len(others) == 1 and not by_split:
            return {"train": Tables((others[0],))}
        listed = [*others, *(each for tables in by_split.values() for each in tables)]
        if not listed:
            return {}
        raise DataError(
            f"{where}: none of its tables is named train ({names_of(listed)}); give one of them as "
            f"task.data=FILE, and a test split as task.test=FILE"
        )
    for split, tables in by_split.items():
        if len({ending(table) for table in tables}) > 1:
            raise DataError(
                f"{where}: several tables are the {split} split ({names_of(tables)}); give one of "
                f"them as task.data=FILE"
            )
    return {split: Tables(tuple(tables)) for split, tables in by_split.items() if split}


def names_of(paths: Iterable[Path]) -> str:
    """Return the names of the first files."""
    names = [path.name for path in paths]
    return ", ".join(names[:5]) + ", …" * (len(names) > 5)
