"""Labelled series of one file, and the settings that select its columns."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from tasks.base import DataError

if TYPE_CHECKING:
    import numpy as np

    Floats = np.ndarray[Any, np.dtype[np.float64]]

MISSING = frozenset({"", "?", "nan", "na", "n/a", "null", "none"})  # in lower case


@dataclass(frozen=True)
class Columns:
    """The settings `task.id`, `task.time`, `task.label`, `task.group` and `task.features`."""

    id: str | None = None
    time: str | None = None
    label: str | None = None
    group: str | None = None
    features: tuple[str, ...] | None = None


@dataclass
class Collection:
    """Series of one file, in its order.

    Attributes:
        values: (steps, channels) of each series, NaN where missing.
        labels: of each series; None if the file has none.
        names: of each series: its id, or its number from 1.
        channels: names of the channels.
        groups: of each series, if `task.group` is set.
        notices: what was chosen.
        has_named_channels: other files of the kind are read by the names of the channels.
    """

    values: list[Floats]
    labels: list[str] | None
    names: list[str]
    channels: list[str]
    groups: list[str] | None = None
    notices: tuple[str, ...] = ()
    has_named_channels: bool = False


def parse_numbers(cells: Sequence[str | None]) -> tuple[Floats, int | None]:
    """Return cells as numbers, NaN where missing, and the position of the first wrong cell."""
    import numpy as np

    try:
        values = np.array([cell or "nan" for cell in cells], dtype=np.float64)
    except ValueError:
        values = np.array([parse_number(cell) for cell in cells], dtype=np.float64)
    wrong = np.flatnonzero(np.isinf(values))
    return values, int(wrong[0]) if len(wrong) else None


def parse_number(cell: str | None) -> float:
    """Return a number, NaN if it is missing, or infinity if the cell is not a finite number."""
    text = (cell or "").strip()
    if text.lower() in MISSING:
        return math.nan
    try:
        return float(text)
    except ValueError:
        return math.inf


def shown(cell: str | None) -> str:
    """Return a cell for a message: one short line, without control characters."""
    text = "".join(c if c.isprintable() else " " for c in cell or "").strip()
    return f"'{text[:40]}…'" if len(text) > 40 else f"'{text}'"


def natural_order(labels: Sequence[str]) -> list[str]:
    """Return distinct labels: in the order of numbers if all are numbers, else as text."""
    distinct = sorted(set(labels))
    numbers = {label: parse_number(label) for label in distinct}
    if all(math.isfinite(number) for number in numbers.values()):
        return sorted(distinct, key=lambda label: numbers[label])
    return distinct


def check_values(collection: Collection, where: str) -> None:
    """Raise DataError if there is no series, or one without a value."""
    import numpy as np

    if not collection.values:
        raise DataError(f"{where}: there are no series")
    for name, values in zip(collection.names, collection.values, strict=True):
        if np.isnan(values).all():
            raise DataError(f"{where}: series {name} has no values")
