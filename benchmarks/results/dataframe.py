"""Result tables as frames whose columns have their documented types."""

from __future__ import annotations

import csv
import math
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from benchmarks.errors import UserError
from benchmarks.results.reader import header_of, numbers_of
from benchmarks.results.row import COLUMNS, KINDS

TYPES: dict[type, Any] = {str: "string", int: "Int64", float: "Float64", bool: "boolean"}
"""pandas' types that know an empty cell from a number."""


def typed(files: Sequence[Path]) -> pd.DataFrame:
    """Read tables as one, each column of its documented type and unknown ones as text.

    Raises:
        UserError: a file is missing or no table, a cell is of a wrong type, or a run is there
            twice.
    """
    frames = [typed_table(file) for file in files]
    names = dict.fromkeys(name for frame in frames for name in frame.columns)
    order = [*(name for name in COLUMNS if name in names), *(n for n in names if n not in COLUMNS)]
    frame = pd.concat(frames, ignore_index=True).reindex(columns=order)
    frame = frame.astype({name: TYPES[KINDS.get(name, str)] for name in order})
    if "run_id" in order:
        twice = frame["run_id"].dropna()
        twice = twice[twice.duplicated()]
        if len(twice):
            raise UserError(
                f"{twice.iloc[0]}: is there twice; scripts/collect.py --out makes one table of "
                f"folders that share runs"
            )
    return frame


def typed_table(file: Path) -> pd.DataFrame:
    """Read one table.

    Raises:
        UserError: see `typed`.
    """
    header = header_of(file)
    twice = [name for name in header if header.count(name) > 1]
    if twice:
        raise UserError(f"{file}: has the column {twice[0]} twice")
    if not set(header) & set(COLUMNS):
        raise UserError(f"{file}: is no table of results, none of its columns is documented")
    try:
        with warnings.catch_warnings():
            # A first row with more cells than the header would else be cut, or be taken for one
            # with a name.
            warnings.simplefilter("error", pd.errors.ParserWarning)
            cells = pd.read_csv(
                file, dtype="str", keep_default_na=False, index_col=False, encoding="utf-8-sig"
            )
    except (ValueError, csv.Error, pd.errors.ParserWarning) as error:
        raise UserError(f"{file}: is no CSV table ({' '.join(str(error).split())})") from error
    columns = {}
    for name in header:
        kind, column = KINDS.get(name, str), cells[name]
        if kind in (int, float):
            column = column.where(column != "")
        values = column.where(column != "") if kind is str else numbers_of(file, name, column, kind)
        columns[name] = values.astype(TYPES[kind])
    return pd.DataFrame(columns)


def records(frame: pd.DataFrame) -> list[dict[str, Any]]:
    """Turn a typed table into plain rows; what is empty, or no finite number, is None."""
    columns = {}
    for name in frame.columns:
        column = frame[name].astype("object")
        columns[name] = [None if pd.isna(value) else plain(value) for value in column]
    return [dict(zip(columns, row, strict=True)) for row in zip(*columns.values(), strict=True)]


def plain(value: Any) -> Any:
    """Turn numpy's numbers into Python's; those that are not finite into None."""
    value = value.item() if isinstance(value, np.generic) else value
    return None if isinstance(value, float) and not math.isfinite(value) else value
