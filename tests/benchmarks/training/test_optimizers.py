"""Optimisers against their formulas."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor, nn

from benchmarks.config.schema import TrainSettings
from benchmarks.training.optim import make_optimizer

RATE, DECAY, STEPS = 0.05, 0.1, 6


def trained(**settings: Any) -> tuple[list[Tensor], list[Tensor]]:
    """Return the weights before and after each step, and the gradients of the steps."""
    torch.manual_seed(0)
    network = nn.Linear(3, 1, bias=False).double()
    options = TrainSettings(weight_decay=DECAY, **settings)
    optimizer = make_optimizer(network, options, RATE, torch.device("cpu"))
    weights, gradients = [network.weight.detach().clone()], []
    for step in range(STEPS):
        network.weight.grad = torch.sin(network.weight.detach() * 7 + step)
        gradients.append(network.weight.grad.clone())
        optimizer.step()
        weights.append(network.weight.detach().clone())
    return weights, gradients


@pytest.mark.parametrize("momentum", [0.9, 0.5, 0.0])
def test_sgd_adds_gradients_to_a_decaying_sum(momentum: float) -> None:
    weights, gradients = trained(optimizer="sgd", momentum=momentum)
    weight, velocity = weights[0], torch.zeros(1, 3, dtype=torch.float64)
    for gradient, expected in zip(gradients, weights[1:], strict=True):
        velocity = momentum * velocity + gradient + DECAY * weight
        weight = weight - RATE * velocity
        torch.testing.assert_close(expected, weight)


@pytest.mark.parametrize("beta1", [0.9, 0.0])
@pytest.mark.parametrize("optimizer", ["adam", "adamw"])
def test_adam_has_both_decay_rates(optimizer: str, beta1: float) -> None:
    beta2 = 0.98
    weights, gradients = trained(optimizer=optimizer, beta1=beta1, beta2=beta2)
    weight, first, second = weights[0], 0.0, 0.0
    for step, (gradient, expected) in enumerate(zip(gradients, weights[1:], strict=True), start=1):
        if optimizer == "adam":
            gradient = gradient + DECAY * weight
        else:
            weight = weight * (1 - RATE * DECAY)
        first = beta1 * first + (1 - beta1) * gradient
        second = beta2 * second + (1 - beta2) * gradient**2
        scale = (second / (1 - beta2**step)) ** 0.5 + 1e-8
        weight = weight - RATE * first / (1 - beta1**step) / scale
        torch.testing.assert_close(expected, weight)
