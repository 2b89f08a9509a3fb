"""One recurrent layer, of one or two directions, computed by the fused kernel."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, cast

import torch
from torch import Tensor

from models.kernels.compiler import CELLS, library

GATES = {"rnn_tanh": 1, "rnn_relu": 1, "lstm": 4, "gru": 3, "region": 2, "slstm": 4}

CELL_PARTS = {"lstm": 1, "region": 1, "slstm": 3}
"""Numbers per unit of the cell state, of cells that have one."""

DTYPES = (torch.float32, torch.float64)

Weights = tuple[Tensor | None, Tensor, Tensor, Tensor]
"""PyTorch's two weights and two biases; without an input weight, inputs are added to the gates."""

PER_DIRECTION = 6  # tensors: four weights, and the initial hidden and cell state

# Positions of the outputs and of their gradient among the arrays of a call. They contain all
# directions, so each direction needs its own address; so do inputs without a weight.
DIRECTIONAL = (10, 13)
DIRECTIONAL_INPUTS = (1, 16)


def run_layer(
    cell: str,
    inputs: Tensor,
    weights: Sequence[Weights],
    lengths: Tensor | None,
    states: Sequence[tuple[Tensor, ...] | None],
    directions: tuple[bool, ...],
) -> tuple[Tensor, list[tuple[Tensor, ...]]]:
    """Run a layer over whole sequences, on the CPU in float32 or float64.

    Weights, states (batch, hidden) and `directions`, True for backwards, have one entry per
    direction. Weights may have a leading dimension of groups, which are networks of one shape. The
    batch then contains the sequences of all groups in equal parts, group by group.
    Outputs (batch, time, directions · hidden) are zero beyond the lengths.
    """
    if torch.is_autocast_enabled("cpu"):
        with torch.autocast("cpu", enabled=False):
            return run_layer(cell, inputs, weights, lengths, states, directions)
    dtype, groups = weights[0][1].dtype, weights[0][1].shape[:-2]
    check_shapes(cell, inputs, weights, lengths, states)

    def prepared(tensor: Tensor | None, dtype: torch.dtype) -> Tensor | None:
        if tensor is None:
            return None
        size = len(tensor) // groups.numel()
        return tensor.to(dtype).contiguous().view(*groups, size, *tensor.shape[1:])

    tensors: list[Tensor | None] = []
    for own_weights, state in zip(weights, states, strict=True):
        tensors += [None if weight is None else weight.contiguous() for weight in own_weights]
        tensors += [prepared(part, dtype) for part in (*(state or ()), None, None)[:2]]
    # `Function.apply` has no annotations.
    results = FusedLayer.apply(  # type: ignore[no-untyped-call]
        cell,
        directions,
        torch.is_grad_enabled(),
        prepared(inputs, dtype),
        prepared(lengths, torch.int64),
        *tensors,
    )
    if groups:
        results = tuple(result.flatten(0, 1) for result in results)
    finals = results[1:]
    size = len(finals) // len(directions)
    return results[0], [finals[i : i + size] for i in range(0, len(finals), size)]


def check_shapes(
    cell: str,
    inputs: Tensor,
    weights: Sequence[Weights],
    lengths: Tensor | None,
    states: Sequence[tuple[Tensor, ...] | None],
) -> None:
    """Raise ValueError for shapes with which the kernel would read outside of an array."""
    input_weight, weight, *_ = weights[0]
    gates, hidden = weight.shape[-2:]
    features = len(weights) * gates if input_weight is None else input_weight.shape[-1]
    if inputs.dim() != 3 or inputs.shape[-1] != features:
        raise ValueError(f"inputs {tuple(inputs.shape)}: must be (batch, time, {features})")
    batch = len(inputs)
    if lengths is not None and lengths.shape != (batch,):
        raise ValueError(f"lengths {tuple(lengths.shape)}: must be ({batch},)")
    sizes = (hidden, CELL_PARTS.get(cell, 0) * hidden)
    for state in states:
        for part, size in zip(state or (), sizes, strict=False):
            if part.shape != (batch, size):
                raise ValueError(f"state {tuple(part.shape)}: must be ({batch}, {size})")


