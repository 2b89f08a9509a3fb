"""One recurrent layer, of one or two directions, by the fused kernel."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, cast

import torch
from torch import Tensor

from models.kernels.compiler import CELLS, library

GATES = {"rnn_tanh": 1, "rnn_relu": 1, "lstm": 4, "gru": 3}

DTYPES = (torch.float32, torch.float64)

Weights = tuple[Tensor, Tensor, Tensor, Tensor]
"""As PyTorch has them: of the input (gates · hidden, features), recurrent (gates · hidden, hidden),
and two biases (gates · hidden,)."""

GIVEN = 6
"""Tensors of each direction: its weights, and the hidden and the cell state it starts from."""


@dataclass(frozen=True)
class Setup:
    """What of a call is no tensor.

    Attributes:
        cell: one of `GATES`.
        directions: for each, whether it reads a sequence from its last valid step to its first.
        keeps: what a backward pass needs is kept.
    """

    cell: str
    directions: tuple[bool, ...]
    keeps: bool


def run_layer(
    cell: str,
    inputs: Tensor,
    weights: Sequence[Weights],
    lengths: Tensor | None,
    states: Sequence[tuple[Tensor, ...] | None],
    directions: tuple[bool, ...],
) -> tuple[Tensor, list[tuple[Tensor, ...]]]:
    """Run a layer over whole sequences, on the CPU in float32 or float64.

    Weights may have one more dimension in front: of groups, networks of one shape. The batch is
    then theirs in equal parts, one after the other.

    Args:
        cell: one of `GATES`.
        inputs: (batch, time, features).
        weights: of each direction.
        lengths: (batch,) valid steps; None if all are full.
        states: of each direction, tensors (batch, hidden) to start from; None for zeros.
        directions: for each, whether it reads a sequence from its last valid step to its first.

    Returns:
        Outputs (batch, time, directions · hidden), zero beyond the lengths, and of each direction
        the state after the last step that it read, tensors (batch, hidden).

    Raises:
        ValueError: shapes do not fit together.
        models.kernels.compiler.UnavailableError: there is no kernel here.
    """
    if torch.is_autocast_enabled("cpu"):
        with torch.autocast("cpu", enabled=False):
            return run_layer(cell, inputs, weights, lengths, states, directions)
    dtype, groups = weights[0][0].dtype, weights[0][0].shape[:-2]
    check_shapes(inputs, weights[0], lengths, states)

    def prepared(tensor: Tensor | None, dtype: torch.dtype) -> Tensor | None:
        if tensor is None:
            return None
        tensor = tensor.to(dtype).contiguous()
        if not groups:
            return tensor
        return tensor.view(*groups, len(tensor) // groups[0], *tensor.shape[1:])

    given: list[Tensor | None] = []
    for own, state in zip(weights, states, strict=True):
        hidden, cells = (*(state or ()), None, None)[:2]
        given += [weight.contiguous() for weight in own]
        given += [prepared(hidden, dtype), prepared(cells, dtype)]
    results = FusedLayer.apply(  # type: ignore[no-untyped-call]
        Setup(cell, directions, torch.is_grad_enabled()),
        prepared(inputs, dtype),
        prepared(lengths, torch.int64),
        *given,
    )
    if groups:
        results = tuple(result.flatten(0, 1) for result in results)
    finals = results[1:]
    size = len(finals) // len(directions)
    return results[0], [finals[i : i + size] for i in range(0, len(finals), size)]


def check_shapes(
    inputs: Tensor,
    weights: Weights,
    lengths: Tensor | None,
    states: Sequence[tuple[Tensor, ...] | None],
) -> None:
    """Refuse what would lead the kernel out of an array.

    Raises:
        ValueError: shapes do not fit together.
    """
    features, hidden = weights[0].shape[-1], weights[1].shape[-1]
    if inputs.dim() != 3 or inputs.shape[-1] != features:
        raise ValueError(f"inputs {tuple(inputs.shape)}: must be (batch, time, {features})")
    batch = len(inputs)
    if lengths is not None and lengths.shape != (batch,):
        raise ValueError(f"lengths {tuple(lengths.shape)}: must be ({batch},)")
    for part in (part for state in states for part in state or ()):
        if part.shape != (batch, hidden):
            raise ValueError(f"state {tuple(part.shape)}: must be ({batch}, {hidden})")


class FusedLayer(torch.autograd.Function):
    """A layer's outputs and last states; see `run_layer`.

    Inputs and lengths are followed by the `GIVEN` tensors of each direction. Every tensor may have
    one more dimension in front: of groups, networks of one shape with weights of their own, all in
    one call. All are contiguous.
    """

    @staticmethod
    def forward(
        ctx: Any, setup: Setup, inputs: Tensor, lengths: Tensor | None, *given: Tensor | None
    ) -> tuple[Tensor, ...]:
        """Return outputs and, direction by direction, last states."""
        keeps = setup.keeps and setup.cell in ("lstm", "gru")
        *sequences, time, _ = inputs.shape
        gates, hidden = cast(Tensor, given[1]).shape[-2:]
        outputs = inputs.new_empty(*sequences, time, len(setup.directions) * hidden)
        finals: list[Tensor] = []
        kept: list[Tensor | None] = []
        for number in range(len(setup.directions)):
            own = given[GIVEN * number : GIVEN * (number + 1)]
            states = [outputs.new_empty(*sequences, hidden) for _ in CELL_STATES[setup.cell]]
            activations = outputs.new_empty(*sequences, time, gates) if keeps else None
            memory = outputs.new_empty(*sequences, time, hidden) if keeps else None
            arrays = (lengths, inputs, *own, activations, memory, outputs, *states)
            call("forward", setup, number, *arrays)
            finals += states
            kept += [activations, memory]
        if setup.keeps:
            ctx.setup = setup
            ctx.set_materialize_grads(False)
            ctx.save_for_backward(inputs, lengths, outputs, *kept, *given)
        return outputs, *finals

    @staticmethod
    def backward(
        ctx: Any, output_gradient: Tensor | None, *final_gradients: Tensor | None
    ) -> tuple[Tensor | None, ...]:
        """Return the gradients of `forward`'s arguments."""
        if torch.is_grad_enabled():  # it was asked for by create_graph
            raise RuntimeError("the fused kernel has no second derivative; model.kernel=torch has")
        setup, (inputs, lengths, outputs, *rest) = ctx.setup, ctx.saved_tensors
        _, wants_input, _, *wants = ctx.needs_input_grad
        count = len(setup.directions)
        size = len(final_gradients) // count
        kept, given = rest[: 2 * count], rest[2 * count :]
        input_gradient = torch.empty_like(inputs) if wants_input else None
        # The kernel makes the gradients of all weights, wanted or not.
        gradients = [
            torch.empty_like(tensor)
            if tensor is not None and (place % GIVEN < 4 or wanted)
            else None
            for place, (tensor, wanted) in enumerate(zip(given, wants, strict=True))
        ]
        for number in range(count):
            part = slice(GIVEN * number, GIVEN * (number + 1))
            last = (*final_gradients[size * number : size * (number + 1)], None)[:2]
            wanted = [None if g is None else g.contiguous() for g in (output_gradient, *last)]
            call(
                *("backward", setup, number, lengths, inputs, *given[part]),
                *(*kept[2 * number : 2 * number + 2], outputs, None, None),
                *(*wanted, input_gradient, *gradients[part]),
            )
        return None, input_gradient, None, *gradients


CELL_STATES = {cell: ("hidden", "cell") if cell == "lstm" else ("hidden",) for cell in GATES}
"""What the state of a cell is made of."""

OF_ALL_DIRECTIONS = (10, 13)
"""Places of the outputs and of their gradient among a call's arrays."""


def call(name: str, setup: Setup, number: int, *arrays: Tensor | None) -> None:
    """Call a compiled function for one of a layer's directions.

    The arrays are contiguous, in the source's order; what is missing at their end is null.
    """
    inputs, weight = cast(Tensor, arrays[1]), cast(Tensor, arrays[3])
    hidden = weight.shape[-1]
    addresses = [0 if array is None else array.data_ptr() for array in arrays]
    for place in OF_ALL_DIRECTIONS:
        if number and len(addresses) > place and addresses[place]:
            addresses[place] += number * hidden * inputs.element_size()
    library().run(
        f"{name}_float64" if inputs.dtype == torch.float64 else f"{name}_float32",
        *(CELLS.index(setup.cell), *(1, *inputs.shape)[-4:], hidden),
        *(len(setup.directions) * hidden, int(setup.directions[number]), int(number > 0)),
        *(torch.get_num_threads(), *addresses),
    )
