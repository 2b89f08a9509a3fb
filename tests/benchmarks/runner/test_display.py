"""The table of a finished run."""

from __future__ import annotations

import pytest

import tasks
from benchmarks.config.registry import definitions
from benchmarks.results.row import Row
from benchmarks.runner.display import show_row
from tasks.base import Metric, TaskSettings

METRICS = {
    "volatility_rmse": Metric("volatility_rmse", "percent", False, 0.0),
    **{s().metric.name: s().metric for s in definitions(tasks, TaskSettings).values()},
}


@pytest.mark.parametrize("metric", METRICS.values(), ids=METRICS)
def test_a_run_shows_the_metric_of_its_task(
    metric: Metric, capsys: pytest.CaptureFixture[str]
) -> None:
    row = Row("run", "ok", model="lstm", task="t", test_score=0.125, **{metric.name: 0.125})
    show_row(row, metric, "runs/run")
    lines = capsys.readouterr().out.splitlines()
    (shown,) = [line for line in lines if f" {metric.name} " in line and "0.125" in line]
    assert metric.unit.split()[0] in shown
