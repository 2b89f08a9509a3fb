"""Result tables as data frames with the documented column types."""

from __future__ import annotations

import logging
import math
import re
import typing
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from benchmarks.errors import UserError
from benchmarks.results.csv_table import repeated_text
from benchmarks.results.reader import (
    header_of,
    numbers_of,
    read_columns,
    seeds_of,
    without_headers,
)
from benchmarks.results.row import COLUMNS, KINDS

logger = logging.getLogger(__name__)

TYPES: dict[type, Any] = {str: "string", int: "Int64", float: "Float64", bool: "boolean"}
INDEX_NAME = re.compile(r"Unnamed: \d+")  # of a table that pandas has read and written


def typed(files: Sequence[Path]) -> pd.DataFrame:
    """Read tables into one frame, unknown columns as text, or raise UserError."""
    frames = [_typed_table(file) for file in files]
    names = dict.fromkeys(name for frame in frames for name in frame.columns)
    order = [*(name for name in COLUMNS if name in names), *(n for n in names if n not in COLUMNS)]
    frame = pd.concat(frames, ignore_index=True).reindex(columns=order)
    frame = frame.astype({name: TYPES[KINDS.get(name, str)] for name in order})
    if "run_id" in order:
        run_ids = frame["run_id"].dropna()
        repeated = run_ids[run_ids.duplicated()]
        if len(repeated):
            raise UserError(
                f"duplicate run_id {repeated.iloc[0]}; scripts/collect.py --out merges folders "
                f"that share runs"
            )
    return frame


def _typed_table(file: Path) -> pd.DataFrame:
    named = header_of(file)
    header = [name for name in named if name and not INDEX_NAME.fullmatch(name)]
    if len(header) < len(named):
        logger.info("%s: the column without a name, an index of pandas, is dropped", file)
    repeated = [name for name in header if header.count(name) > 1]
    if repeated:
        raise UserError(f"{file}: duplicate column {repeated[0]}")
    if not set(header) & set(COLUMNS):
        raise UserError(f"{file}: is not a table of results, none of its columns is documented")
    cells, headers = without_headers(read_columns(file, header))
    if headers:
        logger.warning("%s: %s", file, repeated_text(headers, "row"))
    columns = {}
    for name in header:
        kind, column = KINDS.get(name, str), cells[name]
        if kind is str:
            values = column.mask(column == "")
        elif name == "seed":
            values = seeds_of(file, column)
        else:
            values = numbers_of(file, name, column, kind)
        columns[name] = values.astype(TYPES[kind])
    return pd.DataFrame(columns)


def records(frame: pd.DataFrame) -> list[dict[str, Any]]:
    """Convert a typed table to rows of plain values; empty and non-finite values are None."""
    is_finite = frame.notna() & ~frame.isin([math.inf, -math.inf])
    rows = frame.astype("object").where(is_finite, None).to_dict("records")
    return typing.cast(list[dict[str, Any]], rows)
