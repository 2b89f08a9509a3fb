"""The S&P 500 task's loss and metrics, against other libraries and by hand."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd
import pytest
import torch
from sklearn.metrics import mean_absolute_error, root_mean_squared_error
from torch import Tensor
from utilsforecast.losses import mase

from benchmarks.training.evaluation import evaluate
from models.recurrent import RecurrentSettings
from tasks.base import Batch, Split
from tasks.forecast.closes import CloseObjective
from tasks.sp500 import Sp500Task
from tests.helpers.synthetic_closes import (
    CLOSES,
    SPLITS,
    TARGETS,
    make_task,
    no_change,
    perfect,
    predicted_closes,
    predicted_days,
    random_walk,
    score,
)


@pytest.mark.parametrize("target", CLOSES)
@pytest.mark.parametrize("split", SPLITS)
def test_a_perfect_forecast_has_no_error(split: Split, target: str) -> None:
    metrics = score(make_task(random_walk(), target), split, perfect)
    for name in ("loss", "rmse", "mae", "rmse_over_naive", "mase"):
        assert metrics[name] == pytest.approx(0, abs=1e-9)
    assert metrics["direction_accuracy"] == 1


@pytest.mark.parametrize("split", SPLITS)
def test_predicting_no_return_is_the_random_walk_exactly(sp500: Sp500Task, split: Split) -> None:
    assert score(sp500, split, no_change)["rmse_over_naive"] == 1


def test_predicting_the_last_price_is_the_random_walk() -> None:
    task = make_task(random_walk(), "price")
    objective = task.objective
    assert isinstance(objective, CloseObjective)

    def last_price(batch: Batch) -> Tensor:
        return (batch.targets[:, 1] - objective.mean) / objective.deviation

    assert score(task, "test", last_price)["rmse_over_naive"] == pytest.approx(1, rel=1e-9)


@pytest.mark.parametrize("target", CLOSES)
@pytest.mark.parametrize("split", SPLITS)
def test_errors_agree_with_scikit_learn_and_utilsforecast(split: Split, target: str) -> None:
    closes = random_walk(600)
    task = make_task(closes, target)
    days = predicted_days(task, closes, split)
    truth, yesterday = closes[days], closes[np.array(days) - 1]
    (whole,) = task.batches(split, 1000)
    outputs = torch.from_numpy(np.random.default_rng(1).normal(size=len(days)))
    predicted = predicted_closes(task, outputs, whole).numpy()

    metrics = score(task, split, lambda _: outputs, size=1000)
    assert metrics["rmse"] == pytest.approx(root_mean_squared_error(truth, predicted), rel=1e-9)
    assert metrics["mae"] == pytest.approx(mean_absolute_error(truth, predicted), rel=1e-9)
    naive = root_mean_squared_error(truth, yesterday)
    assert metrics["rmse_over_naive"] == pytest.approx(metrics["rmse"] / naive, rel=1e-9)
    frame = pd.DataFrame({"unique_id": 0, "ds": days, "y": truth, "net": predicted})
    train = closes[: predicted_days(task, closes, "train")[-1] + 1]
    history = pd.DataFrame({"unique_id": 0, "ds": range(len(train)), "y": train})
    reference = mase(frame, models=["net"], seasonality=1, train_df=history)["net"].item()
    assert metrics["mase"] == pytest.approx(reference, rel=1e-9)


def from_closes(task: Sp500Task, last: Sequence[float], close: Sequence[float]) -> Tensor:
    """Return the outputs with which `task` predicts these closes."""
    return torch.from_numpy(task.objective.scaled(np.array(close), np.array(last)))


def direction_metrics(
    task: Sp500Task, last: Sequence[float], close: Sequence[float], predicted: Sequence[float]
) -> dict[str, float]:
    known = torch.tensor([last, close], dtype=torch.float64)
    targets = torch.stack([from_closes(task, last, close), *known], dim=1)
    inputs, items = torch.zeros(len(last), 5, 1), torch.arange(len(last))
    batch = Batch(inputs, targets, tokens=len(last), items=items)
    sums = task.sums(from_closes(task, last, predicted), batch)
    return task.metrics({name: float(value) for name, value in sums.items()})


@pytest.mark.parametrize("target", CLOSES)
def test_directions_by_hand(target: str) -> None:
    metrics = direction_metrics(
        make_task(random_walk(), target),
        last=[100.0] * 6,
        # The third and fourth day have no change and do not count.
        close=[101.0, 98.0, 100.0, 100.0, 103.0, 100.5],
        predicted=[102.0, 101.0, 105.0, 95.0, 99.0, 107.0],
    )
    assert metrics["direction_accuracy"] == 2 / 4
    assert metrics["direction_base_rate"] in (3 / 4, 1 / 4)


RISING = [1.0, 2.0, -1.0, 1.0, -0.5]
FALLING = [-step for step in RISING]
# Most days have no change; of the others, more go up.
RESTING = [0.0, 0.0, 0.0, 0.0, 1.0, 0.0, 0.0, 1.0, 0.0, -1.5]


@pytest.mark.parametrize(
    ("steps", "base_rate"), [(RISING, 3 / 4), (FALLING, 1 / 4), (RESTING, 3 / 4)]
)
def test_the_base_rate_is_that_of_the_frequent_direction_of_training(
    steps: list[float], base_rate: float
) -> None:
    closes = 1000 + np.cumsum(np.tile(steps, 20))
    last, close = [100.0] * 5, [101.0, 102.0, 103.0, 99.0, 100.0]
    metrics = direction_metrics(make_task(closes), last, close, predicted=close)
    assert metrics["direction_base_rate"] == base_rate


@pytest.mark.parametrize("target", TARGETS)
def test_a_network_s_scores_do_not_depend_on_the_batch_size(target: str) -> None:
    task = make_task(random_walk(), target)
    torch.manual_seed(0)
    network = task.network(RecurrentSettings(hidden_size=8).build(task.input_size)).double()
    scores = [evaluate(network, task, "test", size) for size in (1, 7, 1000)]
    for found in scores[1:]:
        assert found == pytest.approx(scores[0], rel=1e-12)


def test_the_loss_is_the_mean_square_of_the_scaled_error(sp500: Sp500Task) -> None:
    (whole,) = sp500.batches("validation", 1000)
    outputs = torch.linspace(-1, 1, len(whole.targets), dtype=torch.float64)
    expected = np.mean((outputs.numpy() - whole.targets[:, 0].numpy()) ** 2)
    assert float(sp500.loss(outputs, whole)) == pytest.approx(expected, rel=1e-12)
    found = score(sp500, "validation", lambda _: outputs, size=1000)["loss"]
    assert found == pytest.approx(expected, rel=1e-12)
