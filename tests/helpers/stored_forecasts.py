"""Arms with stored forecasts, and their comparison."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.analysis.compare import compare
from benchmarks.analysis.comparison import Group
from benchmarks.analysis.selection import Options
from tests.helpers.result_tables import arm, keep_predictions, write

DOWN = {"metric": "rmse", "higher_is_better": "false"}


def group_of(results: Path, *arms: list[dict[str, Any]], **options: Any) -> Group:
    """Compare arms of a table in a results folder."""
    rows = [row for each in arms for row in each]
    write(results / "results.csv", rows)
    (group,) = compare([results], Options(**options)).groups
    return group


def forecasts(results: Path, run_id: str, errors: np.ndarray) -> float:
    """Write the forecasts of a run; return their RMSE."""
    actual = np.full(len(errors), 100.0)
    keep_predictions(results, run_id, {"actual": actual, "predicted": actual + errors})
    return float(np.sqrt((errors**2).mean()))


def arm_of(model: str, scores: list[float], **more: Any) -> list[dict[str, Any]]:
    """Return rows of an arm whose run ids are the model and the seed."""
    return [row | {"run_id": f"{model}{row['seed']}"} for row in arm(model, scores, **more)]
