"""`torch.export` programs with one operation per recurrent layer, which is not unrolled."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn
from torch.export import Dim, ExportedProgram
from torch.overrides import TorchFunctionMode

from benchmarks.errors import UserError, one_line
from models.modules.encoder import Encoder, State
from tasks.base import Batch

NAMESPACE = "rnnbench_export"
LAYERS = ("lstm", "gru", "rnn_tanh", "rnn_relu")
OPTIONS = (
    "Tensor[] params, bool has_biases, int num_layers, float dropout, bool train, "
    "bool bidirectional, bool batch_first"
)

# torch.library has no annotations.
library = torch.library.Library(NAMESPACE, "DEF")  # type: ignore[no-untyped-call]


def empty_outputs(
    inputs: Tensor, state: Tensor | list[Tensor], weights: list[Tensor], *options: Any
) -> tuple[Tensor, ...]:
    """Return empty outputs of a recurrent layer, batch first."""
    states = [state] if isinstance(state, Tensor) else state
    *_, bidirectional, batch_first = options
    assert batch_first
    width = (2 if bidirectional else 1) * states[0].shape[-1]
    outputs = inputs.new_empty(inputs.shape[0], inputs.shape[1], width)
    return outputs, *(torch.empty_like(each) for each in states)


for layer in LAYERS:  # placeholders have the signatures of PyTorch's operations
    signature = "Tensor hx, {}) -> (Tensor, Tensor)"
    if layer == "lstm":
        signature = "Tensor[] hx, {}) -> (Tensor, Tensor, Tensor)"
    schema = f"{layer}(Tensor input, {signature.format(OPTIONS)}"
    library.define(schema)  # type: ignore[no-untyped-call]
    torch.library.register_fake(f"{NAMESPACE}::{layer}", empty_outputs, lib=library)


class PlaceholderLayers(TorchFunctionMode):
    """Context in which calls of PyTorch's recurrent layers call the placeholders."""

    def __init__(self) -> None:
        super().__init__()
        self.placeholders: dict[Any, Callable[..., Any]] = {
            getattr(module, name): getattr(getattr(torch.ops, NAMESPACE), name)
            for module in (torch, torch._VF)
            for name in LAYERS
        }

    def __torch_function__(
        self,
        function: Any,
        types: Any,
        arguments: tuple[Any, ...] = (),
        options: dict[str, Any] | None = None,
    ) -> Any:
        """Call a function of torch, or its placeholder."""
        return self.placeholders.get(function, function)(*arguments, **(options or {}))


class Plain(nn.Module):
    """A network of independent sequences of full length: inputs to outputs."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, inputs: Tensor) -> Any:
        """Return the outputs."""
        return self.network(inputs, None, None)[0]


# `forward` takes what the exported program takes: lengths or a state besides the inputs.


class Ragged(Plain):
    """A network of sequences of different lengths: inputs and lengths to outputs."""

    def forward(self, inputs: Tensor, lengths: Tensor) -> Any:  # type: ignore[override]
        """Return the outputs."""
        return self.network(inputs, lengths, None)[0]


class Streaming(Plain):
    """A network with a carried state: inputs and state to outputs and state."""

    def forward(self, inputs: Tensor, state: State) -> Any:  # type: ignore[override]
        """Return the outputs and the new state."""
        return self.network(inputs, None, state)


def check_loops(network: nn.Module) -> None:
    """Raise UserError for an encoder that a program would unroll step by step."""
    for module in network.modules():
        if isinstance(module, Encoder) and module.has_step_loop:
            raise UserError(
                f"no exported form of {type(module).__name__}, which computes step by step; "
                "scripts/predict.py and benchmarks.runner.load_run run it with rnnbench"
            )


def export_program(network: nn.Module, example: Batch, state: State | None) -> ExportedProgram:
    """Trace a network in eval mode for any number of sequences of any length.

    Raises:
        UserError: the network has a loop over steps.
    """
    check_loops(network)
    # Tracing takes dimensions of size 1 for fixed: two sequences or more, and steps doubled.
    inputs = torch.cat([example.inputs, example.inputs], dim=1)
    form = Plain(network)
    more: list[Any] = []
    shapes: list[Any] = []
    if state is not None:
        form, more, shapes = Streaming(network), [state], [tuple({1: Dim.DYNAMIC} for _ in state)]
    elif example.lengths is not None:
        form, more, shapes = Ragged(network), [example.lengths], [{0: Dim.DYNAMIC}]
    dynamic = ({0: Dim.DYNAMIC, 1: Dim.DYNAMIC}, *shapes)
    with PlaceholderLayers(), torch.no_grad(), warnings.catch_warnings():
        # PyTorch's layers keep lists of their weights, which tracing restores.
        warnings.filterwarnings("ignore", "The tensor attribute", UserWarning)
        try:
            program = torch.export.export(
                form.eval(), (inputs, *more), dynamic_shapes=dynamic, strict=False
            )
        except (RuntimeError, ValueError) as error:
            if "Constraints violated" not in str(error):
                raise
            raise UserError(
                "the network cannot be exported for sequences of any length: its code fixes the "
                f"number of steps or of sequences, as a loop over steps does ({one_line(error)})"
            ) from error
    for node in program.graph.nodes:
        if node.op == "call_function" and getattr(node.target, "namespace", "") == NAMESPACE:
            name = node.target._schema.name.partition("::")[2]
            node.target = getattr(torch.ops.aten, name).input
    program.graph_module.recompile()
    return program