class FusedLayer(torch.autograd.Function):
    """The outputs and final states of a layer, from contiguous tensors; see `run_layer`."""

    @staticmethod
    def forward(
        ctx: Any,
        cell: str,
        directions: tuple[bool, ...],
        has_backward: bool,
        inputs: Tensor,
        lengths: Tensor | None,
        *own: Tensor | None,
    ) -> tuple[Tensor, ...]:
        """Return outputs and, direction by direction, final states."""
        has_gates = has_backward and not cell.startswith("rnn")
        *sequences, time, _ = inputs.shape
        gates, hidden = cast(Tensor, own[1]).shape[-2:]
        outputs = inputs.new_empty(*sequences, time, len(directions) * hidden)
        finals: list[Tensor] = []
        saved: list[Tensor | None] = []
        parts = CELL_PARTS.get(cell, 0)
        for number in range(len(directions)):
            sizes = [hidden, parts * hidden] if parts else [hidden]
            states = [outputs.new_empty(*sequences, size) for size in sizes]
            activations = outputs.new_empty(*sequences, time, gates) if has_gates else None
            memory = (
                outputs.new_empty(*sequences, time, max(1, parts) * hidden) if has_gates else None
            )
            given = own[PER_DIRECTION * number : PER_DIRECTION * (number + 1)]
            arrays = (lengths, inputs, *given, activations, memory, outputs, *states)
            call("forward", cell, directions, number, *arrays)
            finals += states
            saved += [activations, memory]
        if has_backward:
            ctx.cell, ctx.directions = cell, directions
            ctx.set_materialize_grads(False)
            ctx.save_for_backward(inputs, lengths, outputs, *saved, *own)
        return outputs, *finals

    @staticmethod
    def backward(
        ctx: Any, output_gradient: Tensor | None, *final_gradients: Tensor | None
    ) -> tuple[Tensor | None, ...]:
        """Return the gradients of `forward`'s arguments."""
        if torch.is_grad_enabled():  # by create_graph
            raise RuntimeError(
                "the fused kernel has no second derivative; use model.kernel=torch instead"
            )
        inputs, lengths, outputs, *rest = ctx.saved_tensors
        _, _, _, needs_input, _, *needs = ctx.needs_input_grad
        count = len(ctx.directions)
        size = len(final_gradients) // count
        saved, own = rest[: 2 * count], rest[2 * count :]
        input_gradient = torch.empty_like(inputs) if needs_input else None
        # The kernel writes the gradients of all weights, needed or not.
        gradients = [
            torch.empty_like(tensor)
            if tensor is not None and (place % PER_DIRECTION < 4 or is_needed)
            else None
            for place, (tensor, is_needed) in enumerate(zip(own, needs, strict=True))
        ]
        for number in range(count):
            part = slice(PER_DIRECTION * number, PER_DIRECTION * (number + 1))
            final = (*final_gradients[size * number : size * (number + 1)], None)[:2]
            given = [None if g is None else g.contiguous() for g in (output_gradient, *final)]
            call(
                *("backward", ctx.cell, ctx.directions, number, lengths, inputs, *own[part]),
                *(*saved[2 * number : 2 * number + 2], outputs, None, None),
                *(*given, input_gradient, *gradients[part]),
            )
        return None, None, None, input_gradient, None, *gradients


def call(
    name: str, cell: str, directions: tuple[bool, ...], number: int, *arrays: Tensor | None
) -> None:
    """Call a compiled function for one direction, with the arrays of `Call` in the source."""
    inputs, weight = cast(Tensor, arrays[1]), cast(Tensor, arrays[3])
    gates, hidden = weight.shape[-2:]
    addresses = [0 if array is None else array.data_ptr() for array in arrays]
    sizes = dict.fromkeys(DIRECTIONAL, hidden)
    if arrays[2] is None:
        sizes |= dict.fromkeys(DIRECTIONAL_INPUTS, gates)
    for place, size in sizes.items():
        if number and len(addresses) > place and addresses[place]:
            addresses[place] += number * size * inputs.element_size()
    library().run(
        f"{name}_float64" if inputs.dtype == torch.float64 else f"{name}_float32",
        *(CELLS.index(cell), *(1, *inputs.shape)[-4:], hidden),
        *(len(directions) * hidden, int(directions[number]), int(number > 0)),
        *(torch.get_num_threads(), *addresses),
    )
