"""Pooling against plain PyTorch over each sequence alone."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from tasks.modules.network import max_over_steps, mean_over_steps

LENGTHS = torch.tensor([7, 1, 4])


def sequences(kind: str) -> Tensor:
    """Return outputs (3, 7, 5), zero beyond the lengths like those of an encoder."""
    torch.manual_seed(1)
    outputs = torch.randn(3, 7, 5, dtype=torch.float64)
    if kind == "negative":  # padding is greater than every valid step
        outputs = -outputs.abs() - 1
    elif kind == "ties":
        outputs = outputs.sign()
    elif kind == "relu":
        outputs = outputs.relu() * (torch.arange(5) > 1)
    return outputs * (torch.arange(7) < LENGTHS[:, None])[..., None]


@pytest.mark.parametrize("kind", ["any", "negative", "ties", "relu"])
@pytest.mark.parametrize(
    ("pooled", "alone"),
    [
        (mean_over_steps, lambda valid: valid.mean(0)),
        (max_over_steps, lambda valid: valid.amax(0)),
    ],
)
def test_pooling_is_that_of_each_sequence_alone(
    pooled: Callable[[Tensor, Tensor], Tensor], alone: Callable[[Tensor], Tensor], kind: str
) -> None:
    outputs, expected = (sequences(kind).requires_grad_() for _ in range(2))
    found = pooled(outputs, LENGTHS)
    wanted = torch.stack([alone(expected[row, :n]) for row, n in enumerate(LENGTHS)])
    assert torch.allclose(found, wanted, rtol=0, atol=1e-12)
    weights = torch.randn(3, 5, dtype=torch.float64)
    (found * weights).sum().backward()
    (wanted * weights).sum().backward()
    assert outputs.grad is not None
    assert expected.grad is not None
    valid = (torch.arange(7) < LENGTHS[:, None])[..., None]  # padding has no gradient
    assert torch.allclose(outputs.grad * valid, expected.grad, rtol=0, atol=1e-12)
