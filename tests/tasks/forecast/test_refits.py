"""Walk-forward refits: their parts, and their forecasts against those of cut series."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch

from benchmarks.training.evaluation import evaluate
from benchmarks.training.predictions import Predictions
from tasks.forecast.close_baselines import methods
from tasks.forecast.refits import RefitTask, yearly_bounds
from tasks.forecast.windows import split_bounds
from tasks.sp500 import Sp500Settings, Sp500Task
from tests.helpers.synthetic_closes import SPLITS, TARGETS, Floats, random_walk

DAYS = pd.date_range("2010-01-03", periods=500, freq="W")
CLOSES = random_walk(len(DAYS), seed=3)
WINDOW = 5


def made(target: str = "log_return", closes: Floats = CLOSES, **settings: Any) -> Any:
    series = pd.Series(closes, index=DAYS[: len(closes)], dtype=float)
    return Sp500Settings(window=WINDOW, target=target, **settings).task_of(series, "weeks")


def refitted(target: str = "log_return", closes: Floats = CLOSES) -> RefitTask:
    task = made(target, closes, refit="yearly")
    assert isinstance(task, RefitTask)
    return task


def days_of(task: Any, split: str) -> list[str]:
    found: list[str] = task.items(split)["day"]
    return found


def test_each_calendar_year_of_the_test_split_has_a_refit() -> None:
    task, whole = refitted(), made()
    years = [{day[:4] for day in days_of(part, "test")} for part in task.refits()]
    assert years == [{"2018"}, {"2019"}]
    assert days_of(task, "test") == days_of(whole, "test")
    assert days_of(task, "test") == [day for part in task.refits() for day in days_of(part, "test")]


def test_no_test_day_is_in_the_training_or_validation_of_its_refit() -> None:
    for part in refitted().refits():
        first = days_of(part, "test")[0]
        assert max(days_of(part, "train")) < min(days_of(part, "validation"))
        assert max(days_of(part, "validation")) < first
        # All days before the year are used; a window and the first difference precede training.
        used = len(days_of(part, "train")) + len(days_of(part, "validation"))
        assert used + WINDOW + 1 == sum(day.date().isoformat() < first for day in DAYS)


def test_the_first_refit_has_the_training_and_validation_of_the_split() -> None:
    task, whole = refitted(), made()
    for split in ("train", "validation"):
        assert days_of(task.refits()[0], split) == days_of(whole, split) == days_of(task, split)
    assert task.data.sizes == whole.data.sizes
    assert (task.data.sha256, task.data.split) == (whole.data.sha256, whole.data.split)


@pytest.mark.parametrize("days", range(400, 430, 3))
def test_later_refits_keep_the_shares(days: int) -> None:
    names = [day.date().isoformat() for day in DAYS[:days]]
    bounds = split_bounds(days)
    refits = yearly_bounds(names, bounds)
    assert len(refits) > 1
    for found in refits:
        end, start = found["validation"]
        assert abs(end / start - 0.70 / 0.85) < 1 / start + 1 / bounds["test"][0]
        assert found["train"] == (0, end)


@pytest.mark.parametrize("target", TARGETS)
def test_a_refit_knows_nothing_of_later_days(target: str) -> None:
    changed = CLOSES.copy()
    parts = refitted(target).refits()
    start = len(DAYS) - len(days_of(parts[-1], "test"))
    changed[start:] *= np.linspace(2, 3, len(DAYS) - start)
    for ours, theirs in zip(parts[:-1], refitted(target, changed).refits()[:-1], strict=True):
        assert isinstance(ours, Sp500Task)
        assert isinstance(theirs, Sp500Task)
        assert ours.objective == theirs.objective
        for split in SPLITS:
            for a, b in zip(ours.batches(split, 99), theirs.batches(split, 99), strict=True):
                assert torch.equal(a.inputs, b.inputs)
                assert torch.equal(a.targets, b.targets)


@pytest.mark.parametrize(
    ("target", "name"), [(target, name) for target in TARGETS for name in methods(target)]
)
def test_a_baseline_is_fitted_at_each_refit(target: str, name: str) -> None:
    task, predictions = refitted(target), Predictions()
    metrics = evaluate(task.fit_baseline(name, 0), task, "test", 16, predictions=predictions)
    items, columns = predictions.in_order()
    assert items.tolist() == list(range(task.data.test_size))
    expected = []
    for part in task.refits():
        own = Predictions()
        evaluate(part.fit_baseline(name, 0), part, "test", 7, predictions=own)
        expected.append(own.in_order()[1]["predicted"])
    assert torch.equal(columns["predicted"], torch.cat(expected))
    errors = (columns["predicted"] - columns["actual"]).double()
    assert metrics[made(target).settings.primary_metric.name] == pytest.approx(
        float(errors.square().mean().sqrt()), rel=1e-12
    )


def test_drift_is_the_mean_change_of_the_training_part_of_each_year() -> None:
    task, predictions = refitted(), Predictions()
    evaluate(task.fit_baseline("drift", 0), task, "test", 64, predictions=predictions)
    columns = predictions.in_order()[1]
    first = split_bounds(len(CLOSES))["test"][0]
    expected = []
    for day in range(first, len(CLOSES)):
        start = max(first, next(d for d in range(len(DAYS)) if DAYS[d].year == DAYS[day].year))
        train = CLOSES[: round(start * round(0.7 * len(CLOSES)) / first)]
        expected.append(CLOSES[day - 1] + (train[-1] - train[0]) / (len(train) - 1))
    np.testing.assert_allclose(columns["predicted"].numpy(), expected, rtol=1e-12)


def test_the_naive_volatility_is_that_of_the_refitted_mean() -> None:
    task = refitted("volatility")
    found = evaluate(task.fit_baseline("training_mean", 0), task, "test", 64)
    assert found["volatility_rmse"] == pytest.approx(found["volatility_rmse_naive"], rel=1e-12)


def test_start_and_years_exclude_each_other() -> None:
    with pytest.raises(ValueError, match=r"^task.start=2001-01-01 and task.years=5: set one$"):
        Sp500Settings(start="2001-01-01", years=5).check()
