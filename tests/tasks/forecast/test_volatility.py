"""The S&P 500 task's volatility: target, metric, naive forecast."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from sklearn.metrics import root_mean_squared_error

from tasks.base import Split
from tasks.forecast.closes import VolatilityObjective
from tasks.sp500 import Sp500Settings
from tests.helpers.synthetic_closes import (
    CLOSES,
    SPLITS,
    absolute_returns,
    make_task,
    no_change,
    perfect,
    predicted_days,
    random_walk,
    score,
)


def test_the_metric_is_that_of_the_target() -> None:
    for target in CLOSES:
        metric = Sp500Settings(target=target).primary_metric
        assert (metric.name, metric.unit) == ("rmse", "index points")
    metric = Sp500Settings(target="volatility").primary_metric
    assert (metric.name, metric.unit) == ("volatility_rmse", "percent")
    assert (metric.higher_is_better, metric.perfect) == (False, 0.0)


@pytest.mark.parametrize("split", SPLITS)
def test_the_volatility_target_is_the_standardised_size_of_the_return(split: Split) -> None:
    closes = random_walk()
    task = make_task(closes, "volatility")
    days = predicted_days(task, closes, split)
    train_end = predicted_days(task, closes, "train")[-1] + 1
    sizes = absolute_returns(closes)
    known = sizes[1:train_end]
    (whole,) = task.batches(split, 1000)
    expected = (sizes[days] - known.mean()) / known.std()
    np.testing.assert_allclose(perfect(whole), expected, rtol=1e-9)
    assert score(task, split, perfect)["volatility_rmse"] == pytest.approx(0, abs=1e-9)
    found = task.predictions(torch.full((len(days),), 0.25), whole)
    assert list(found) == ["actual", "predicted"]
    np.testing.assert_array_equal(found["actual"], sizes[days])
    np.testing.assert_allclose(found["predicted"], known.mean() + known.std() / 4, rtol=1e-9)


@pytest.mark.parametrize("split", SPLITS)
def test_volatility_scores_agree_with_scikit_learn(split: Split) -> None:
    closes = random_walk(600)
    task = make_task(closes, "volatility")
    days = predicted_days(task, closes, split)
    truth = absolute_returns(closes)[days]
    known = absolute_returns(closes)[1 : predicted_days(task, closes, "train")[-1] + 1]
    outputs = torch.from_numpy(np.random.default_rng(1).normal(size=len(days)))
    metrics = score(task, split, lambda _: outputs, size=1000)
    predicted = known.mean() + known.std() * outputs.numpy()
    rmse = root_mean_squared_error(truth, predicted)
    naive = root_mean_squared_error(truth, np.full(len(days), known.mean()))
    assert metrics == pytest.approx(
        {
            "loss": (rmse / known.std()) ** 2,
            "volatility_rmse": rmse,
            "volatility_rmse_naive": naive,
        },
        rel=1e-9,
    )
    assert score(task, split, no_change)["volatility_rmse"] == pytest.approx(naive, rel=1e-12)


def test_the_volatility_of_a_constant_series_is_zero() -> None:
    task = make_task(np.full(100, 50.0), "volatility")
    assert isinstance(task.objective, VolatilityObjective)
    assert set(score(task, "test", no_change).values()) == {0.0}
