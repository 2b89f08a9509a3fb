"""Builder of an ONNX graph with float32 or int8 weights."""

from __future__ import annotations

from typing import Any

import numpy as np
from onnx import ModelProto, TensorProto, ValueInfoProto, helper, numpy_helper

Array = np.ndarray[Any, Any]

OPSET = 17  # published in 2022 and supported by all current runtimes
IR_VERSION = 8
MICROSOFT = "com.microsoft"  # domain of the operations of ONNX Runtime

INT8_MOST = 127
# Largest weight in integer arithmetic, the `reduce_range` of ONNX Runtime: x86 CPUs without VNNI
# add two products in int16 with saturation, and 2 · 255 · 64 is within int16.
INT8_REDUCED_MOST = 64


class Graph:
    """Builder of a graph; as int8, matrices have one scale per row."""

    def __init__(self, is_int8: bool) -> None:
        self.is_int8 = is_int8
        self.inputs: list[ValueInfoProto] = []
        self.outputs: list[ValueInfoProto] = []
        self._nodes: list[Any] = []
        self._constants: list[TensorProto] = []

    def input(self, name: str, dtype: Any, shape: tuple[str | int, ...]) -> str:
        """Declare an input; named dimensions have any size."""
        kind = helper.np_dtype_to_tensor_dtype(np.dtype(dtype))
        self.inputs.append(helper.make_tensor_value_info(name, kind, shape))
        return name

    def output(self, name: str, value: str, shape: tuple[str | int, ...]) -> None:
        """Declare a float32 value as an output."""
        self._nodes.append(helper.make_node("Identity", [value], [name]))
        self.outputs.append(helper.make_tensor_value_info(name, TensorProto.FLOAT, shape))

    def node(self, kind: str, *inputs: str, domain: str = "", **attributes: Any) -> str:
        """Add a node with one output."""
        return self.nodes(kind, *inputs, count=1, domain=domain, **attributes)[0]

    def nodes(
        self, kind: str, *inputs: str, count: int, domain: str = "", **attributes: Any
    ) -> list[str]:
        """Add a node with several outputs; an omitted input is ""."""
        place = len(self._nodes)
        outputs = [f"{kind.lower()}_{place}_{i}" for i in range(count)]
        # Older versions of ONNX Runtime confuse unnamed nodes when they fuse them.
        self._nodes.append(
            helper.make_node(kind, inputs, outputs, outputs[0], domain=domain, **attributes)
        )
        return outputs

    def constant(self, values: Any, dtype: Any = None) -> str:
        """Add an array."""
        name = f"constant_{len(self._constants)}"
        array = np.ascontiguousarray(np.asarray(values, dtype=dtype))
        self._constants.append(numpy_helper.from_array(array.reshape(np.shape(values)), name))
        return name

    def matrix(self, values: Array) -> str:
        """Add a matrix; of int8 with a node that converts it to float32 when the file is loaded."""
        if not self.is_int8:
            return self.constant(values)
        whole, scales = as_int8(values)
        zeros = self.constant(np.zeros(len(scales), np.int8))
        return self.node(
            "DequantizeLinear", self.constant(whole), self.constant(scales), zeros, axis=0
        )

    def rows(self, table: Array, ids: str) -> str:
        """Look up rows of a table; of int8 only these rows are converted to float32."""
        if not self.is_int8:
            return self.node("Gather", self.constant(table), ids)
        whole, scales = as_int8(table)
        found = self.node("Gather", self.constant(whole), ids)
        scale = self.node("Gather", self.constant(scales[:, None]), ids)
        return self.node("Mul", self.node("Cast", found, to=TensorProto.FLOAT), scale)

    def model(self, metadata: dict[str, str]) -> ModelProto:
        """Return the model with its metadata."""
        graph = helper.make_graph(
            self._nodes, "network", self.inputs, self.outputs, self._constants
        )
        domains = {"": OPSET} | {node.domain: 1 for node in self._nodes if node.domain}
        model = helper.make_model(
            graph,
            producer_name="rnnbench",
            ir_version=IR_VERSION,
            opset_imports=[helper.make_opsetid(name, number) for name, number in domains.items()],
        )
        helper.set_model_props(model, metadata)
        return model


def as_int8(matrix: Array, most: int = INT8_MOST) -> tuple[Array, Array]:
    """Return a float32 matrix as integers from -most to most, and the scale of each row."""
    scales = np.maximum(np.abs(matrix).max(axis=1), np.finfo(np.float32).tiny * most)
    scales = (scales / most).astype(np.float32)
    return np.rint(matrix / scales[:, None]).astype(np.int8), scales
