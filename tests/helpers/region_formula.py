"""The region cell as a loop over the steps of one sequence."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor


def region_sequence(
    inputs: Tensor, weights: Any, length: int, state: tuple[Tensor, Tensor], backwards: bool
) -> tuple[Tensor, Tensor, Tensor]:
    """Return the outputs and the final states of a sequence.

    Args:
        inputs: (time, features); without an input weight, (time, gates).
        weights: the input weight or None, the recurrent weight and the sum of the biases.
        length: the number of steps; outputs of further steps are zeros.
        state: hidden and cell state before the first step.
        backwards: whether the last step is computed first.
    """
    given, recurrent, bias = weights
    h, c = state
    size = len(h)
    outputs = [torch.zeros_like(h)] * len(inputs)
    for step in reversed(range(length)) if backwards else range(length):
        x = inputs[step]
        gates = (x if given is None else given @ x) + recurrent @ h + bias
        c = gates[:size].sigmoid() * c + gates[size:].tanh()
        h = outputs[step] = c.tanh()
    return torch.stack(outputs), h, c
