"""Exported networks, called as the networks they were."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import onnxruntime
import torch
from torch import Tensor, nn
from torch.export import ExportedProgram

from benchmarks.export.signature import Signature
from models.modules.encoder import State

ERRORS_ALONE = 3
"""ONNX Runtime's level of severity from which it writes to the terminal."""


class ExportedNetwork(nn.Module):
    """What the harness evaluates and times as it does a network.

    Args:
        signature: of the network that was exported.
    """

    def __init__(self, signature: Signature) -> None:
        super().__init__()
        self.signature = signature

    def forward(
        self, inputs: Tensor, lengths: Tensor | None, state: State | None
    ) -> tuple[Tensor, State | None]:
        """See `tasks.base.Task.network`."""
        if state is None:
            state = self.signature.zero_state(inputs)
        return self.run(inputs, lengths if self.signature.has_lengths else None, state)

    def run(
        self, inputs: Tensor, lengths: Tensor | None, state: State | None
    ) -> tuple[Tensor, State | None]:
        """As `forward`, with lengths and state just as the exported network takes them."""
        raise NotImplementedError


class ProgramNetwork(ExportedNetwork):
    """A `torch.export` program."""

    def __init__(self, program: ExportedProgram, signature: Signature) -> None:
        super().__init__(signature)
        # Its module has no mode to be set, so it must not be found among this one's.
        self.call: Callable[..., Any] = program.module().forward

    def run(
        self, inputs: Tensor, lengths: Tensor | None, state: State | None
    ) -> tuple[Tensor, State | None]:
        """See `ExportedNetwork.run`."""
        if state is not None:
            outputs, state = self.call(inputs, state)
            return outputs, state
        return (self.call(inputs) if lengths is None else self.call(inputs, lengths)), None


class OnnxNetwork(ExportedNetwork):
    """An ONNX file, run by ONNX Runtime on the CPU.

    Args:
        path: the file.
        signature: of the network that was exported.
        threads: that one call may use.
    """

    def __init__(self, path: Path, signature: Signature, threads: int) -> None:
        super().__init__(signature)
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads
        options.inter_op_num_threads = 1
        options.log_severity_level = ERRORS_ALONE
        self.session = onnxruntime.InferenceSession(
            path.read_bytes(), options, providers=["CPUExecutionProvider"]
        )

    def run(
        self, inputs: Tensor, lengths: Tensor | None, state: State | None
    ) -> tuple[Tensor, State | None]:
        """See `ExportedNetwork.run`."""
        feed = {"inputs": inputs.numpy()}
        if lengths is not None:
            feed["lengths"] = lengths.numpy()
        for name, part in zip(self.signature.state_names(), state or (), strict=True):
            feed[name] = part.numpy()
        outputs, *finals = map(torch.from_numpy, self.session.run(None, feed))
        return outputs, tuple(finals) if state is not None else None
