"""The moving average of the weights against the recursion written out in float64."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import nn

from benchmarks.training.averaging import WeightAverage
from benchmarks.training.trainer import Trainer
from tests.helpers.toys import toy_trainer, weight_of

DECAY = 0.4  # the warm-up reaches it after five steps


def weights_after_each_step(trainer: Trainer) -> list[float]:
    """Train and return the raw weight after each step."""
    found: list[float] = []

    def record(*_: Any) -> None:
        found.append(weight_of(trainer).item())

    trainer.optimizer.register_step_post_hook(record)
    trainer.fit()
    return found


def averages_of(weights: list[float], start: float = 0.0) -> list[float]:
    """Return the average after each step, counted from 1, with the warm-up (1 + t) / (10 + t)."""
    averages, average = [], start
    for step, weight in enumerate(weights, start=1):
        decay = min(DECAY, (1 + step) / (10 + step))
        average = decay * average + (1 - decay) * weight
        averages.append(average)
    return averages


def test_validation_and_best_weights_use_the_average_and_training_the_raw_weights() -> None:
    plain, averaged = toy_trainer(max_epochs=4), toy_trainer(max_epochs=4, ema=DECAY)
    raw = weights_after_each_step(plain)
    assert weights_after_each_step(averaged) == raw
    assert weight_of(averaged).item() == raw[-1]
    expected = averages_of(raw)
    assert averaged.average is not None
    assert float(averaged.average.weights[0]) == pytest.approx(expected[-1], rel=1e-6)
    # The validation target is 0, so the error is the weight in use; an epoch has two steps.
    for trainer, used in ((plain, raw), (averaged, expected)):
        errors = [line["validation_rmse"] for line in trainer.state.history]
        assert errors == pytest.approx([abs(weight) for weight in used[1::2]], rel=1e-6)
        assert trainer.state.best_weights is not None
        assert trainer.state.best_epoch is not None
        best = used[2 * trainer.state.best_epoch - 1]
        assert float(trainer.state.best_weights["weight"]) == pytest.approx(best, rel=1e-6)
    assert max(abs(a - b) for a, b in zip(raw, expected, strict=True)) > 0.01


def test_the_parameters_keep_their_memory_and_get_their_values_back_after_an_error() -> None:
    parameters = [nn.Parameter(torch.randn(3)), nn.Parameter(torch.randn(2, 2))]
    average = WeightAverage(parameters, 0.9)
    before = [p.detach().clone() for p in parameters]
    memory = [p.data_ptr() for p in parameters]
    with torch.no_grad():
        for parameter in parameters:
            parameter.add_(1.0)

    def fail() -> None:
        with average.applied():
            assert all(map(torch.equal, parameters, before))
            raise KeyError

    with pytest.raises(KeyError):
        fail()
    for parameter, old in zip(parameters, before, strict=True):
        assert torch.equal(parameter, old + 1.0)
    assert [p.data_ptr() for p in parameters] == memory


def test_the_average_is_on_the_device_of_the_parameters() -> None:
    parameters = [nn.Parameter(torch.zeros(3, device="meta"))]
    average = WeightAverage(parameters, 0.9)
    average.update(1)
    with average.applied():
        assert all(weight.is_meta for weight in average.weights)
