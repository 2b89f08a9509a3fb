"""One recurrent layer in one direction, by the fused kernel."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from models.kernels.library import CELLS, library

GATES = {"rnn_tanh": 1, "rnn_relu": 1, "lstm": 4, "gru": 3}

Weights = tuple[Tensor, Tensor, Tensor, Tensor]
"""As PyTorch has them: of the input (gates · hidden, features), recurrent (gates · hidden, hidden),
and two biases (gates · hidden,)."""


@dataclass(frozen=True)
class Setup:
    """What of a call is no tensor.

    Attributes:
        cell: one of `GATES`.
        backwards: each sequence is read from its last valid step to its first.
        keeps: what a backward pass needs is kept.
    """

    cell: str
    backwards: bool
    keeps: bool


def run_layer(
    cell: str,
    inputs: Tensor,
    weights: Weights,
    lengths: Tensor | None,
    state: tuple[Tensor, ...] | None,
    backwards: bool,
) -> tuple[Tensor, tuple[Tensor, ...]]:
    """Run a layer over whole sequences, on the CPU in float32 or float64.

    Weights may have one more dimension in front: of groups, networks of one shape. The batch is
    then theirs in equal parts, one after the other.

    Args:
        cell: one of `GATES`.
        inputs: (batch, time, features).
        weights: the layer's.
        lengths: (batch,) valid steps; None if all are full.
        state: of tensors (batch, hidden) to start from; None for zeros.
        backwards: whether each sequence is read from its last valid step to its first.

    Returns:
        Outputs (batch, time, hidden), zero beyond the lengths, and the state after the last step
        that was read, of tensors (batch, hidden).

    Raises:
        models.kernels.library.UnavailableError: there is no kernel here.
    """
    if torch.is_autocast_enabled("cpu"):
        with torch.autocast("cpu", enabled=False):
            return run_layer(cell, inputs, weights, lengths, state, backwards)
    dtype = weights[0].dtype
    hidden, cells = (*(state or ()), None, None)[:2]
    given: list[Tensor | None] = [
        inputs if inputs.dtype == dtype else inputs.to(dtype),
        None if lengths is None else lengths.long(),
        None if hidden is None else hidden.to(dtype),
        None if cells is None else cells.to(dtype),
    ]
    is_grouped = weights[0].dim() > 2
    if is_grouped:
        parts = (weights[0].shape[0], -1)
        given = [None if g is None else g.view(*parts, *g.shape[1:]) for g in given]
    results = FusedLayer.apply(  # type: ignore[no-untyped-call]
        Setup(cell, backwards, torch.is_grad_enabled()), given[0], *weights, *given[1:]
    )
    if is_grouped:
        results = tuple(result.flatten(0, 1) for result in results)
    return results[0], results[1:]


class FusedLayer(torch.autograd.Function):
    """A layer's outputs and last states; see `run_layer`.

    Every tensor may have one more dimension in front: of groups, networks of one shape with weights
    of their own, all in one call.
    """

    @staticmethod
    def forward(
        ctx: Any,
        setup: Setup,
        inputs: Tensor,
        input_weight: Tensor,
        weight: Tensor,
        input_bias: Tensor,
        hidden_bias: Tensor,
        lengths: Tensor | None,
        first_hidden: Tensor | None,
        first_cell: Tensor | None,
    ) -> tuple[Tensor, ...]:
        """Return outputs and last states."""
        is_lstm, keeps = setup.cell == "lstm", setup.keeps and setup.cell in ("lstm", "gru")
        *sequences, time, _ = inputs.shape
        hidden = weight.shape[-1]
        outputs = inputs.new_empty(*sequences, time, hidden)
        last_hidden = inputs.new_empty(*sequences, hidden)
        last_cell = torch.empty_like(last_hidden) if is_lstm else None
        memory = torch.empty_like(outputs) if keeps else None
        activations = inputs.new_empty(*sequences, time, weight.shape[-2]) if keeps else None
        given = (lengths, weight, input_bias, hidden_bias, first_hidden, first_cell)
        results = (activations, memory, outputs, last_hidden, last_cell)
        call("forward", setup, inputs, outputs, *given, inputs, input_weight, *results)
        if setup.keeps:
            ctx.setup = setup
            ctx.set_materialize_grads(False)
            ctx.save_for_backward(
                *(inputs, input_weight, weight, lengths, first_hidden, first_cell),
                *(activations, memory, outputs),
            )
        return (outputs, last_hidden) if last_cell is None else (outputs, last_hidden, last_cell)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *gradients: Tensor | None) -> tuple[Tensor | None, ...]:
        """Return the gradients of `forward`'s arguments."""
        inputs, input_weight, weight, lengths, first_hidden, first_cell, *kept = ctx.saved_tensors
        wanted = ctx.needs_input_grad
        results = [
            torch.empty_like(inputs) if wanted[1] else None,
            torch.empty_like(input_weight),
            torch.empty_like(weight),
            *(weight.new_empty(weight.shape[:-1]) for _ in range(2)),
            torch.empty_like(first_hidden) if wanted[7] else None,
            torch.empty_like(first_cell) if wanted[8] else None,
        ]
        fixed = (lengths, weight, None, None, first_hidden, first_cell, inputs, input_weight)
        given = (*kept, None, None, *gradients, *(None,) * (3 - len(gradients)))
        call("backward", ctx.setup, inputs, kept[-1], *fixed, *given, *results)
        return None, *results[:5], None, *results[5:]


def call(name: str, setup: Setup, inputs: Tensor, outputs: Tensor, *arrays: Tensor | None) -> None:
    """Call a compiled function for a layer's inputs and outputs.

    The arrays come in the source's order; what is missing at their end is null.
    """
    *groups, batch, time, hidden = outputs.shape
    # Held until the call is over: what is not contiguous is copied.
    held = [None if array is None else array.contiguous() for array in arrays]
    library().run(
        f"{name}_float64" if outputs.dtype == torch.float64 else f"{name}_float32",
        *(CELLS.index(setup.cell), groups[0] if groups else 1, batch, time, inputs.shape[-1]),
        *(hidden, int(setup.backwards), torch.get_num_threads()),
        *(0 if array is None else array.data_ptr() for array in held),
    )
