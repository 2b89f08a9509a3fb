"""The selective scan of Mamba (Gu & Dao 2023), by the CPU kernel; see `selective.h`."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from models.kernels.compiler import library

CHUNK = 16  # of the source


class FusedSelectiveScan(torch.autograd.Function):
    """Outputs (batch, time, units) and last states (batch, units, N), from contiguous tensors."""

    @staticmethod
    def forward(ctx: Any, lengths: Tensor | None, *given: Tensor | None) -> tuple[Tensor, Tensor]:
        """Run the scan; `given` are inputs, delta, a, b, c, d and the first state or None."""
        inputs, _, a, *_ = given
        assert inputs is not None
        assert a is not None
        batch, time, width = inputs.shape
        kept = None
        if any(ctx.needs_input_grad):
            padded = (width + 63) // 64 * 64  # enough for any number of lanes
            kept = inputs.new_empty(batch, -(-time // CHUNK), padded * a.shape[1])
        outputs = torch.empty_like(inputs)
        last = inputs.new_empty(batch, *a.shape)
        call("forward", lengths, *given, kept, outputs, last)
        ctx.set_materialize_grads(False)
        ctx.save_for_backward(lengths, kept, *given)
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
        lengths, kept, *given = ctx.saved_tensors
        inputs, _, a, *_, first = given
        gradients = [torch.empty_like(each) for each in given[:-1]]
        first_gradient = inputs.new_empty(len(inputs), *a.shape)
        outer = [None if g is None else g.contiguous() for g in (output_gradient, last_gradient)]
        call("backward", lengths, *given, kept, None, None, *outer, *gradients, first_gradient)
        return None, *gradients, None if first is None else first_gradient


def call(name: str, lengths: Tensor | None, *arrays: Tensor | None) -> None:
    """Call a compiled function with the arrays of `SelectiveCall` in the source."""
    inputs, a = arrays[0], arrays[2]
    assert inputs is not None
    assert a is not None
    addresses = [0 if array is None else array.data_ptr() for array in (lengths, *arrays)]
    library().run(
        f"selective_{name}_{'float64' if inputs.dtype == torch.float64 else 'float32'}",
        *(*inputs.shape, a.shape[1], torch.get_num_threads(), *addresses),
    )
