"""Masks and reversal of padded batches."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor


class Padding:
    """Masks and indices of a batch of `time` steps and lengths (batch,), shared by all layers."""

    def __init__(self, lengths: Tensor, time: int) -> None:
        steps = torch.arange(time, device=lengths.device)
        column = lengths.unsqueeze(1).to(steps.dtype)
        self.last = column - 1
        self.beyond = beyond(lengths, time)
        rows = torch.arange(lengths.shape[0], device=lengths.device).unsqueeze(1) * time
        mirrored = torch.where(steps < column, column - 1 - steps, steps)
        self.reversal = (rows + mirrored).flatten()

    def at_last(self, outputs: Tensor) -> Tensor:
        """Select the outputs (1, batch, features) at each sequence's last valid step."""
        index = self.last.unsqueeze(-1).expand(-1, -1, outputs.shape[-1])
        return outputs.gather(1, index).transpose(0, 1)


def beyond(lengths: Tensor, time: int) -> Tensor:
    """Return where a batch of `time` steps has padding: (batch, time, 1)."""
    steps = torch.arange(time, device=lengths.device)
    return (steps >= lengths.unsqueeze(1)).unsqueeze(-1)


def without_padding(outputs: Tensor, lengths: Tensor | None) -> Tensor:
    """Return outputs (batch, time, features) that are zero beyond the lengths."""
    return (
        outputs if lengths is None else outputs.masked_fill(beyond(lengths, outputs.shape[1]), 0.0)
    )


class _PermuteSteps(torch.autograd.Function):
    """Reorder the rows of (batch·time, features) by an index that is its own inverse.

    The backward pass selects rows as well; autograd's would add into zeros row by row.
    """

    @staticmethod
    def forward(ctx: Any, rows: Tensor, index: Tensor) -> Tensor:
        ctx.save_for_backward(index)
        return rows.index_select(0, index)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None]:
        (index,) = ctx.saved_tensors
        return gradient.index_select(0, index), None


def reverse(sequence: Tensor, padding: Padding | None) -> Tensor:
    """Reverse (batch, time, features) in time, each sequence within its own length."""
    if padding is None:
        return sequence.flip(1)
    # `Function.apply` has no annotations.
    rows = _PermuteSteps.apply(sequence.flatten(0, 1), padding.reversal)  # type: ignore[no-untyped-call]
    reordered: Tensor = rows.view_as(sequence)
    return reordered


def last_steps(steps: Tensor, count: int, lengths: Tensor | None) -> Tensor:
    """Return the last valid `count` steps of (batch, count + time, features).

    The first `count` steps precede a batch of `time` steps and lengths (batch,).
    """
    if lengths is None:
        return steps[:, steps.shape[1] - count :]
    index = lengths.long().unsqueeze(1) + torch.arange(count, device=steps.device)
    return steps.gather(1, index.unsqueeze(-1).expand(-1, -1, steps.shape[-1]))
