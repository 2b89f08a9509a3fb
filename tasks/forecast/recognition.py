"""Recognition of a table with a series to forecast, from its first rows."""

from __future__ import annotations

import itertools
from pathlib import Path
from typing import TYPE_CHECKING

from tasks.base import DataError

if TYPE_CHECKING:
    from tasks.common.tables import Table

HEAD = 200  # rows that are read
LABELS = ("label", "class", "target", "sentiment", "category")
LONG_TEXT = 30.0  # mean characters of a cell, above which a column is a text


def reason(path: Path) -> str:
    """Return why a file is probably a series to forecast; empty if it is not."""
    try:
        table = head_of(path)
        return "" if table is None else reason_of(table)
    # The check decides between kinds of task; the chosen one reports what is wrong with a file.
    except (DataError, OSError, ValueError, ImportError, LookupError):
        return ""


def head_of(path: Path) -> Table | None:
    """Read the first rows of a table; None if the name has another ending."""
    import io

    import pandas as pd

    from tasks.common.tables import ENDINGS, Table, as_text, ending, open_text
    from tasks.forecast.headers import read_lines

    if ending(path) not in ENDINGS or not path.is_file():
        return None
    if ending(path) == ".parquet":
        from pyarrow.parquet import ParquetFile

        with ParquetFile(path) as file:
            batch = next(file.iter_batches(batch_size=HEAD))
        return Table(as_text(batch.to_pandas()), str(path))
    with open_text(path) as file:
        lines = [line.rstrip("\r\n") for line in itertools.islice(file, HEAD)]
    if ending(path) in (".jsonl", ".ndjson"):
        return Table(as_text(pd.read_json(io.StringIO("\n".join(lines)), lines=True)), str(path))
    return read_lines("\n".join(lines), str(path))


def reason_of(table: Table) -> str:
    """Return why rows are a series to forecast; empty if they are not."""
    from tasks.forecast.cells import Place, fold, is_empty, listed
    from tasks.forecast.columns import number_columns, time_column

    axis = time_column(table, None, Place(table.where))
    numbers, texts = number_columns(table, axis)
    if axis.cells is None or not numbers:
        return ""
    times = axis.cells[~is_empty(axis.cells)]
    if not len(times):
        return ""
    # A time that is repeated without a label is a mistake in a forecast's data, which names it.
    columns = [*texts, *numbers] if times.duplicated().any() else texts
    has_label = any(fold(column) in LABELS for column in columns)
    lengths = [table.frame[column].dropna().str.len().mean() for column in texts]
    if has_label or max(lengths, default=0.0) > LONG_TEXT:
        return ""
    return f"a column of times ({axis.name}) and numbers ({listed(numbers)})"
