"""Reviews that the performance programs read in place of the downloaded ones."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest


@pytest.fixture(scope="session")
def reviews(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with a few reviews of different lengths."""
    folder = tmp_path_factory.mktemp("reviews")
    for split, count in (("train", 60), ("test", 10)):
        texts = [f"film {i} " + "good bad fine poor " * (1 + i % 7) for i in range(count)]
        frame = pd.DataFrame({"text": texts, "label": [i % 2 for i in range(count)]})
        frame.to_parquet(folder / f"{split}.parquet")
    return folder
