"""Files of series: the reader of each format, and the files of training and test."""

from __future__ import annotations

import csv
from dataclasses import replace
from pathlib import Path

from tasks.base import DataError
from tasks.common.tables import ENDINGS, declared_separator, ending, open_binary, unreadable
from tasks.series.collection import Collection, Columns, check_values
from tasks.series.npz_file import array_names, has_test_arrays, read_npz
from tasks.series.tabular import read_series_table, recognised_table
from tasks.series.ts_file import read_ts

HEAD_BYTES = 2**16


def read_collection(
    path: Path, where: str, columns: Columns, part: str = "train", is_labelled: bool = True
) -> Collection:
    """Read the series of a file.

    Args:
        path: of a `.ts` file, a NumPy archive or a table.
        where: beginning of error messages.
        columns: of a table.
        part: `train` or `test`: selects the arrays of an archive that contains both.
        is_labelled: series without labels are refused; else labels are ignored.

    Raises:
        DataError: the file cannot be used.
    """
    if ending(path) == ".npz":
        group = columns.group if is_labelled else None
        collection = read_npz(path, where, part, group, is_labelled)
    elif ending(path) == ".ts":
        if columns.group is not None:
            raise DataError(f"task.group={columns.group}: a .ts file has no groups")
        collection = read_ts(path, where, is_labelled)
    elif ending(path) in ENDINGS:
        collection = read_series_table(path, where, columns, is_labelled)
    else:
        raise unreadable(path, where, (".ts", ".npz", *ENDINGS))
    check_values(collection, where)
    return collection


def read_files(
    data: str, test: str | None, columns: Columns
) -> tuple[Collection, Collection | None, str]:
    """Return the series of training and of a given test split, and the title of both.

    A file `NAME_TEST` beside `NAME_TRAIN`, and arrays `X_test` beside `X_train`, are the test
    split unless `test` is given.

    Raises:
        DataError: a file cannot be used, or the two differ in their channels.
    """
    path = Path(data)
    train = read_collection(path, f"task.data={data}", columns)
    other, notice = test_file(path, test)
    if other is None:
        return train, None, path.name
    if train.has_named_channels:
        columns = replace(columns, features=tuple(train.channels))
    setting = f"task.data={data}" if other == path else f"task.test={other}"
    tested = read_collection(other, setting, columns, "test")
    if len(tested.channels) != len(train.channels):
        raise DataError(
            f"{setting}: {len(tested.channels)} channels, but {len(train.channels)} in "
            f"task.data={data}"
        )
    train.notices += (notice,) if notice else ()
    return train, tested, path.name if other == path else f"{path.name} and {other.name}"


def test_file(path: Path, test: str | None) -> tuple[Path | None, str]:
    """Return the file of the test split, if there is one, and a notice if it was found."""
    if test is not None:
        return Path(test), ""
    if ending(path) == ".npz" and has_test_arrays(path):
        return path, f"the test split is X_test of {path.name}"
    beside = path.with_name(f"{path.stem.removesuffix('_TRAIN')}_TEST{path.suffix}")
    if path.stem.endswith("_TRAIN") and beside.is_file():
        return beside, f"the test split is {beside.name}, in the folder of {path.name}"
    return None, ""


def recognised(path: Path) -> str:
    """Return why a file probably contains series with labels; empty if it does not."""
    try:
        if ending(path) == ".ts":
            head = head_of(path).lower()
            return "a .ts file of the UCR/UEA format" if "@data" in head else ""
        if ending(path) == ".npz":
            is_known = array_names(path) & {"x", "x_train"} and array_names(path) & {"y", "y_train"}
            return "a NumPy archive with arrays X and y" if is_known else ""
        if ending(path) == ".parquet":
            from pyarrow import parquet

            return recognised_table(parquet.read_schema(path).names)
        if ending(path) in (".csv", ".tsv"):
            lines = [each for each in head_of(path).splitlines() if each.strip()] or [""]
            line = lines[bool(declared_separator(lines[0]) and lines[1:])]
            if path.stem.lower().endswith(("_train", "_test")) and is_all_numbers(line):
                return "a file of the UCR archive, without names of columns"
            return max((recognised_table(names) for names in headers(line)), key=len)
    except (OSError, ValueError, csv.Error):
        pass
    return ""


def is_all_numbers(line: str) -> bool:
    """Return True if the cells of a line, separated by tabs, are numbers."""
    try:
        return len([float(cell) for cell in line.split("\t")]) > 1
    except ValueError:
        return False


def head_of(path: Path) -> str:
    """Return the beginning of a file."""
    with open_binary(path) as file:
        return file.read(HEAD_BYTES).decode("utf-8-sig", "replace")


def headers(line: str) -> list[list[str]]:
    """Return the names in a line for every separator."""
    return [next(csv.reader([line], delimiter=each)) for each in ",;\t|"]
