"""Pooling over the valid steps of sequences of different lengths."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable


def mean_over_steps(outputs: Tensor, lengths: Tensor) -> Tensor:
    """Average (batch, time, width), zero beyond the lengths, over valid steps: (batch, width)."""
    return outputs.sum(1) / lengths.unsqueeze(1).to(outputs.dtype)


def max_over_steps(outputs: Tensor, lengths: Tensor) -> Tensor:
    """Take the greatest of (batch, time, width) over valid steps: (batch, width).

    The gradient is shared evenly among steps that are equally great, as by `torch.amax`.
    """
    steps = torch.arange(outputs.shape[1], device=outputs.device)
    beyond = (steps >= lengths.unsqueeze(1)).unsqueeze(-1)
    # Adding is several times as fast as a fill by mask, which copies first.
    penalty = outputs.new_zeros(beyond.shape).masked_fill_(beyond, -torch.inf)
    greatest: Tensor = _Max.apply(outputs + penalty)  # type: ignore[no-untyped-call]
    return greatest


class _Max(torch.autograd.Function):
    """`outputs.amax(1)`, whose own gradient goes through slow tensors of booleans."""

    @staticmethod
    def forward(ctx: Any, outputs: Tensor) -> Tensor:
        greatest = outputs.amax(1)
        ctx.save_for_backward(outputs, greatest)
        return greatest

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> Tensor:
        outputs, greatest = ctx.saved_tensors
        # 0 where a step is below the greatest, 1 where it is as great.
        is_greatest: Tensor = (outputs - greatest.unsqueeze(1)).sign_().add_(1)
        share = gradient / is_greatest.sum(1)
        return is_greatest.mul_(share.unsqueeze(1))
