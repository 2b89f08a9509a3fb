"""Small sets of labelled series, and the files that contain them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tasks.base import DataError
from tasks.series.task import SeriesSettings, SeriesTask


@dataclass
class Item:
    """A series (steps, channels) with its label."""

    values: np.ndarray
    label: str
    name: str


def draw(
    count: int = 40, channels: int = 2, classes: Sequence[str] = ("no", "yes"), seed: int = 0
) -> list[Item]:
    """Return series of 3 to 8 steps, whose level depends on the class."""
    random = np.random.default_rng(seed)
    items = []
    for number in range(count):
        place = number % len(classes)
        values = random.normal(place, 1, size=(random.integers(3, 9), channels)).round(3)
        items.append(Item(values, classes[place], f"s{number}"))
    return items


def text(value: float) -> str:
    return "?" if np.isnan(value) else repr(float(value))


def write_ts(path: Path, items: Sequence[Item], **header: str) -> Path:
    """Write a `.ts` file; keywords replace lines of its header."""
    classes = " ".join(sorted({item.label for item in items}))
    lines = {
        "problemName": "Drawn",
        "timeStamps": "false",
        "univariate": "false",
        "equalLength": "false",
        "classLabel": f"true {classes}",
    } | header
    cases = [
        ":".join([*(",".join(map(text, channel)) for channel in item.values.T), item.label])
        for item in items
    ]
    head = [f"@{key} {value}" for key, value in lines.items()]
    path.write_text("\n".join(["# drawn", *head, "@data", *cases]) + "\n")
    return path


def padded(items: Sequence[Item]) -> np.ndarray:
    """Return (items, steps, channels), padded with NaN."""
    steps = max(len(item.values) for item in items)
    x = np.full((len(items), steps, items[0].values.shape[1]), np.nan)
    for row, item in zip(x, items, strict=True):
        row[: len(item.values)] = item.values
    return x


def write_npz(path: Path, items: Sequence[Item], **arrays: Any) -> Path:
    np.savez(path, X=padded(items), y=[item.label for item in items], **arrays)
    return path


def long_rows(items: Iterable[Item]) -> list[list[str]]:
    """Return rows of id, time, values and label."""
    return [
        [item.name, str(step), *("" if np.isnan(v) else repr(float(v)) for v in values), item.label]
        for item in items
        for step, values in enumerate(item.values)
    ]


def write_rows(path: Path, header: Sequence[str], rows: Iterable[Sequence[str]]) -> Path:
    separator = "\t" if path.suffix == ".tsv" else ","
    path.write_text("".join(separator.join(row) + "\n" for row in [header, *rows]))
    return path


def write_long(path: Path, items: Sequence[Item]) -> Path:
    channels = [f"x{i}" for i in range(items[0].values.shape[1])]
    return write_rows(path, ["id", "time", *channels, "label"], long_rows(items))


def write_wide(path: Path, items: Sequence[Item]) -> Path:
    """Write one row per series of one channel; shorter ones end with empty cells."""
    x = padded(items)[:, :, 0]
    rows = [
        [item.label, *("" if np.isnan(value) else repr(float(value)) for value in row)]
        for item, row in zip(items, x, strict=True)
    ]
    return write_rows(path, ["label", *(f"t{i}" for i in range(x.shape[1]))], rows)


def load(path: Path, **settings: Any) -> SeriesTask:
    """Return the task on a file, without a cache."""

    def no_cache(key: str, build: Callable[[], Any]) -> Any:
        return build()

    chosen = SeriesSettings(data=str(path), **settings)
    chosen.check()
    task = chosen.load(no_cache)
    assert isinstance(task, SeriesTask)
    return task


def refusal(path: Path, **settings: Any) -> str:
    """Return the message of data that cannot be used: one line, with the name of the file."""
    with pytest.raises(DataError) as caught:
        load(path, **settings)
    message = str(caught.value)
    assert len(message.splitlines()) == 1
    return message


def said(task: SeriesTask) -> str:
    """Return all notices."""
    return "\n".join(task.data.notices)
