"""Exported networks with the call signature of the original networks."""

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


class ProgramNetwork(nn.Module):
    """A `torch.export` program."""

    def __init__(self, program: ExportedProgram, signature: Signature) -> None:
        super().__init__()
        self.signature = signature
        # The program's module has no eval mode, so it must not become a submodule.
        self.call: Callable[..., Any] = program.module().forward

    def forward(
        self, inputs: Tensor, lengths: Tensor | None, state: State | None
    ) -> tuple[Tensor, State | None]:
        """See `tasks.base.Task.network`."""
        if self.signature.states:
            outputs, state = self.call(inputs, state or self.signature.zero_state(inputs))
            return outputs, state
        given = (inputs, lengths) if self.signature.has_lengths else (inputs,)
        return self.call(*given), None


class OnnxNetwork(nn.Module):
    """An ONNX file, run by ONNX Runtime on the CPU."""

    def __init__(self, path: Path, signature: Signature, threads: int) -> None:
        super().__init__()
        self.signature = signature
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads
        options.inter_op_num_threads = 1
        options.log_severity_level = 3  # errors only
        self.session = onnxruntime.InferenceSession(
            path.read_bytes(), options, providers=["CPUExecutionProvider"]
        )

    def forward(
        self, inputs: Tensor, lengths: Tensor | None, state: State | None
    ) -> tuple[Tensor, State | None]:
        """See `tasks.base.Task.network`."""
        feed = {"inputs": inputs.numpy()}
        if self.signature.has_lengths and lengths is not None:
            feed["lengths"] = lengths.numpy()
        state = state or self.signature.zero_state(inputs)
        for name, part in zip(self.signature.state_names(), state or (), strict=True):
            feed[name] = part.numpy()
        outputs, *finals = map(torch.from_numpy, self.session.run(None, feed))
        return outputs, tuple(finals) if state is not None else None
