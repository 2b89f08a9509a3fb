"""The cells of `experiment=sp500_windows`: ten windows with different test days."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pandas as pd
import pytest

from benchmarks.config.compose import CellComposer, hydra_at, sweep_axes
from benchmarks.config.registry import register_schemas
from benchmarks.config.schema import Config
from tasks.sp500 import Sp500Settings
from tests.helpers.paths import ROOT
from tests.helpers.synthetic_closes import load

MODELS = ("rnn", "lstm", "gru", "birnn", "bilstm", "bigru", "baseline")


@pytest.fixture(scope="module")
def cells(tmp_path_factory: pytest.TempPathFactory) -> list[Config]:
    days = pd.bdate_range("1970-01-01", "2026-06-30")
    closes = 100 * np.exp(np.cumsum(np.random.default_rng(0).normal(0, 0.01, len(days))))
    file = tmp_path_factory.mktemp("closes") / "daily.csv"
    pd.DataFrame({"date": days, "close": closes}).to_csv(file, index=False)
    register_schemas()
    with hydra_at(ROOT / "conf"):
        axes = sweep_axes(["experiment=sp500_windows", f"task.csv={file}"])
        composer = CellComposer(axes.fixed)
        return [composer.compose(chosen) for chosen in axes.cells()]


def test_every_model_has_five_seeds_on_each_window(cells: list[Config]) -> None:
    counts = Counter(
        (config.model.label, config.task.end)
        for config in cells
        if isinstance(config.task, Sp500Settings)
    )
    assert len(counts) == len(MODELS) * 10
    assert {*counts.values()} == {5}
    labels = {label for label, _ in counts}
    assert len(labels) == len(MODELS)
    assert labels > {*MODELS} - {"baseline"}
    assert {config.task.name for config in cells} == {"sp500"}
    assert {config.train.optimizer for config in cells} == {"adamw"}  # the recipe of the task


def test_ten_windows_of_five_years_have_no_common_day(cells: list[Config]) -> None:
    tasks = []
    for config in cells:
        if config.seed == 0 and config.model.label == "lstm":
            assert isinstance(config.task, Sp500Settings)
            tasks.append(load(config.task))
    years = [(task.days[0][:4], task.days[-1][:4]) for task in tasks]
    assert years == [(str(first), str(first + 4)) for first in range(1975, 2025, 5)]
    assert all(task.days[0][5:] < "01-05" and task.days[-1][5:] > "12-28" for task in tasks)
    every = [day for task in tasks for day in task.days]
    assert len(set(every)) == len(every)
    tested = [day for task in tasks for day in task.items("test")["day"]]
    assert len(set(tested)) == len(tested)
    # A window tests the last 15 per cent of five years, which lie in its last year.
    for task, (_, last) in zip(tasks, years, strict=True):
        assert {day[:4] for day in task.items("test")["day"]} == {last}
