"""A model's results in the shape that lm-evaluation-harness writes, for whoever reads those files.

The comparison decides what an arm is and which rows count. Standard errors are over seeds, those of
the harness over items.
"""

from __future__ import annotations

import contextlib
import json
import math
import re
import time
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pandas as pd

from benchmarks.analysis import Arm, Group, Options, compare
from benchmarks.analysis.row_filter import SETTINGS
from benchmarks.errors import UserError
from benchmarks.results.csv_table import as_text
from benchmarks.results.dataframe import plain, typed_table
from benchmarks.runner.display import SECTIONS

NO_METRIC = {
    *("val_score", "test_score", "other_metrics"),
    *("rmse_naive", "volatility_rmse_naive", "direction_base_rate"),
}
"""Columns of scores that are no test metric of the model."""

UNSAFE = re.compile(r'["<>:/|\\?*\[\]\s=]+')
"""What the harness takes out of a model's name to make a folder of it, and what shells dislike."""


def lm_eval_files(tables: Sequence[Path], out: Path) -> dict[Path, str]:
    """Write each model's results as lm-evaluation-harness does: MODEL/results_DATE.json.

    Raises:
        UserError: a table cannot be used, or several models are to go into one file.
    """
    comparison = compare(tables, Options(items=False))
    whole = {file: typed_table(Path(file)) for file in comparison.sources}
    models: dict[str, dict[str, Result]] = {}
    tasks: set[str] = set()
    for group in comparison.groups:
        # Of a task's groups that are not comparable, the first is the largest.
        key = group.title if group.task in tasks else group.task
        tasks.add(group.task)
        for arm in group.arms:
            models.setdefault(arm.label, {})[key] = Result(group, arm, rows_of(arm, whole))
    if not models:
        raise UserError(f"{', '.join(comparison.sources)}: has no row that counts")
    contents = {model: lm_eval_results(model, found) for model, found in models.items()}
    if out.suffix == ".json":
        if len(models) > 1:
            raise UserError(
                f"-o {out}: a file of lm-eval holds one model, these are {len(models)} "
                f"({', '.join(sorted(models))}); give a folder"
            )
        (content,) = contents.values()
        return {out: as_json(content)}
    return {
        out / folder_name(model) / f"results_{moment(content['date'])}.json": as_json(content)
        for model, content in contents.items()
    }


def folder_name(model: str) -> str:
    """Make a folder's name of a model's, which may come from anybody's table."""
    return UNSAFE.sub("_", model).lstrip(".") or "_"


@dataclass(frozen=True)
class Result:
    """An arm's part in a group, and its rows with all their columns."""

    group: Group
    arm: Arm
    rows: pd.DataFrame


def rows_of(arm: Arm, whole: dict[str, pd.DataFrame]) -> pd.DataFrame:
    """Find an arm's rows in the tables they came from."""
    places = zip(arm.rows["table"].astype("str"), arm.rows["line"], strict=True)
    return pd.concat([whole[table].iloc[[line - 1]] for table, line in places])


def as_json(content: dict[str, Any]) -> str:
    """Write JSON as the harness does."""
    return json.dumps(content, indent=2, ensure_ascii=False, allow_nan=False) + "\n"


def moment(date: float) -> str:
    """Write a time as the harness does in the names of its files."""
    return datetime.fromtimestamp(date, UTC).strftime("%Y-%m-%dT%H-%M-%S.%f")


def lm_eval_results(model: str, found: dict[str, Result]) -> dict[str, Any]:
    """Give a model's results by task the keys that the harness's own have."""
    rows = pd.concat([result.rows for result in found.values()])
    sizes = {key: only(result.rows, "test_size") for key, result in found.items()}
    return {
        "results": {key: {"alias": key} | metrics_of(result) for key, result in found.items()},
        "group_subtasks": {key: [] for key in found},
        "configs": {key: task_config(key, result) for key, result in found.items()},
        "versions": {key: only(result.rows, "task_version") for key, result in found.items()},
        "n-shot": dict.fromkeys(found, 0),
        "higher_is_better": {
            key: {result.group.metric: result.group.higher_is_better}
            for key, result in found.items()
        },
        "n-samples": {key: {"original": size, "effective": size} for key, size in sizes.items()},
        "config": {
            "model": model,
            "model_args": ",".join(
                f"{name}={as_text(only(rows, name))}"
                for name in SETTINGS
                if only(rows, name) is not None
            ),
            "model_num_parameters": only(rows, "parameters"),
            "batch_size": only(rows, "batch_size"),
            "batch_sizes": [],
            "device": only(rows, "device"),
            "limit": None,
            "stderr_over": "seeds",
        },
        "git_hash": only(rows, "git_commit"),
        "date": latest(rows),
        "model_name": model,
    }


def metrics_of(result: Result) -> dict[str, Any]:
    """Mean and standard error over seeds of every test metric that an arm has.

    `none` stands where the harness names what it filtered an answer by.
    """
    rows = result.rows.assign(**{result.group.metric: result.arm.rows["score"].to_numpy()})
    metrics: dict[str, Any] = {}
    for name in dict.fromkeys((result.group.metric, *SECTIONS["score"])):
        if name in rows and name not in NO_METRIC and rows[name].notna().any():
            values = rows[name].dropna().to_numpy(dtype="float64")
            error = float(values.std(ddof=1)) / math.sqrt(len(values)) if len(values) > 1 else None
            metrics[f"{name},none"] = float(values.mean())
            metrics[f"{name}_stderr,none"] = "N/A" if error is None else error
    return metrics


def task_config(key: str, result: Result) -> dict[str, Any]:
    """Describe a task as the harness's configurations do, and what the arm was on it."""
    group, rows = result.group, result.rows
    return {
        "task": key,
        "dataset_path": group.dataset,
        "test_split": "test",
        "num_fewshot": 0,
        "metric_list": [{"metric": group.metric, "higher_is_better": group.higher_is_better}],
        "metadata": {
            "version": only(rows, "task_version"),
            "dataset_sha256": only(rows, "dataset_sha256"),
            "split": group.split,
            "seeds": [int(seed) for seed in rows["seed"].dropna()],
        },
    }


def only(rows: pd.DataFrame, name: str) -> Any:
    """The value that all rows have in a column; None if they differ or have none."""
    values: Any = rows[name].dropna().unique() if name in rows else []
    return plain(values[0]) if len(values) == 1 else None


def latest(rows: pd.DataFrame) -> float:
    """When the last of some runs started, in seconds since 1970; now, if nobody knows."""
    with contextlib.suppress(KeyError, ValueError):
        return datetime.fromisoformat(rows["started_at"].dropna().max()).timestamp()
    return time.time()
