"""Types and helpers for tests on runs trained for a few steps."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from benchmarks.results.store import Store
from benchmarks.runner.run import RunOptions, run
from benchmarks.system.signals import Interruption
from tests.helpers.composing import composed

RunScript = Callable[..., tuple[int, str, str]]
Train = Callable[..., Path]

QUICK = ("--seconds", 0.001)


def trained_run(store: Store, cache: Path, *words: str) -> Path:
    """Train on one thread of the CPU and return the folder of the run."""
    more = ["train.threads=1", "train.device=cpu"]
    more += [f"cache_dir={cache}", f"results_dir={store.directory}"]
    row = run(composed(*more, *words), store, Interruption(), RunOptions())
    assert row.status == "ok"
    return store.run(row.run_id).path


def refusal_of(
    main: Callable[[list[str]], int], capsys: pytest.CaptureFixture[str], *words: object
) -> str:
    """Run a script that refuses its command line; return the one line that it prints."""
    capsys.readouterr()
    assert main([*map(str, words)]) == 2
    output = capsys.readouterr()
    assert (output.out, output.err.count("\n")) == ("", 1)
    return output.err


def predictions_of(folder: Path, split: str = "test") -> pd.DataFrame:
    """Read the stored predictions of a run."""
    name = {"test": "predictions", "validation": "predictions-validation"}[split]
    return pd.read_parquet(folder / f"{name}.parquet")


def row_of(folder: Path) -> dict[str, Any]:
    row: dict[str, Any] = json.loads((folder / "row.json").read_text())
    return row


def changed(folder: Path, **values: Any) -> Path:
    """Change values in the row of a run."""
    (folder / "row.json").write_text(json.dumps(row_of(folder) | values))
    return folder
