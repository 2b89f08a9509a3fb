"""Read result tables: any CSV file with the documented columns."""

from __future__ import annotations

import csv
import difflib
import itertools
import typing
from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal, InvalidOperation
from pathlib import Path
from typing import Any

import pandas as pd

from benchmarks.errors import UserError, nearest
from benchmarks.results.csv_cells import FORMULA, other_separator, unescaped_line
from benchmarks.results.csv_table import repeated_text
from benchmarks.results.row import COLUMNS, KINDS, columns_where
from benchmarks.results.run_folder import RunFolder

NEEDED = ("task", "model", "seed", "metric", "higher_is_better", "test_score")
UNREAD = ("error", "other_metrics", "started_at", "git_commit", "git_dirty")  # to save memory
NOTED = (  # columns whose absence is reported; without `track` all rows are static
    *({*columns_where(comparable=("table", "task", "model", "group"))} - {"track"}),
    *("status", "arm", "match", "baseline"),
    *("concurrent_runs", "device_name", "threads", "torch_version"),
)
MOST_NAMED = 6
TRUTHS = {"true": 1.0, "1": 1.0, "1.0": 1.0, "false": 0.0, "0": 0.0, "0.0": 0.0}


@dataclass(frozen=True)
class Tables:
    """The rows of one or more tables, the files as given, and remarks on missing columns.

    Missing text is empty, missing numbers are NaN. The columns `table` and `line` locate a row.
    """

    frame: pd.DataFrame
    sources: list[str]
    notes: list[str]


def read_tables(paths: Sequence[Path], extra: Sequence[str] = ()) -> Tables:
    """Read the documented columns except `UNREAD` into one frame, or raise UserError."""
    if not paths:
        raise UserError("no table is given")
    files = [path / "results.csv" if path.is_dir() else path for path in paths]
    if len({file.resolve() for file in files}) < len(files):
        raise UserError("a table is given twice")
    frames, notes = [], []
    for path, file in zip(paths, files, strict=True):
        if path.is_dir() and not file.is_file():
            raise UserError(f"{path}: is a folder without a results.csv")
        frame, absent, repeated = read_table(file, extra)
        notes += [f"{file}: {repeated_text(repeated, 'row')}"] if repeated else []
        if absent:
            absent.sort(key=lambda text: "?" not in text)
            more = f" and {len(absent) - MOST_NAMED} more" if len(absent) > MOST_NAMED else ""
            notes.append(
                f"{file}: has no column {', '.join(absent[:MOST_NAMED])}{more}; missing values "
                f"count as equal in all rows"
            )
        frames.append(frame)
    frame = pd.concat(frames, ignore_index=True) if len(frames) > 1 else frames[0]
    for name in frame.columns:
        if name != "run_id" and (KINDS.get(name, str) is str):
            frame[name] = frame[name].astype("category")
    return Tables(frame, [str(file) for file in files], notes)


def read_table(file: Path, extra: Sequence[str] = ()) -> tuple[pd.DataFrame, list[str], list[int]]:
    """Return the rows of one table, the missing columns to report, and repeated headers."""
    header = header_of(file)
    check_header(file, header, [*NEEDED, *extra])
    wanted = [name for name in (*COLUMNS, *extra) if name not in UNREAD or name in extra]
    present = [name for name in dict.fromkeys(wanted) if name in header]
    frame = read_columns(file, present) if len(first_lines(file)) > 1 else pd.DataFrame()
    frame, repeated = without_headers(frame)
    if frame.empty:  # blank lines are no rows
        raise UserError(f"{file}: has a header and no rows")
    for name in present:
        kind = KINDS.get(name, str)
        if kind is str:
            frame[name] = frame[name].astype("str").fillna("")
        elif name == "seed":
            frame[name] = seeds_of(file, frame[name])
        else:
            frame[name] = numbers_of(file, name, frame[name], kind)
    absent = [name for name in COLUMNS if name not in present and name not in UNREAD]
    for name in absent:
        frame[name] = "" if KINDS[name] is str else float("nan")
    frame["table"] = str(file)
    frame["line"] = frame.index + 1
    frame = frame.reset_index(drop=True)
    unknown = [name for name in header if name not in KINDS]
    missing = []
    for name in (name for name in absent if name in NOTED):
        close = most_similar(name, unknown, cutoff=0.8)
        missing.append(f"{name} (is {close} meant for it?)" if close else name)
    return frame, missing, repeated


def read_columns(file: Path, names: list[str]) -> pd.DataFrame:
    """Read columns of a CSV file, as text or numbers; all lines must have the same length."""
    import pyarrow as pa
    import pyarrow.compute as pc
    from pyarrow import csv as arrow

    # A seed as a floating-point number would lose digits beyond 2**53.
    numeric = {n for n in names if KINDS.get(n, str) in (int, float) and n != "seed"}
    written = dict(zip(header_of(file), first_lines(file)[0], strict=True))
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
                include_columns=[written[name] for name in names],
                column_types={written[n]: pa.string() for n in names if n not in numeric},
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
        raise UserError(f"{file}: is not a CSV table ({reason[:200]})") from error
    for place, column in enumerate(table.schema):
        if not (pa.types.is_integer(column.type) or pa.types.is_floating(column.type)):
            text = table.column(place).cast(pa.string())
            if pc.any(pc.starts_with(text, "'")).as_py():
                text = pc.replace_substring_regex(text, f"^'({FORMULA})", r"\1")
            table = table.set_column(place, column.name, text)
    return typing.cast(pd.DataFrame, table.rename_columns(names).to_pandas())


