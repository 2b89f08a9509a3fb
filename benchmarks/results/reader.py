"""Reading result tables: any CSV with the documented columns, whoever made it."""

from __future__ import annotations

import csv
import difflib
import itertools
import typing
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import pandas as pd

from benchmarks.errors import UserError
from benchmarks.results.row import COLUMNS, KINDS, columns_where
from benchmarks.results.run_folder import RunFolder

NEEDED = ("task", "model", "seed", "metric", "higher_is_better", "test_score")
"""Without these columns there is nothing to compare; what the others would tell may be unknown."""

UNREAD = ("error", "other_metrics", "started_at", "git_commit", "git_dirty")
"""Long or idle columns: 100,000 rows of them would take memory for nothing."""

NOTED = (
    *columns_where(comparable=("table", "task", "model", "group")),
    *("status", "arm", "match", "baseline"),
    *("concurrent_runs", "device_name", "threads", "torch_version"),
)
"""Columns whose absence is reported."""

MOST_NAMED = 6

TRUTHS = {"true": 1.0, "1": 1.0, "1.0": 1.0, "false": 0.0, "0": 0.0, "0.0": 0.0}


@dataclass(frozen=True)
class Tables:
    """The rows of one or more tables.

    Attributes:
        frame: all rows; text columns are never missing but empty, numbers may be NaN; `table`
            names the file, `line` is the row's number in it, from 1.
        sources: the files, as given.
        notes: what must be known about them.
    """

    frame: pd.DataFrame
    sources: list[str]
    notes: list[str]


def read_tables(paths: Sequence[Path], extra: Sequence[str] = ()) -> Tables:
    """Read tables into one frame that has every documented column but a few.

    Args:
        paths: CSV files, or results folders whose `results.csv` is taken.
        extra: further columns to read, which every table must have.

    Raises:
        UserError: a file is missing, no table, lacks a needed column or has a cell of a wrong type.
    """
    if not paths:
        raise UserError("no table is given")
    files = [path / "results.csv" if path.is_dir() else path for path in paths]
    if len({file.resolve() for file in files}) < len(files):
        raise UserError("a table is given twice")
    frames, notes = [], []
    for path, file in zip(paths, files, strict=True):
        if path.is_dir() and not file.is_file():
            raise UserError(f"{path}: is a folder without a results.csv")
        frame, absent = read_table(file, extra)
        if absent:
            absent.sort(key=lambda text: "?" not in text)
            more = f" and {len(absent) - MOST_NAMED} more" if len(absent) > MOST_NAMED else ""
            notes.append(
                f"{file}: has no column {', '.join(absent[:MOST_NAMED])}{more}; what they would "
                f"say counts as equal in all rows"
            )
        frames.append(frame)
    frame = pd.concat(frames, ignore_index=True) if len(frames) > 1 else frames[0]
    for name in frame.columns:
        if name != "run_id" and (KINDS.get(name, str) is str):
            frame[name] = frame[name].astype("category")
    return Tables(frame, [str(file) for file in files], notes)


def read_table(file: Path, extra: Sequence[str] = ()) -> tuple[pd.DataFrame, list[str]]:
    """Read one table.

    Returns:
        Its rows, and the documented columns it lacks and that a reader would want to know of.

    Raises:
        UserError: see `read_tables`.
    """
    header = header_of(file)
    check_header(file, header, [*NEEDED, *extra])
    if len(first_lines(file)) < 2:
        raise UserError(f"{file}: has a header and no rows")
    wanted = [name for name in (*COLUMNS, *extra) if name not in UNREAD or name in extra]
    present = [name for name in dict.fromkeys(wanted) if name in header]
    frame = parsed(file, present)
    if frame.empty:  # blank lines are none
        raise UserError(f"{file}: has a header and no rows")
    for name in present:
        kind = KINDS.get(name, str)
        if kind is str:
            frame[name] = frame[name].astype("str").fillna("")
        else:
            frame[name] = numbers_of(file, name, frame[name], kind)
    absent = [name for name in COLUMNS if name not in present and name not in UNREAD]
    for name in absent:
        frame[name] = "" if KINDS[name] is str else float("nan")
    frame["table"] = str(file)
    frame["line"] = range(1, len(frame) + 1)
    unknown = [name for name in header if name not in KINDS]
    return frame, [told(name, unknown) for name in absent if name in NOTED]


def parsed(file: Path, names: list[str]) -> pd.DataFrame:
    """Read some columns of a CSV file; Arrow's reader takes no line of more or fewer cells.

    Raises:
        UserError: it is not one.
    """
    import pyarrow as pa
    from pyarrow import csv as arrow

    numbers = {name for name in names if KINDS.get(name, str) in (int, float)}
    wrong: list[Any] = []

    def refuse(row: Any) -> str:
        wrong.append(row)
        return "error"

    try:
        table = arrow.read_csv(
            file,
            arrow.ReadOptions(use_threads=False),
            arrow.ParseOptions(newlines_in_values=True, invalid_row_handler=refuse),
            arrow.ConvertOptions(
                include_columns=names,
                column_types={name: pa.string() for name in names if name not in numbers},
            ),
        )
    except (OSError, ValueError) as error:
        if wrong:
            row = wrong[0]
            line = f" {row.number}" if row.number is not None else ""
            raise UserError(
                f"{file}: line{line} has {row.actual_columns} cells, the header "
                f"{row.expected_columns}: {row.text[:40]}"
            ) from error
        reason = " ".join(str(error).split())
        raise UserError(f"{file}: is no CSV table ({reason[:200]})") from error
    kinds = [
        pa.types.is_integer(field.type) or pa.types.is_floating(field.type)
        for field in table.schema
    ]
    for place, (name, is_number) in enumerate(zip(table.column_names, kinds, strict=True)):
        if not is_number:
            table = table.set_column(place, name, table.column(name).cast(pa.string()))
    return typing.cast(pd.DataFrame, table.to_pandas())


