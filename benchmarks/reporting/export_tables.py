"""Result tables as files for other programs: Parquet, CSV and JSON, with typed columns."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import pandas as pd

from benchmarks.errors import UserError
from benchmarks.results.csv_cells import csv_text
from benchmarks.results.dataframe import records, typed
from benchmarks.system.atomic_files import write_atomically
from benchmarks.system.output_file import check_output, writing

FORMATS = ("parquet", "csv", "json")


def export(tables: Sequence[Path], out: Path, format: str | None) -> None:
    """Write CSV files or results folders as one file; a format of None follows from its name."""
    chosen = format or out.suffix.lstrip(".")
    if chosen not in FORMATS:
        raise UserError(
            f"-o {out}: cannot infer the format from the file name; use .parquet, .csv or .json, "
            f"or give --format (allowed: {', '.join(FORMATS)})"
        )
    files = [path / "results.csv" if path.is_dir() else path for path in tables]
    if out.resolve() in [file.resolve() for file in files]:
        raise UserError(f"-o {out}: is one of the tables to read; choose another name")
    check_output("-o", out)
    content = encoded(typed(files), chosen)
    with writing("-o", out):
        write_atomically(out, content)


def encoded(frame: pd.DataFrame, format: str) -> bytes | str:
    """Return a typed table in a file format."""
    if format == "parquet":
        content: bytes = frame.to_parquet(index=False)
        return content
    rows = records(frame)
    if format == "json":
        return json.dumps(rows, indent=1, ensure_ascii=False, allow_nan=False) + "\n"
    return csv_text([frame.columns, *(row.values() for row in rows)])