def without_headers(frame: pd.DataFrame) -> tuple[pd.DataFrame, list[int]]:
    """Return a frame of `read_columns` without rows that repeat the header, and their numbers."""
    if frame.empty or any(map(pd.api.types.is_numeric_dtype, frame.dtypes)):
        return frame, []
    is_header = (frame == list(frame.columns)).all(axis="columns").to_numpy()
    return frame[~is_header], [int(place) + 1 for place in is_header.nonzero()[0]]


def header_of(file: Path) -> list[str]:
    """Read the column names of a table."""
    header = unescaped_line(next(iter(first_lines(file)), []))
    if not any(name.strip() for name in header):
        raise UserError(f"{file}: is empty")
    return header


def first_lines(file: Path) -> list[list[str]]:
    """Read the header of a CSV file and the line after it."""
    if str(file) != str(file).encode(errors="replace").decode():  # pandas and pyarrow need UTF-8
        raise UserError(f"{file}: its path is not UTF-8; rename the folder, or set PYTHONUTF8=1")
    try:
        with file.open("rb") as binary:
            if binary.read(4) == b"PAR1":
                raise UserError(
                    f"{file}: is not a CSV table but Parquet; convert it with "
                    f"scripts/export.py RESULTS -o FILE.csv"
                )
        with file.open(newline="", encoding="utf-8-sig") as opened:
            return list(itertools.islice(csv.reader(opened), 2))
    except FileNotFoundError as error:
        beside = file.parent.iterdir() if file.parent.is_dir() else ()
        hint = nearest(file.name, [path.name for path in beside])
        raise UserError(f"{file}: there is no such file{hint}") from error
    except OSError as error:
        raise UserError(f"{file}: cannot be read ({error.strerror})") from error
    except (UnicodeDecodeError, csv.Error) as error:
        with file.open("rb") as binary:
            is_text = b"\0" not in binary.read(1000)
        kind = "text that is not UTF-8; save it as UTF-8" if is_text else "binary"
        raise UserError(f"{file}: is not a CSV table but {kind}") from error


def check_header(file: Path, header: list[str], needed: Sequence[str]) -> None:
    """Raise a `UserError` if a required column is missing or a column repeats."""
    if name := other_separator(header):
        hint = "; save it as CSV with commas"
        if (file.parent / "runs").is_dir():
            hint = f"; scripts/collect.py {file.parent} rebuilds it from the runs"
        raise UserError(f"{file}: its columns are separated by {name}; commas are expected{hint}")
    missing = [name for name in dict.fromkeys(needed) if name not in header]
    if missing:
        documented = set(COLUMNS) if missing[0] in COLUMNS else set()
        close = most_similar(missing[0], [name for name in header if name not in documented])
        hint = f"; the nearest it has is {close}" if close else ""
        more = f" nor {', '.join(missing[1:])}" if missing[1:] else ""
        raise UserError(f"{file}: has no column {missing[0]}{more}{hint}")
    repeated = [name for name in (*COLUMNS, *needed) if header.count(name) > 1]
    if repeated:
        raise UserError(f"{file}: duplicate column {repeated[0]}")


def most_similar(name: str, others: list[str], cutoff: float = 0.5) -> str:
    """Return the most similar of several names, or an empty string."""
    return next(iter(difflib.get_close_matches(name, others, n=1, cutoff=cutoff)), "")


def numbers_of(file: Path, name: str, cells: pd.Series[Any], kind: type) -> pd.Series[float]:
    """Convert the cells of a column to numbers: booleans to 1 and 0, empty cells to NaN."""
    if kind is not bool and pd.api.types.is_numeric_dtype(cells):
        return cells.astype("float64")
    if kind is bool:
        values = cells.str.lower().map(TRUTHS).astype("float64")
        wrong = values.isna() & (cells != "")
    else:
        values = pd.to_numeric(cells, errors="coerce").astype("float64")
        filled = cells.notna() & ~cells.astype("str").str.lower().isin(["", "nan"])
        wrong = values.isna() & filled
    if wrong.any():
        row = int(wrong.to_numpy().argmax())
        raise wrong_cell(file, name, row, cells, "true or false" if kind is bool else "a number")
    return values


def seeds_of(file: Path, cells: pd.Series[Any]) -> pd.Series[Any]:
    """Convert cells of text to exact integers of the type Int64; empty cells are missing."""
    texts = [text.strip() for text in cells]
    numbers = {text: whole_number(text) for text in {*texts} if text.lower() not in ("", "nan")}
    for row, text in enumerate(texts):
        if numbers.get(text, 0) is None:
            raise wrong_cell(file, "seed", row, cells, "a whole number of at most 64 bits")
    return pd.Series(pd.array([numbers.get(text) for text in texts], dtype="Int64"), cells.index)


def whole_number(text: str) -> int | None:
    """Return the integer that a text such as 3, 3.0 or 1e3 stands for, or None."""
    try:
        value = Decimal(text)
        is_whole = -(2**63) <= value < 2**63 and value % 1 == 0
    except InvalidOperation:  # not a number, or not a finite one
        return None
    return int(value) if is_whole else None


def wrong_cell(file: Path, name: str, row: int, cells: pd.Series[Any], expected: str) -> UserError:
    """Return the error of a cell that cannot be converted."""
    cell = str(cells.iloc[row])[:40]
    return UserError(f"{file}: row {row + 1}, column {name}: {cell!r} is not {expected}")


def folder_of(table: str, run_id: str) -> RunFolder | None:
    """Return the folder of a row's run; None if there is none beside the table."""
    # A table from elsewhere must not lead to other folders.
    if Path(run_id).name != run_id or run_id in ("", ".."):
        return None
    folder = RunFolder(Path(table).parent / "runs" / run_id)
    return folder if folder.path.is_dir() else None
