"""The table of a finished run."""

from __future__ import annotations

import pytest

import tasks
from benchmarks.config.registry import definitions
from benchmarks.results.row import Row
from benchmarks.runner import display
from benchmarks.runner.display import TrainingDisplay, readable, show_row, show_start, step_bar
from benchmarks.system.environment import Environment
from tasks.base import Metric, TaskSettings

METRICS = {
    "volatility_rmse": Metric("volatility_rmse", "percent", False, 0.0),
    **{
        s().primary_metric.name: s().primary_metric
        for s in definitions(tasks, TaskSettings).values()
    },
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


def test_the_unit_of_the_metric_is_not_that_of_other_shares(
    capsys: pytest.CaptureFixture[str],
) -> None:
    metric = Metric("accuracy", "share of reviews", True, 1.0)
    row = Row("run", "ok", task="t", accuracy=0.5, auroc=0.5, model_flops_utilisation=0.5)
    show_row(row, metric, "runs/run")
    lines = capsys.readouterr().out.splitlines()
    units = [line.split("│")[-2].strip() for line in lines if " 0.5 " in line]
    assert units == ["share of reviews", "share", "share"]


@pytest.mark.parametrize(
    ("value", "text"),
    [(1e160, "1.000e+160"), (-1e12, "-1.000e+12"), (123456.7, "123,456.7"), (1e-9, "1e-09")],
)
def test_numbers_of_any_size_are_short(value: float, text: str) -> None:
    assert readable(value) == text


def test_long_texts_are_cut() -> None:
    assert readable("x" * 200) == "x" * 200
    assert readable("x" * 201) == "x" * 200 + "…"


def test_a_diverging_run_shows_short_numbers(capsys: pytest.CaptureFixture[str]) -> None:
    bar = step_bar("", None)
    display = TrainingDisplay(bar, METRICS["perplexity"], None, None, {})
    line = {"epoch": 1.0, "steps": 2.0, "train_loss": 1e150, "validation_perplexity": 1e160}
    display.step(line)
    display.epoch(line)
    assert display.shown == {"epoch": "1", "loss": "1.000e+150", "val perplexity": "1.000e+160"}
    shown = capsys.readouterr().err
    assert "train loss 1.000e+150  validation perplexity 1.000e+160" in shown


@pytest.mark.parametrize(
    ("load", "threads", "is_told"), [(9.8, 2, True), (2.4, 2, False), (9.8, 1, False)]
)
def test_a_busy_machine_is_told_before_training(
    load: float,
    threads: int,
    is_told: bool,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr(display, "load_average", lambda: load)
    environment = Environment("cpu", "x86", threads, True, "3.11", "2.13", "0.1", None, None)
    show_start("lstm", "imdb", [0], environment)
    assert ("train.threads=1" in capsys.readouterr().out) is is_told
