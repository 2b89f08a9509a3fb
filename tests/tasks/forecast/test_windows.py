"""The S&P 500 task's windows: days, scale, no use of later days, inverse of the scale."""

from __future__ import annotations

import math
from itertools import pairwise

import numpy as np
import pytest
import torch
from sklearn.metrics import root_mean_squared_error

from models.recurrent import RecurrentSettings
from tasks.forecast.closes import CloseObjective
from tests.helpers.synthetic_closes import (
    CLOSES,
    SPLITS,
    TARGETS,
    Floats,
    make_task,
    no_change,
    perfect,
    predicted_closes,
    predicted_days,
    random_walk,
    score,
)


@pytest.mark.parametrize("window", [1, 5, 20])
@pytest.mark.parametrize("target", TARGETS)
def test_a_window_contains_exactly_the_days_before(target: str, window: int) -> None:
    closes = random_walk()
    task = make_task(closes, target, window)
    train_end = predicted_days(task, closes, "train")[-1] + 1
    known = closes[:train_end].tolist()
    returns = [math.log(b / a) for a, b in pairwise(known)]
    values = known if target == "price" else returns
    mean, deviation = np.mean(values), np.std(values)
    for split in SPLITS:
        days = predicted_days(task, closes, split)
        inputs = torch.cat([batch.inputs for batch in task.batches(split, 16)])
        for day, found in zip(days, inputs, strict=True):
            past = range(day - window, day)
            if target == "price":
                expected = [[(closes[d] - mean) / deviation] for d in past]
            else:
                moves = [math.log(closes[d] / closes[d - 1]) / deviation for d in past]
                expected = [[move, abs(move)] for move in moves]
            np.testing.assert_allclose(found, expected, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("target", TARGETS)
def test_the_scale_is_fitted_on_the_training_part_only(target: str) -> None:
    closes = random_walk()
    task = make_task(closes, target)
    train_end = predicted_days(task, closes, "train")[-1] + 1
    changed = closes.copy()
    changed[train_end:] *= np.linspace(2, 5, len(closes) - train_end)
    other = make_task(changed, target)
    assert other.objective == task.objective
    for before, after in zip(task.batches("train", 16), other.batches("train", 16), strict=True):
        assert torch.equal(before.inputs, after.inputs)
        assert torch.equal(before.targets, after.targets)
    changed[train_end - 1] *= 1.5
    assert make_task(changed, target).objective != task.objective


@pytest.mark.parametrize("target", TARGETS)
@pytest.mark.parametrize("share", [0.71, 0.8, 0.9, 0.99])
def test_changing_the_future_changes_no_prediction_before_it(share: float, target: str) -> None:
    closes = random_walk()
    first_changed = int(share * len(closes))
    changed = closes.copy()
    changed[first_changed:] = 7 + np.arange(len(closes) - first_changed)
    torch.manual_seed(0)
    encoder = RecurrentSettings(hidden_size=8).build(make_task(closes, target).input_size)
    network = make_task(closes, target).network(encoder).double().eval()

    def predictions(prices: Floats) -> list[float]:
        task = make_task(prices, target)
        found: list[float] = []
        with torch.no_grad():
            for split in SPLITS:
                for batch in task.batches(split, 16):
                    outputs, _ = network(batch.inputs, None, None)
                    found += task.predictions(outputs, batch)["predicted"].tolist()
        return found

    before, after = predictions(closes), predictions(changed)
    # The first day predicted is number 6, after a window of five returns.
    unchanged = first_changed + 1 - 6
    # The close of the first changed day itself is forecast from the days before it.
    assert after[:unchanged] == before[:unchanged]
    assert all(a != b for a, b in zip(after[unchanged:], before[unchanged:], strict=True))
    assert len(after[unchanged:]) > 1


@pytest.mark.parametrize("target", CLOSES)
def test_the_scaled_target_is_converted_back_to_the_close(target: str) -> None:
    closes = random_walk()
    task = make_task(closes, target)
    objective = task.objective
    assert isinstance(objective, CloseObjective)
    for split in SPLITS:
        days = predicted_days(task, closes, split)
        (whole,) = task.batches(split, 1000)
        predicted = predicted_closes(task, perfect(whole), whole)
        np.testing.assert_allclose(predicted, closes[days], rtol=1e-12)
        np.testing.assert_array_equal(whole.targets[:, 1], closes[np.array(days) - 1])
        two = torch.full_like(whole.targets[:, 0], 2.0)
        by_hand = (
            objective.mean + 2 * objective.deviation
            if target == "price"
            else closes[np.array(days) - 1] * math.exp(2 * objective.deviation)
        )
        np.testing.assert_allclose(predicted_closes(task, two, whole), by_hand, rtol=1e-12)


def test_a_constant_series_can_be_scaled() -> None:
    task = make_task(np.full(100, 50.0))
    metrics = score(task, "test", no_change)
    assert metrics == {"loss": 0.0, "rmse": 0.0, "rmse_naive": 0.0, "mae": 0.0}


@pytest.mark.parametrize("target", CLOSES)
def test_predictions_are_the_last_the_actual_and_the_predicted_close(target: str) -> None:
    closes = random_walk()
    task = make_task(closes, target)
    days = np.array(predicted_days(task, closes, "test"))
    (whole,) = task.batches("test", 1000)
    found = task.predictions(perfect(whole).float() * 1.5, whole)
    assert list(found) == ["last", "actual", "predicted"]
    np.testing.assert_array_equal(found["last"], closes[days - 1])
    np.testing.assert_array_equal(found["actual"], closes[days])
    rmse = root_mean_squared_error(found["actual"], found["predicted"])
    said = score(task, "test", lambda batch: perfect(batch).float() * 1.5)["rmse"]
    assert said == pytest.approx(rmse, rel=1e-9)
    assert rmse > 0
