"""Networks as `torch.export` programs, in which a recurrent layer stays one operation.

Traced as it is, a layer becomes its steps one by one, as many as the example had. Here each call of
PyTorch's recurrent layers is traced as an operation of our own, of which only the shapes are known,
and that is put back into PyTorch's in the finished graph. A loaded program needs PyTorch alone.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn
from torch.export import Dim, ExportedProgram
from torch.overrides import TorchFunctionMode

from models.modules.encoder import State
from tasks.base import Batch

ROOM = "rnnbench_export"
LAYERS = ("lstm", "gru", "rnn_tanh", "rnn_relu")
OPTIONS = (
    "Tensor[] params, bool has_biases, int num_layers, float dropout, bool train, "
    "bool bidirectional, bool batch_first"
)

library = torch.library.Library(ROOM, "DEF")  # type: ignore[no-untyped-call]


def shapes_of_layer(
    inputs: Tensor, state: Tensor | list[Tensor], weights: list[Tensor], *options: Any
) -> tuple[Tensor, ...]:
    """Give outputs of a recurrent layer that have their shapes alone; batch first."""
    states = [state] if isinstance(state, Tensor) else state
    *_, bidirectional, batch_first = options
    assert batch_first
    width = (2 if bidirectional else 1) * states[0].shape[-1]
    outputs = inputs.new_empty(inputs.shape[0], inputs.shape[1], width)
    return outputs, *(torch.empty_like(each) for each in states)


def define_layers() -> None:
    """Define our operations, which take what PyTorch's do."""
    for name in LAYERS:
        state, results = "Tensor hx", "(Tensor, Tensor)"
        if name == "lstm":
            state, results = "Tensor[] hx", "(Tensor, Tensor, Tensor)"
        schema = f"{name}(Tensor input, {state}, {OPTIONS}) -> {results}"
        library.define(schema)  # type: ignore[no-untyped-call]
        torch.library.register_fake(f"{ROOM}::{name}", shapes_of_layer, lib=library)


define_layers()


class LayersInOnePiece(TorchFunctionMode):
    """Within, calls of PyTorch's recurrent layers go to our operations."""

    def __init__(self) -> None:
        super().__init__()
        rooms = (torch, torch._VF)
        self.ours: dict[Any, Callable[..., Any]] = {
            getattr(room, name): getattr(getattr(torch.ops, ROOM), name)
            for room in rooms
            for name in LAYERS
        }

    def __torch_function__(
        self,
        function: Any,
        types: Any,
        arguments: tuple[Any, ...] = (),
        options: dict[str, Any] | None = None,
    ) -> Any:
        """Call a function of torch, or ours in its place."""
        return self.ours.get(function, function)(*arguments, **(options or {}))


class Plain(nn.Module):
    """A network of full sequences that stand alone: inputs to outputs."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, inputs: Tensor) -> Any:
        """Outputs alone."""
        return self.network(inputs, None, None)[0]


class Ragged(Plain):
    """A network of sequences of different lengths: inputs and lengths to outputs."""

    def forward(self, inputs: Tensor, lengths: Tensor) -> Any:  # type: ignore[override]
        """Outputs alone."""
        return self.network(inputs, lengths, None)[0]


class Streaming(Plain):
    """A network that goes on where it was: inputs and state to outputs and state."""

    def forward(self, inputs: Tensor, state: State) -> Any:  # type: ignore[override]
        """Outputs, and the state to go on from."""
        return self.network(inputs, None, state)


def export_program(network: nn.Module, example: Batch, state: State | None) -> ExportedProgram:
    """Trace a network with any number of sequences of any length.

    Args:
        network: in eval mode, over PyTorch's own kernels.
        example: of at least two sequences: of one, the number would be taken for fixed.
        state: of as many sequences, for a network that carries one.
    """
    # Twice as long, as a single step would be taken for fixed too.
    inputs = torch.cat([example.inputs, example.inputs], dim=1)
    dynamic = {0: Dim.DYNAMIC, 1: Dim.DYNAMIC}
    arguments: tuple[Any, ...] = (inputs,)
    shapes: tuple[Any, ...] = (dynamic,)
    form = Plain(network)
    if state is not None:
        form = Streaming(network)
        arguments, shapes = (inputs, state), (dynamic, tuple({1: Dim.DYNAMIC} for _ in state))
    elif example.lengths is not None:
        form = Ragged(network)
        arguments, shapes = (inputs, example.lengths), (dynamic, {0: Dim.DYNAMIC})
    with LayersInOnePiece(), torch.no_grad(), warnings.catch_warnings():
        # The lists that PyTorch's layers keep of their own weights; tracing puts them back.
        warnings.filterwarnings("ignore", "The tensor attribute", UserWarning)
        program = torch.export.export(form.eval(), arguments, dynamic_shapes=shapes, strict=False)
    for node in program.graph.nodes:
        if node.op == "call_function" and getattr(node.target, "namespace", "") == ROOM:
            name = node.target._schema.name.partition("::")[2]
            node.target = getattr(torch.ops.aten, name).input
    program.graph_module.recompile()
    return program
