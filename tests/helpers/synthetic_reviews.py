"""Synthetic IMDB reviews with films and repeated texts, and the contents of batches."""

from __future__ import annotations

import numpy as np
import pandas as pd

from tasks import imdb
from tasks.base import Batch, Split

SPLITS: tuple[Split, ...] = ("train", "validation", "test")
Frames = dict[str, pd.DataFrame]
Review = tuple[tuple[int, ...], int]


def reviews(count: int, seed: int) -> pd.DataFrame:
    """Return reviews of 1 to 40 words; a film has a few reviews, one review in five no film."""
    draw = np.random.default_rng(seed)
    texts = [
        " ".join(f"w{i}" for i in draw.integers(0, 300, size=draw.integers(1, 41)))
        for _ in range(count)
    ]
    films = np.array([f"film{i}" for i in draw.integers(0, count // 3, size=count)], dtype=object)
    films[draw.random(count) < 0.2] = None
    return pd.DataFrame({"text": texts, "label": np.arange(count) % 2, "movie": films})


def repeat_texts(frame: pd.DataFrame, seed: int) -> pd.DataFrame:
    """Replace the text of one review in four by that of another one."""
    draw = np.random.default_rng(seed)
    copies = draw.integers(0, len(frame), size=len(frame))
    copied = draw.random(len(frame)) < 0.25
    texts = np.where(copied, frame["text"].to_numpy()[copies], frame["text"])
    return frame.assign(text=texts)


def batches(
    task: imdb.ImdbTask, split: Split, batch_size: int, seed: int | None = None
) -> list[Batch]:
    order = None if seed is None else np.random.default_rng(seed)
    return list(task.batches(split, batch_size, order))


def contents(batch: Batch) -> list[Review]:
    assert batch.lengths is not None
    return [
        (tuple(row[:length].tolist()), int(label))
        for row, length, label in zip(batch.inputs, batch.lengths, batch.targets, strict=True)
    ]
