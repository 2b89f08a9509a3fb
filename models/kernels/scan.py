"""Diagonal recurrences h_t = a_t * h_{t-1} + b_t over whole sequences, by the CPU kernel."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from models.kernels.compiler import library

CELLS = ("real", "complex", "mingru", "mingru_positive", "minlstm", "minlstm_positive")
"""In the order of the enumeration `ScanCell` of the source."""

PARTS = dict(zip(CELLS, (1, 2, 2, 2, 3, 3), strict=True))
"""Numbers per unit and step that a cell reads."""

STATES = dict.fromkeys(CELLS, 1) | {"complex": 2}
"""Numbers per unit of a state: 2 are a real part and an imaginary part."""


class FusedScan(torch.autograd.Function):
    """The states of all steps and the last ones, from contiguous tensors; see `modules.scan`."""

    @staticmethod
    def forward(
        ctx: Any,
        cell: str,
        inputs: Tensor,
        lengths: Tensor | None,
        decay: Tensor | None,
        first: Tensor | None,
    ) -> tuple[Tensor, Tensor]:
        """Return outputs and the last state."""
        batch, time, features = inputs.shape
        size = features // PARTS[cell] * STATES[cell]
        outputs, last = inputs.new_empty(batch, time, size), inputs.new_empty(batch, size)
        call("forward", cell, lengths, inputs, decay, first, outputs, last)
        ctx.cell = cell
        ctx.set_materialize_grads(False)
        ctx.save_for_backward(inputs, lengths, decay, first, outputs)
        return outputs, last

    @staticmethod
    def backward(
        ctx: Any, output_gradient: Tensor | None, last_gradient: Tensor | None
    ) -> tuple[Tensor | None, ...]:
        """Return the gradients of `forward`'s arguments."""
        if torch.is_grad_enabled():  # by create_graph
            raise RuntimeError(
                "the fused kernel has no second derivative; use model.kernel=torch instead"
            )
        inputs, lengths, decay, first, outputs = ctx.saved_tensors
        gradient = torch.empty_like(inputs)
        decay_gradient = None if decay is None else torch.empty_like(decay)
        first_gradient = inputs.new_empty(len(inputs), outputs.shape[-1])
        outer = [None if g is None else g.contiguous() for g in (output_gradient, last_gradient)]
        given = (lengths, inputs, decay, first, outputs, None, *outer)
        call("backward", ctx.cell, *given, gradient, decay_gradient, first_gradient)
        return None, gradient, None, decay_gradient, None if first is None else first_gradient


def call(name: str, cell: str, *arrays: Tensor | None) -> None:
    """Call a compiled function with the arrays of `ScanCall` in the source."""
    inputs = arrays[1]
    assert inputs is not None
    batch, time, features = inputs.shape
    addresses = [0 if array is None else array.data_ptr() for array in arrays]
    library().run(
        f"scan_{name}_{'float64' if inputs.dtype == torch.float64 else 'float32'}",
        *(CELLS.index(cell), batch, time, features // PARTS[cell]),
        *(torch.get_num_threads(), *addresses),
    )
