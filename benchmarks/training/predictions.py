"""Predictions for each item of the test split, for comparing runs item by item."""

from __future__ import annotations

import io
from pathlib import Path

import torch
from torch import Tensor

from benchmarks.system.atomic_files import write_atomically


class Predictions:
    """Collect columns of predictions from the batches of an evaluation."""

    def __init__(self) -> None:
        self._items: list[Tensor] = []
        self._columns: list[dict[str, Tensor]] = []

    def add(self, items: Tensor, columns: dict[str, Tensor]) -> None:
        """Add a batch: items (count,) or (batch, time), columns (count,) in the same order."""
        self._items.append(items.flatten())
        self._columns.append(columns)

    def in_order(self) -> tuple[Tensor, dict[str, Tensor]]:
        """Return item numbers, ascending, and the columns, all on the CPU."""
        items = torch.cat(self._items).cpu()
        order = items.argsort()
        columns = {
            name: torch.cat([batch[name].detach() for batch in self._columns]).cpu()[order]
            for name in self._columns[0]
        }
        return items[order], columns


def write_predictions(
    path: Path, items: Tensor, columns: dict[str, Tensor], names: dict[str, list[str]]
) -> None:
    """Write predictions and targets as compressed Parquet, one line per item.

    `items` are numbers within the split; `names` are further columns for all items of the split.
    """
    import pyarrow as pa
    from pyarrow import parquet

    numbers = items.numpy()
    table = {"item": pa.array(numbers, pa.int32())}
    table |= {name: pa.array(all_names).take(numbers) for name, all_names in names.items()}
    table |= {name: pa.array(column.numpy()) for name, column in columns.items()}
    file = io.BytesIO()
    parquet.write_table(pa.table(table), file, compression="zstd")
    write_atomically(path, file.getvalue())
