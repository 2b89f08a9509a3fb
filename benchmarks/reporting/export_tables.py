"""Result tables for other programs: typed, as records, or as lm-evaluation-harness has them."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from benchmarks.errors import UserError
from benchmarks.reporting.lm_eval import lm_eval_files
from benchmarks.results.csv_table import as_text
from benchmarks.results.dataframe import records, typed
from benchmarks.system.atomic_files import write_atomically

FORMATS = ("parquet", "csv", "json", "lm-eval")


def export(tables: Sequence[Path], out: Path, format: str | None) -> list[Path]:
    """Write tables in another format; returns the files written.

    Args:
        tables: CSV files, or results folders whose `results.csv` is taken.
        out: the file; for lm-eval a folder, or a file if there is one model.
        format: one of `FORMATS`; None for what the file's name says.

    Raises:
        UserError: a table cannot be used, or the file cannot be written.
    """
    chosen = format or out.suffix.lstrip(".")
    if chosen not in FORMATS:
        raise UserError(
            f"-o {out}: its name says no format; end it in .parquet, .csv or .json, "
            f"or give --format (allowed: {', '.join(FORMATS)})"
        )
    files = [path / "results.csv" if path.is_dir() else path for path in tables]
    if out.resolve() in [file.resolve() for file in files]:
        raise UserError(f"-o {out}: is a table that is read; choose another name")
    contents: dict[Path, Any]
    if chosen == "lm-eval":
        contents = lm_eval_files(tables, out)
    else:
        contents = {out: written(typed(files), chosen)}
    try:
        for path, content in contents.items():
            if chosen == "lm-eval":
                path.parent.mkdir(parents=True, exist_ok=True)
            write_atomically(path, content)
    except OSError as error:
        raise UserError(f"-o {out}: cannot be written ({error.strerror})") from error
    return list(contents)


def written(frame: pd.DataFrame, format: str) -> bytes | str:
    """Write a typed table as a file of a format."""
    if format == "parquet":
        content: bytes = frame.to_parquet(index=False)
        return content
    rows = records(frame)
    if format == "json":
        return json.dumps(rows, indent=1, ensure_ascii=False, allow_nan=False) + "\n"
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(frame.columns)
    writer.writerows([as_text(value) for value in row.values()] for row in rows)
    return text.getvalue()
