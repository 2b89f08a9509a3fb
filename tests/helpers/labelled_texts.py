"""Labelled texts for tests: the example data, and files of it in all formats."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from benchmarks.system.disk_cache import DiskCache
from tasks.base import DataError, Split
from tasks.text.task import TextSettings, TextTask
from tests.helpers.definitions import EXAMPLES

EXAMPLE = pd.read_csv(EXAMPLES["text"])
"""First sentences of the documentation of three packages, 40 of each."""


def load(data: Path, **settings: Any) -> TextTask:
    """Load a task without a cache of earlier tests."""
    given = {key: str(each) if isinstance(each, Path) else each for key, each in settings.items()}
    loaded = TextSettings(data=str(data), **given)
    loaded.check()
    task = loaded.load(DiskCache(data.parent / ".cache"))
    assert isinstance(task, TextTask)
    return task


def refusal(data: Path | str, **settings: Any) -> str:
    """Return the error of a task, one line."""
    with pytest.raises((DataError, ValueError)) as caught:
        load(Path(data), **settings)
    text = str(caught.value)
    assert len(text.splitlines()) == 1
    return text


def write(file: Path, frame: pd.DataFrame) -> Path:
    """Write a table in the format of its name."""
    file.parent.mkdir(parents=True, exist_ok=True)
    if file.suffix == ".parquet":
        frame.to_parquet(file)
    elif file.suffix == ".jsonl":
        lines = (json.dumps(row, ensure_ascii=False) for row in frame.to_dict("records"))
        file.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")
    else:
        frame.to_csv(file, index=False, sep="\t" if file.suffix == ".tsv" else ",")
    return file


def write_folders(folder: Path, frame: pd.DataFrame) -> Path:
    """Write a folder of .txt files per class."""
    for number, row in enumerate(frame.itertuples()):
        file = folder / str(row.label) / f"{number}.txt"
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(str(row.text), encoding="utf-8")
    return folder


def documents(task: TextTask, split: Split) -> list[tuple[str, str]]:
    """Return text and class of all documents of a split."""
    labels = task.documents[split].labels.tolist()
    names = [task.classes[label] for label in labels]
    return list(zip(task.texts[split].read(), names, strict=True))
