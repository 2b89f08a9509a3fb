"""The combined prediction of several runs, and weights chosen on validation."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

Form = Literal["classes", "language", "forecast"]
Weighting = Literal["equal", "validation"]

LARGEST_WEIGHT = 100.0
SMALLEST_SCALE = 0.01  # a temperature of 100


@dataclass(frozen=True)
class Weights:
    """The factors of the members' predictions, one per member.

    Attributes:
        weights: of the predictions after temperature scaling; fitted ones of classes need not add
            up to 1.
        temperatures: None if the predictions are not scaled.
    """

    weights: Tensor
    temperatures: Tensor | None = None

    @property
    def factors(self) -> Tensor:
        """The weights of the predictions as they are stored."""
        return self.weights if self.temperatures is None else self.weights / self.temperatures


def combined(form: Form, values: Tensor, factors: Tensor) -> Tensor:
    """Return the prediction of an ensemble (items, columns).

    Forecasts, log-odds and log-probabilities are added; nats become those of the mean probability.

    Args:
        form: of the predictions.
        values: predictions of the members (members, items, columns).
        factors: of the members (members,).
    """
    if form == "language":
        least = values.min(0).values
        probabilities: Tensor = torch.tensordot(factors, (least - values).exp(), 1)
        return least - probabilities.log()
    total: Tensor = torch.tensordot(factors, values, 1)
    return total


def mean_loss(form: Form, predictions: Tensor, truth: Tensor) -> Tensor:
    """Return the cross-entropy in nats, or the mean squared error of forecasts."""
    if form == "language":
        return predictions.mean()
    if form == "forecast":
        return F.mse_loss(predictions.squeeze(1), truth)
    if predictions.shape[1] == 1:
        return F.binary_cross_entropy_with_logits(predictions.squeeze(1), truth)
    return F.cross_entropy(predictions, truth.long())


def equal_weights(members: int) -> Weights:
    """Return the weights of a mean."""
    return Weights(torch.full((members,), 1 / members, dtype=torch.float64))


def fitted_weights(form: Form, values: Tensor, truth: Tensor) -> Weights:
    """Return the weights with the smallest mean loss; those of classes after temperature scaling.

    Args:
        form: of the predictions.
        values: predictions of the members on the validation split (members, items, columns).
        truth: true values (items,), empty for a language model.
    """
    if form != "classes":
        return Weights(minimised(form, values, truth, 0.0))
    scales = torch.cat([minimised(form, each[None], truth, SMALLEST_SCALE) for each in values])
    scaled = scales.view(-1, 1, 1) * values
    return Weights(minimised(form, scaled, truth, 0.0), 1 / scales)


def minimised(form: Form, values: Tensor, truth: Tensor, smallest: float) -> Tensor:
    """Return the factors that minimise the mean loss; those of a mean add up to 1.

    The loss is convex in the factors.
    """
    from scipy.optimize import minimize

    count, is_mean = len(values), form != "classes"
    start = np.full(count, 1 / count)
    unit = float(mean_loss(form, combined(form, values, torch.from_numpy(start)), truth))
    if unit == 0:
        return torch.from_numpy(start)

    def loss_and_gradient(factors: Any) -> tuple[float, Any]:
        point = torch.tensor(factors, requires_grad=True)
        loss = mean_loss(form, combined(form, values, point), truth) / unit
        (gradient,) = torch.autograd.grad(loss, point)
        return loss.item(), gradient.numpy()

    adds_up = {"type": "eq", "fun": lambda factors: factors.sum() - 1}
    found = minimize(
        loss_and_gradient,
        start,
        jac=True,
        method="SLSQP",
        bounds=[(smallest, 1.0 if is_mean else LARGEST_WEIGHT)] * count,
        constraints=[adds_up] if is_mean else [],
        options={"maxiter": 1000, "ftol": 1e-12},
    ).x.round(9)  # a weight of 0 is not exact
    return torch.from_numpy(found / found.sum() if is_mean else found)
