"""Exponential moving average of a network's weights."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import torch
from torch import Tensor


def average_decay(decay: float, step: int) -> float:
    """Return the decay after a step, counted from 1: small at first, so that the average follows.

    Without this warm-up the initial weights would dominate for about 1 / (1 - decay) steps.
    """
    return min(decay, (1 + step) / (10 + step))


class WeightAverage:
    """Moving average of parameters: average = decay * average + (1 - decay) * parameter.

    Args:
        parameters: on one device.
        decay: after the warm-up, see `average_decay`.

    Attributes:
        weights: the average, one tensor per parameter.
    """

    def __init__(self, parameters: Sequence[Tensor], decay: float) -> None:
        self.parameters = parameters
        self.decay = decay
        self.weights = [parameter.detach().clone() for parameter in parameters]

    @torch.no_grad()
    def update(self, step: int) -> None:
        """Include the parameters after a step, counted from 1."""
        share = 1 - average_decay(self.decay, step)
        torch._foreach_lerp_(self.weights, list(self.parameters), share)

    @contextmanager
    def applied(self) -> Iterator[None]:
        """Give the parameters the values of the average within the block."""
        raw = [parameter.detach().clone() for parameter in self.parameters]
        copy_values(self.weights, self.parameters)
        try:
            yield
        finally:
            copy_values(raw, self.parameters)


@torch.no_grad()
def copy_values(sources: Sequence[Tensor], targets: Sequence[Tensor]) -> None:
    """Copy values; the targets keep their memory, which a kernel or a view may share."""
    for source, target in zip(sources, targets, strict=True):
        target.copy_(source)
