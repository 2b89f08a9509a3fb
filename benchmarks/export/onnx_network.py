"""ONNX graph of a network with one node per layer; PyTorch's exporters unroll steps."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, cast

import numpy as np
from onnx import ModelProto, TensorProto
from torch import Tensor, nn

from benchmarks.errors import UserError
from benchmarks.export.onnx_graph import INT8_REDUCED_MOST, MICROSOFT, Array, Graph, as_int8
from benchmarks.export.signature import Signature
from models.kernels.layer import Weights
from models.modules.pytorch_cells import Cell, complete
from models.modules.recurrent import RecurrentEncoder
from tasks.modules.network import SequenceNetwork

GATES = {"LSTM": (0, 3, 1, 2), "GRU": (1, 0, 2), "RNN": (0,)}
"""Positions of ONNX's gates in PyTorch's order: i, o, f, c (LSTM) and update, reset, new (GRU)."""


class NoOnnxFormError(UserError):
    """No operations of ONNX compute a network."""


def checked_form(network: nn.Module) -> tuple[SequenceNetwork, RecurrentEncoder]:
    """Return a network and its encoder, or raise NoOnnxFormError if one has no ONNX form."""
    if not isinstance(network, SequenceNetwork):
        raise NoOnnxFormError(
            f"no ONNX form of the network {type(network).__name__}: a task whose networks are "
            f"exported returns a tasks.modules.network.SequenceNetwork"
        )
    encoder = network.encoder
    if not isinstance(encoder, RecurrentEncoder):
        name = type(encoder).__name__
        raise NoOnnxFormError(
            f"no ONNX form of the encoder {name} (supported: bare layers of rnn, lstm, gru, region)"
        )
    return network, encoder


def onnx_model(
    network: nn.Module, signature: Signature, is_int8: bool, metadata: dict[str, str]
) -> ModelProto:
    """Return a trained network on the CPU as an ONNX model; an int8 LSTM also computes in int8.

    Raises:
        NoOnnxFormError: the network or its encoder has no ONNX form.
    """
    network, encoder = checked_form(network)
    graph = Graph(is_int8)
    dtype = str(signature.input_dtype).removeprefix("torch.")
    inputs = graph.input("inputs", dtype, ("batch", "time", *signature.input_shape))
    lengths = graph.input("lengths", "int64", ("batch",)) if signature.has_lengths else None
    names = signature.state_names()
    shapes = signature.state_shapes()
    state = [graph.input(name, "float32", shape) for name, shape in zip(names, shapes, strict=True)]
    rows, in_rows = inputs, lengths
    if network.chop is not None:
        rows, in_rows = chunks(graph, inputs, lengths, network.chop)
    features = rows
    if network.embedding is not None:
        features = graph.rows(array(network.embedding.weight), rows)
    outputs, finals = recurrent(graph, encoder, features, in_rows, state)
    if network.chop is not None:
        outputs = joined(graph, outputs, inputs, encoder.output_size)
    if network.pooling is not None:
        outputs = pooled(graph, network, encoder, outputs, finals[0], lengths)
        finals = []
    outputs = linear(graph, network.head, outputs, is_pooled=network.pooling is not None)
    if network.has_single_output:
        outputs = graph.node("Squeeze", outputs, graph.constant([-1], np.int64))
    graph.output("outputs", outputs, signature.output_shape)
    for name, final, shape in zip(names, finals, shapes, strict=True):
        graph.output(f"new_{name}", final, shape)
    return graph.model(metadata)


def chunks(graph: Graph, inputs: str, lengths: str | None, chop: int) -> tuple[str, str]:
    """Return ids (batch · chunks, chop) and their lengths: see `SequenceNetwork`."""
    assert lengths is not None
    time = graph.node("Shape", inputs, start=1)
    size, before = graph.constant([chop], np.int64), graph.constant([chop - 1], np.int64)
    whole = graph.node("Mul", graph.node("Div", graph.node("Add", time, before), size), size)
    beyond = graph.node("Sub", whole, time)
    pads = graph.node("Concat", graph.constant([0, 0, 0], np.int64), beyond, axis=0)
    rows = graph.node("Pad", inputs, pads)
    zero, step = graph.constant(0, np.int64), graph.constant(chop, np.int64)
    starts = graph.node("Range", zero, graph.node("Squeeze", whole), step)
    each = graph.node("Unsqueeze", lengths, graph.constant([1], np.int64))
    in_chunk = graph.node("Clip", graph.node("Sub", each, starts), zero, step)
    shape = graph.constant([-1, chop], np.int64)
    return graph.node("Reshape", rows, shape), graph.node(
        "Reshape", in_chunk, graph.constant([-1], np.int64)
    )


def joined(graph: Graph, outputs: str, inputs: str, width: int) -> str:
    """Return outputs of chunks as (batch, time, width), with the sequences of the inputs."""
    batch = graph.node("Shape", inputs, end=1)
    shape = graph.node("Concat", batch, graph.constant([-1, width], np.int64), axis=0)
    return graph.node("Reshape", outputs, shape)


def pooled(
    graph: Graph,
    network: SequenceNetwork,
    encoder: RecurrentEncoder,
    outputs: str,
    hidden: str,
    lengths: str | None,
) -> str:
    """Pool outputs (batch, time, width) over valid steps: see `SequenceNetwork.pooled`."""
    pooling = network.pooling
    if pooling == "last":
        return last(graph, hidden, encoder)
    valid, each = (None, None) if lengths is None else valid_steps(graph, outputs, lengths)
    if isinstance(network.attention, nn.Sequential):
        first, _, second = network.attention
        scores = graph.node("Tanh", linear(graph, cast(nn.Linear, first), outputs, False))
        column = graph.constant(array(cast(nn.Linear, second).weight).T)
        return attended(graph, outputs, graph.node("MatMul", scores, column), valid)
    if pooling == "max_attention":
        query = max_over_steps(graph, outputs, valid)
        column = graph.node("Unsqueeze", query, graph.constant([2], np.int64))
        return attended(graph, outputs, graph.node("MatMul", outputs, column), valid)
    parts = []
    if pooling in ("mean", "mean_max"):
        parts.append(mean_over_steps(graph, outputs, valid, each))
    if pooling in ("max", "mean_max"):
        parts.append(max_over_steps(graph, outputs, valid))
    return parts[0] if len(parts) == 1 else graph.node("Concat", *parts, axis=1)


def attended(graph: Graph, outputs: str, scores: str, valid: str | None) -> str:
    """Average outputs over valid steps, weighted by the softmax of scores (batch, time, 1)."""
    if valid is not None:
        mask = graph.node("Unsqueeze", valid, graph.constant([2], np.int64))
        scores = graph.node("Where", mask, scores, graph.constant(-np.inf, np.float32))
    weights = graph.node("Softmax", graph.node("Transpose", scores, perm=[0, 2, 1]), axis=2)
    mean = graph.node("MatMul", weights, outputs)
    return graph.node("Squeeze", mean, graph.constant([1], np.int64))


def max_over_steps(graph: Graph, outputs: str, valid: str | None) -> str:
    """Return the maximum of outputs over valid steps; all are valid without a mask."""
    if valid is not None:
        mask = graph.node("Unsqueeze", valid, graph.constant([2], np.int64))
        outputs = graph.node("Where", mask, outputs, graph.constant(-np.inf, np.float32))
    return graph.node("ReduceMax", outputs, axes=[1], keepdims=0)


def valid_steps(graph: Graph, outputs: str, lengths: str) -> tuple[str, str]:
    """Return a mask (batch, time) of the valid steps, and the lengths (batch, 1)."""
    zero, one = graph.constant(0, np.int64), graph.constant(1, np.int64)
    time = graph.node("Gather", graph.node("Shape", outputs), one)
    steps = graph.node("Range", zero, time, one)
    each = graph.node("Unsqueeze", lengths, graph.constant([1], np.int64))
    return graph.node("Less", steps, each), each


def mean_over_steps(graph: Graph, outputs: str, valid: str | None, each: str | None) -> str:
    """Average outputs over valid steps; all are valid without a mask."""
    if valid is None or each is None:
        return graph.node("ReduceMean", outputs, axes=[1], keepdims=0)
    # Outputs beyond a length are undefined; they are multiplied by 0.
    share = graph.node("Cast", valid, to=TensorProto.FLOAT)
    share = graph.node("Div", share, graph.node("Cast", each, to=TensorProto.FLOAT))
    share = graph.node("Unsqueeze", share, graph.constant([1], np.int64))
    mean = graph.node("MatMul", share, outputs)
    return graph.node("Squeeze", mean, graph.constant([1], np.int64))


def linear(graph: Graph, layer: nn.Linear, features: str, is_pooled: bool) -> str:
    """Apply a linear layer to features (batch, width), or (batch, time, width)."""
    weight, bias = graph.matrix(array(layer.weight)), graph.constant(array(layer.bias))
    if is_pooled:
        return graph.node("Gemm", features, weight, bias, transB=1)
    weight = graph.node("Transpose", weight, perm=[1, 0])
    return graph.node("Add", graph.node("MatMul", features, weight), bias)


def last(graph: Graph, hidden: str, encoder: RecurrentEncoder) -> str:
    """Return the outputs after the last steps (batch, output_size): see `last_outputs`."""
    directions, layers = encoder.directions, encoder.num_layers
    ends = graph.node("Slice", hidden, *bounds(graph, -directions, 2**31))
    for layer in range(layers - 1) if encoder.residual else ():
        part = bounds(graph, layer * directions, (layer + 1) * directions)
        ends = graph.node("Add", ends, graph.node("Slice", hidden, *part))
    ends = graph.node("Transpose", ends, perm=[1, 0, 2])
    return graph.node("Reshape", ends, graph.constant([0, encoder.output_size], np.int64))


def bounds(graph: Graph, start: int, stop: int) -> list[str]:
    """Return the inputs of `Slice` that cut the first dimension."""
    return [graph.constant([number], np.int64) for number in (start, stop, 0)]


def recurrent(
    graph: Graph, encoder: RecurrentEncoder, inputs: str, lengths: str | None, state: list[str]
) -> tuple[str, list[str]]:
    """Add the layers of an encoder; return outputs (batch, time, features) and final state."""
    layers, directions = encoder.num_layers, encoder.directions
    if lengths is not None:
        lengths = graph.node("Cast", lengths, to=TensorProto.INT32)
    values = graph.node("Transpose", inputs, perm=[1, 0, 2])
    finals: list[list[str]] = []
    for layer in range(layers):
        place = layer * directions
        cells = [cast(Cell, cell) for cell in encoder.cells[place : place + directions]]
        start = [
            graph.node("Slice", part, *bounds(graph, place, place + directions)) for part in state
        ]
        before = values
        outputs, *ends = one_layer(graph, cells, values, lengths or "", start)
        # (time, directions, batch, hidden) to (time, batch, output_size).
        values = graph.node("Transpose", outputs, perm=[0, 2, 1, 3])
        shape = graph.constant([0, 0, encoder.output_size], np.int64)
        values = graph.node("Reshape", values, shape)
        if layer and encoder.residual:
            values = graph.node("Add", values, before)
        finals.append(ends)
    outputs = graph.node("Transpose", values, perm=[1, 0, 2])
    return outputs, [graph.node("Concat", *parts, axis=0) for parts in zip(*finals, strict=True)]


def one_layer(
    graph: Graph, cells: list[Cell], inputs: str, lengths: str, state: list[str]
) -> list[str]:
    """Add one layer: outputs (time, directions, batch, hidden) and final states."""
    kind = cells[0].mode.partition("_")[0].upper()
    attributes: dict[str, Any] = {
        "hidden_size": cells[0].hidden_size,
        "direction": "bidirectional" if len(cells) == 2 else "forward",
    }
    if kind == "GRU":
        attributes["linear_before_reset"] = 1  # PyTorch applies the reset gate to R·h + b
    if cells[0].mode == "RNN_RELU":
        attributes["activations"] = ["Relu"] * len(cells)
    count = 3 if kind == "LSTM" else 2
    weights = zip(*(weights_of(cells, place) for place in range(len(cells))), strict=True)
    input_weights, hidden_weights, *pair = (stacked(kind, parts) for parts in weights)
    biases = np.concatenate(pair, axis=1)
    start = [*state, *[""] * (count - 1 - len(state))]
    scales: list[str] = []
    if kind == "LSTM" and graph.is_int8:
        kind, attributes["domain"] = "DynamicQuantizeLSTM", MICROSOFT
        pairs = [quantised(graph, each) for each in (input_weights, hidden_weights)]
        matrices = [matrix for matrix, _ in pairs]
        scales = ["", *pairs[0][1], *pairs[1][1]]  # no weights for peepholes
    else:
        matrices = [shaped(graph, each) for each in (input_weights, hidden_weights)]
    given = (inputs, *matrices, graph.constant(biases), lengths, *start, *scales)
    return graph.nodes(kind, *given, count=count, **attributes)


def weights_of(cells: list[Cell], place: int) -> list[Array]:
    """Return the weights of a direction; those of inputs select its part of a row of a table."""
    cell = cells[place]
    own = cast(Weights, tuple(cell.all_weights[0]))
    first, *others = complete(cell, own)
    if own[0] is None:
        size = first.shape[1]
        first = nn.functional.pad(first, (place * size, (len(cells) - 1 - place) * size))
    return [array(each) for each in (first, *others)]


def stacked(kind: str, parts: Sequence[Array]) -> Array:
    """Return weights (directions, gates · hidden, …) with the gates in ONNX's order."""
    weights = np.stack(parts)
    blocks = np.split(weights, len(GATES[kind]), axis=1)
    return np.concatenate([blocks[gate] for gate in GATES[kind]], axis=1)


def shaped(graph: Graph, weights: Array) -> str:
    """Add weights (directions, rows, columns) as one matrix that is reshaped."""
    if not graph.is_int8:
        return graph.constant(weights)
    matrix = graph.matrix(weights.reshape(-1, weights.shape[-1]))
    return graph.node("Reshape", matrix, graph.constant(weights.shape, np.int64))


def quantised(graph: Graph, weights: Array) -> tuple[str, list[str]]:
    """Add a matrix (directions, columns, rows), and scales and zero points (directions, rows)."""
    directions, rows, columns = weights.shape
    whole, scales = as_int8(weights.reshape(-1, columns), INT8_REDUCED_MOST)
    matrix = graph.constant(whole.reshape(directions, rows, columns).transpose(0, 2, 1))
    shape = (directions, rows)
    zeros = np.zeros(shape, np.int8)
    return matrix, [graph.constant(scales.reshape(shape)), graph.constant(zeros)]


def array(weights: Tensor) -> Array:
    """Return weights as an array."""
    return np.asarray(weights.detach())
