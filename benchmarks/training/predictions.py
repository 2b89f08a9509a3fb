"""Predictions for each item of the test split, for comparing runs item by item."""

from __future__ import annotations

import io
import json
from collections.abc import Sequence
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
    path: Path,
    items: Tensor,
    columns: dict[str, Tensor],
    names: dict[str, list[str]],
    classes: Sequence[str] = (),
) -> None:
    """Write predictions and targets as compressed Parquet, one line per item.

    Args:
        path: of the file.
        items: numbers within the split.
        columns: of the predictions, one entry per item.
        names: further columns, for all items of the split.
        classes: names of the labels, stored in the metadata of the file.

    Raises:
        TypeError: the predictions of a forecast are whole numbers, such as those of classes.
    """
    import pyarrow as pa
    from pyarrow import parquet

    if "actual" in columns and not columns["actual"].is_floating_point():
        raise TypeError(
            "predictions: `actual` and `predicted` are real numbers; the columns of classes are "
            "`label` and `predicted_label`"
        )
    numbers = items.numpy()
    table = {"item": pa.array(numbers, pa.int32())}
    table |= {name: pa.array(all_names).take(numbers) for name, all_names in names.items()}
    table |= {name: pa.array(column.numpy()) for name, column in columns.items()}
    file = io.BytesIO()
    metadata = {"classes": json.dumps(classes)} if classes else None
    parquet.write_table(pa.table(table, metadata=metadata), file, compression="zstd")
    write_atomically(path, file.getvalue())
