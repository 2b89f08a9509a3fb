"""Cells of a table of series: which are empty, and their place in the file."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from tasks.base import DataError

if TYPE_CHECKING:
    import pandas as pd

DASHES = ("-", "--", "\u2013", "\u2014")
WORDS = ("null", "nan", "na", "n/a", "n.a.", "#n/a", "#na", "<na>", "none", "nat")
EMPTY = frozenset(("", ".", "..", "...", "?", *DASHES, *WORDS))


@dataclass(frozen=True)
class Place:
    """The beginning of error messages: the file and, as the index of cells says, the line."""

    where: str
    word: str = "line"  # or row, in a file without lines
    has_settings: bool = True  # task.column, task.time and task.dates

    def error(self, number: Any, text: str) -> DataError:
        """Return an error at a line."""
        return DataError(f"{self.where}: {self.word} {number}: {text}")

    def choose_time(self) -> str:
        """Return what to do if the column of times is not found."""
        return "set task.time=NAME" if self.has_settings else "name the right column date"


def is_empty(cells: pd.Series[Any]) -> pd.Series[bool]:
    """Return which cells contain no value, in any notation."""
    return cells.map(lambda cell: not isinstance(cell, str) or cell.strip().lower() in EMPTY)


def spread(cells: pd.Series[Any], most: int = 500) -> pd.Series[Any]:
    """Return some cells, evenly spread."""
    return cells.iloc[:: max(1, len(cells) // most)]


def first_line(mask: pd.Series[bool]) -> int:
    """Return the line of the first True."""
    return int(mask.index[mask.to_numpy()][0])


def names_of(frame: pd.DataFrame) -> list[str]:
    """Return the names of the columns."""
    return [str(name) for name in frame.columns]


def fold(name: str) -> str:
    """Return the name of a column for comparison: without case, spaces and angle brackets."""
    return name.strip().strip("<>").strip().lower()


def shown(value: Any) -> str:
    """Return a cell on one line, shortened."""
    text = " ".join(str(value).split())
    return text if len(text) <= 60 else text[:57] + "…"


def listed(names: Iterable[Any], most: int = 6) -> str:
    """Return names joined by commas; of many, the first ones and their number."""
    texts = [shown(name) for name in names]
    if len(texts) <= most:
        return ", ".join(texts)
    return f"{', '.join(texts[:most])}, … ({len(texts)} in all)"
