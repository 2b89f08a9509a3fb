"""Integer sums of the int8 LSTM are exact on x86 CPUs without VNNI.

There ONNX Runtime multiplies uint8 activations by int8 weights with `vpmaddubsw`, which adds two
products in int16 with saturation. The tests simulate the instruction, so they do not depend on the
CPU.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import ModelProto, NodeProto, TensorProto, helper, numpy_helper
from onnxruntime.quantization.quant_utils import get_qmin_qmax_for_qType

from benchmarks.export import onnx_network
from benchmarks.export.onnx_graph import INT8_MOST, INT8_REDUCED_MOST, Array
from benchmarks.export.onnx_network import onnx_model
from benchmarks.export.signature import Signature, real_batches
from tests.helpers.built_networks import built

INT16 = np.iinfo(np.int16)
LAYERS = {"bidirectional": True, "num_layers": 2, "hidden_size": 31}


def exported(**settings: Any) -> tuple[ModelProto, dict[str, Array]]:
    """Return the int8 model of a text network, and inputs for it."""
    network, task = built("text", **settings)
    batch = real_batches(task, 5, 1)[0]
    assert batch.lengths is not None
    model = onnx_model(network, Signature.of(network, batch), True, {})
    return model, {"inputs": batch.inputs.numpy(), "lengths": batch.lengths.numpy()}


def exact(activations: Array, weights: Array) -> Array:
    """Compute the product with sums in int32."""
    return activations.astype(np.int32) @ weights.astype(np.int32)


def saturating(activations: Array, weights: Array) -> Array:
    """Compute the product with sums of two in int16 with saturation, and the rest in int32."""
    products = activations.astype(np.int32)[:, :, None] * weights.astype(np.int32)
    pairs = np.add.reduceat(products, range(0, len(weights), 2), axis=1)
    found: Array = np.clip(pairs, INT16.min, INT16.max).sum(axis=1)
    return found


def quantised_lstms(model: ModelProto) -> list[tuple[NodeProto, Array, Array]]:
    """Return nodes with their input and hidden weights (directions, columns, rows)."""
    stored = {each.name: numpy_helper.to_array(each) for each in model.graph.initializer}
    return [
        (node, stored[node.input[1]], stored[node.input[2]])
        for node in model.graph.node
        if node.op_type == "DynamicQuantizeLSTM"
    ]


def extreme(weights: Array) -> Array:
    """Return the activations that give the largest and the smallest sums."""
    return 255 * np.concatenate([weights.T > 0, weights.T < 0]).astype(np.uint8)


def as_uint8(values: Array) -> Array:
    """Quantise with the formula of `DynamicQuantizeLinear`."""
    least, most = min(0.0, values.min()), max(0.0, values.max())
    scale = (most - least) / 255
    return np.clip(np.rint(values / scale) + np.rint(-least / scale), 0, 255).astype(np.uint8)


def products(model: ModelProto, feed: dict[str, Array], kind: str) -> list[tuple[Array, Array]]:
    """Return activations and weights of every product.

    Args:
        model: with nodes `DynamicQuantizeLSTM`.
        feed: its inputs.
        kind: "extreme" for the worst activations, "real" for those of `feed`.
    """
    nodes = quantised_lstms(model)
    names = [name for node, _, _ in nodes for name in (node.input[0], node.output[0])]
    if kind == "extreme":
        return [(extreme(each), each) for _, *pair in nodes for part in pair for each in part]
    for name in names:
        value = helper.make_tensor_value_info(name, TensorProto.FLOAT, None)
        model.graph.output.append(value)
    found = onnxruntime.InferenceSession(model.SerializeToString()).run(names, feed)
    pairs = []
    for (_, inputs, hidden), given, outputs in zip(nodes, found[::2], found[1::2], strict=True):
        for direction, (w, r) in enumerate(zip(inputs, hidden, strict=True)):
            pairs.append((as_uint8(given).reshape(-1, len(w)), w))
            pairs.append((as_uint8(outputs[:, direction]).reshape(-1, len(r)), r))
    return pairs


@pytest.mark.parametrize("kind", ["extreme", "real"])
def test_integer_sums_of_the_int8_lstm_do_not_saturate(kind: str) -> None:
    found = products(*exported(cell="lstm", **LAYERS), kind)
    assert len(found) == 8  # two layers, two directions, input and hidden weights
    for activations, weights in found:
        assert weights.dtype == np.int8
        assert np.abs(weights).max() == INT8_REDUCED_MOST
        assert (saturating(activations, weights) == exact(activations, weights)).all()


@pytest.mark.parametrize("kind", ["extreme", "real"])
def test_weights_of_eight_bits_do_saturate(kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(onnx_network, "INT8_REDUCED_MOST", INT8_MOST)
    found = products(*exported(cell="lstm", **LAYERS), kind)
    assert any((saturating(*pair) != exact(*pair)).any() for pair in found)


def test_the_range_is_the_largest_that_is_exact() -> None:
    least, most = get_qmin_qmax_for_qType(TensorProto.INT8, reduce_range=True, symmetric=True)
    assert (int(least), int(most)) == (-INT8_REDUCED_MOST, INT8_REDUCED_MOST)
    for sign in (-1, 1):
        weights = np.full((2, 1), sign * INT8_REDUCED_MOST)
        assert (saturating(extreme(weights), weights) == exact(extreme(weights), weights)).all()
    weights += 1
    assert (saturating(extreme(weights), weights) != exact(extreme(weights), weights)).any()


@pytest.mark.parametrize("cell", ["lstm", "gru", "rnn"])
def test_no_other_operation_is_in_integers(cell: str, tmp_path: Path) -> None:
    """Check the optimised graph, which is the one that ONNX Runtime executes."""
    options = onnxruntime.SessionOptions()
    options.optimized_model_filepath = str(tmp_path / "optimised.onnx")
    options.log_severity_level = 3  # errors; the file is specific to the CPU, which is a warning
    onnxruntime.InferenceSession(exported(cell=cell)[0].SerializeToString(), options)
    kinds = {node.op_type for node in onnx.load(options.optimized_model_filepath).graph.node}
    integer = {kind for kind in kinds if "Integer" in kind or kind.startswith(("Dynamic", "QLin"))}
    assert integer == ({"DynamicQuantizeLSTM"} if cell == "lstm" else set())
