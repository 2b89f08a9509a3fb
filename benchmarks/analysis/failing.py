"""Arms of which a table has nothing but runs that failed."""

from __future__ import annotations

from collections.abc import Hashable, Iterator

import numpy as np
import pandas as pd

from benchmarks.analysis.labels import text
from benchmarks.analysis.row_filter import SETTINGS, normal_match, said_or
from benchmarks.results.row import Status

FAILURES = [status.value for status in Status if status.is_failure]

Key = tuple[Hashable, ...]


def failed_rows(frame: pd.DataFrame) -> pd.DataFrame:
    """Choose the rows of runs that failed, or ended without a score; smoke tests say nothing."""
    status = frame["status"].astype("str")
    scoreless = status.isin(["", Status.OK]) & ~np.isfinite(frame["test_score"].to_numpy())
    rows: pd.DataFrame = frame[(status.isin(FAILURES) | scoreless) & (frame["smoke"] != 1)]
    return rows.assign(match=normal_match(rows), precision=said_or(rows, "precision", "highest"))


def have_failed(rows: pd.DataFrame, failed: pd.DataFrame) -> list[bool]:
    """Say of each row whether a run of its arm is among those that failed.

    By the column `arm`; by the settings where either does not say it.
    """
    seen = {key for keys in keys_of(failed) for key in keys if key}
    hashed = {settings for arm, settings in keys_of(failed) if arm}
    return [
        arm in seen if arm and settings in hashed else bool({arm, settings} & seen)
        for arm, settings in keys_of(rows)
    ]


def keys_of(rows: pd.DataFrame) -> Iterator[tuple[Key, Key]]:
    """Give each row's identity by the column `arm`, empty without it, and by its settings."""
    columns = ["task", "arm", "model", *SETTINGS]
    for task, arm, *settings in zip(*(rows[name].tolist() for name in columns), strict=True):
        yield (task, arm) if arm else (), (task, *map(text, settings))