def header_of(file: Path) -> list[str]:
    """Read the names of a table's columns.

    Raises:
        UserError: there is no such file, or it has no header.
    """
    header = next(iter(first_lines(file)), [])
    if not any(name.strip() for name in header):
        raise UserError(f"{file}: is empty")
    return header


def first_lines(file: Path) -> list[list[str]]:
    """Read the header of a CSV file and the line after it, as far as they are there.

    Raises:
        UserError: there is no such file, or it is no text.
    """
    try:
        with file.open("rb") as binary:
            if binary.read(4) == b"PAR1":
                raise UserError(
                    f"{file}: is no CSV table but Parquet; give CSV, which "
                    f"scripts/export.py RESULTS -o FILE.csv writes"
                )
        with file.open(newline="", encoding="utf-8-sig") as opened:
            return list(itertools.islice(csv.reader(opened), 2))
    except FileNotFoundError as error:
        raise UserError(f"{file}: there is no such file") from error
    except OSError as error:
        raise UserError(f"{file}: cannot be read ({error.strerror})") from error
    except (UnicodeDecodeError, csv.Error) as error:
        raise UserError(f"{file}: is no CSV table but something binary") from error


def check_header(file: Path, header: list[str], needed: Sequence[str]) -> None:
    """Refuse a table that lacks a needed column or has one twice.

    Raises:
        UserError: it does.
    """
    for mark, word in ((";", "semicolons"), ("\t", "tabs")):
        if len(header) == 1 and mark in header[0]:
            raise UserError(f"{file}: its columns are separated by {word}; commas are expected")
    lacking = [name for name in dict.fromkeys(needed) if name not in header]
    if lacking:
        documented = set(COLUMNS) if lacking[0] in COLUMNS else set()
        close = nearest_of(lacking[0], [name for name in header if name not in documented])
        hint = f"; the nearest it has is {close}" if close else ""
        more = f" nor {', '.join(lacking[1:])}" if lacking[1:] else ""
        raise UserError(f"{file}: has no column {lacking[0]}{more}{hint}")
    twice = [name for name in (*COLUMNS, *needed) if header.count(name) > 1]
    if twice:
        raise UserError(f"{file}: has the column {twice[0]} twice")


def told(name: str, unknown: list[str]) -> str:
    """Name a column that a table lacks, with the one that may have been meant for it."""
    close = nearest_of(name, unknown, cutoff=0.8)
    return f"{name} (is {close} meant for it?)" if close else name


def nearest_of(name: str, others: list[str], cutoff: float = 0.5) -> str:
    """The most similar of some words, or nothing."""
    close = difflib.get_close_matches(name, others, n=1, cutoff=cutoff)
    return close[0] if close else ""


def numbers_of(file: Path, name: str, cells: pd.Series[Any], kind: type) -> pd.Series[float]:
    """Turn a column's cells into numbers, truths into 1 and 0, empty ones into NaN.

    Raises:
        UserError: a cell holds something else.
    """
    if kind is not bool and name != "seed" and pd.api.types.is_numeric_dtype(cells):
        return cells.astype("float64")
    if kind is bool:
        values = cells.str.lower().map(TRUTHS).astype("float64")
        wrong = values.isna() & (cells != "")
    else:
        values = pd.to_numeric(cells, errors="coerce").astype("float64")
        known = cells.notna() & ~cells.astype("str").str.lower().isin(["", "nan"])
        wrong = values.isna() & known
        if name == "seed":
            wrong |= values.notna() & (values % 1 != 0)
    if wrong.any():
        row = int(wrong.to_numpy().argmax())
        words = "true or false" if kind is bool else "a number"
        raise UserError(
            f"{file}: row {row + 1}, column {name}: {str(cells.iloc[row])[:40]!r} is not "
            f"{'a whole number' if name == 'seed' else words}"
        )
    return values


def folder_of(table: str, run_id: str) -> RunFolder | None:
    """Where a row's run keeps what it left; None where the table does not lie beside its runs."""
    if Path(run_id).name != run_id or run_id in (
        "",
        "..",
    ):  # whoever made the table, it leads nowhere else
        return None
    runs = runs_beside(table)
    if runs is None:
        return None
    folder = RunFolder(runs / run_id)
    return folder if folder.path.is_dir() else None


@lru_cache(maxsize=100)
def runs_beside(table: str) -> Path | None:
    """The folder of runs beside a table; asked for every row, so it remembers."""
    runs = Path(table).parent / "runs"
    return runs if runs.is_dir() else None
