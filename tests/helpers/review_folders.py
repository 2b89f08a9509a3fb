"""Synthetic IMDB reviews in folders of both formats, and tasks of them."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest

from benchmarks.system.disk_cache import DiskCache
from tasks.base import DataError
from tasks.imdb import ImdbSettings, ImdbTask, tokenise
from tasks.text import imdb_sources

WORDS = ("dull", "grand")  # of synthetic reviews of label 0 and 1
LABEL_NAMES = ("neg", "pos")


def reviews(split: str, count: int = 60) -> pd.DataFrame:
    """Return reviews; the three of a film have consecutive numbers."""
    rows = [
        {
            "id": f"{split}/{LABEL_NAMES[label]}/{n}_{1 + 8 * label}",
            "text": f"{WORDS[label]} film {n} of {split}, naïve<br />",
            "label": label,
            "movie": f"tt{n // 3}",
        }
        for label in (0, 1)
        for n in range(count // 2)
    ]
    return pd.DataFrame(rows)


def write_parquet(folder: Path, *, movie: str = "column") -> Path:
    """Write parquet files; the film is in a `column`, in a `table` of its own, or `nowhere`."""
    frames = {split: reviews(split) for split in ("train", "test")}
    folder.mkdir(parents=True)
    for split, frame in frames.items():
        kept = frame if movie == "column" else frame.drop(columns="movie")
        kept.to_parquet(folder / f"{split}.parquet")
    if movie == "table":
        pd.concat(frames.values())[["id", "movie"]].to_parquet(folder / "movies.parquet")
    return folder


def write_tree(folder: Path, *, urls: bool = True) -> Path:
    """Write the official tree: SPLIT/LABEL/ID_RATING.txt, a film's URL in line ID of urls_LABEL."""
    for split in ("train", "test"):
        for label, rows in reviews(split).groupby("label"):
            name = LABEL_NAMES[int(str(label))]
            part = folder / split / name
            part.mkdir(parents=True)
            for row in rows.itertuples():
                (folder / f"{row.id}.txt").write_text(str(row.text), encoding="utf-8")
            if urls:
                lines = [f"http://www.imdb.com/title/{movie}/usercomments" for movie in rows.movie]
                (folder / split / f"urls_{name}.txt").write_text("\n".join(lines) + "\n")
    return folder


def load(folder: Path, cache: Path) -> ImdbTask:
    task = ImdbSettings(source=str(folder), minimum_count=1).load(DiskCache(cache))
    assert isinstance(task, ImdbTask)
    return task


def refusal(wanted: Path | str) -> str:
    """Return the error of a source, one line."""
    with pytest.raises(DataError) as caught:
        tokenise(imdb_sources.find_source(str(wanted)).read(), 100, 1)
    text = str(caught.value)
    assert len(text.splitlines()) == 1
    return text


def same_content(task: ImdbTask) -> tuple[object, ...]:
    """Return the data that must not depend on the file format."""
    data = task.data
    return (
        data.sha256,
        data.split,
        *(
            (reviews.tokens.tolist(), reviews.offsets.tolist(), reviews.labels.tolist())
            for reviews in task.documents.values()
        ),
    )
