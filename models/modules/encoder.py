"""The base class of all encoders; `tests/contract` checks its contract for every model."""

from __future__ import annotations

from abc import ABC, abstractmethod

import torch
from torch import Tensor, nn

from models.kernels.compiler import unavailable_reason
from models.kernels.layer import DTYPES

DYNAMICS_RATE = 0.25

State = tuple[Tensor, ...]
"""State: tensors whose first dimensions are (layers x directions, batch), e.g. (h,) or (h, c)."""


class Encoder(nn.Module, ABC):
    """Map a batch of sequences to a batch of sequences of features."""

    input_size: int
    output_size: int
    dropout: float  # of the outputs too, see `output_dropout`
    directions: int = 1  # whose outputs are parts of equal size, the forward direction first
    requested_kernel: str = "torch"  # or auto, fused
    kernel: str = "torch"  # of the last forward pass
    has_step_loop: bool = False  # in Python, which an exported program would unroll
    dynamics: tuple[str, ...] = ()
    """Names of parameters that decide how fast a state decays.

    Optimisers change them at `DYNAMICS_RATE` of the learning rate and without weight decay, as is
    usual for state space models.
    """

    @abstractmethod
    def forward(
        self,
        inputs: Tensor,
        lengths: Tensor | None = None,
        state: State | None = None,
        need_state: bool = True,
    ) -> tuple[Tensor, State | None]:
        """Return outputs (batch, time, output_size), and the state after the last valid steps.

        Outputs are zero beyond each length; finite inputs there have no effect. Lengths are
        None if all sequences are full. A length of 0 is possible without `need_state`, when the
        state may be None.
        """

    def output_dropout(self) -> nn.Module:
        """Return a new module for the dropout of outputs, or of what a task pools from them."""
        return nn.Dropout(self.dropout)

    @property
    def kernel_unavailable_reason(self) -> str | None:
        """Return why the requested kernel is unavailable; None if it is available."""
        if self.requested_kernel == "torch":
            return None
        if next(self.parameters()).device.type != "cpu":
            return "requires a CPU" if self.requested_kernel == "fused" else None
        return unavailable_reason()

    def can_fuse(self, inputs: Tensor) -> bool:
        """Return True if the requested kernel may be the CPU kernel, and it is available."""
        # Networks of several seeds have stacked tensors instead of parameters.
        dtype = next(self.parameters(), inputs).dtype
        is_possible = inputs.device.type == "cpu" and dtype in DTYPES
        return self.requested_kernel != "torch" and is_possible and unavailable_reason() is None

    @abstractmethod
    def flops_per_token(self) -> int:
        """Count the operations of the matrix products of one forward step of one sequence."""

    def last_outputs(
        self, outputs: Tensor, lengths: Tensor | None, state: State | None = None
    ) -> Tensor:
        """Select each sequence's outputs (batch, output_size) after its last valid step.

        For a backward direction these are the outputs at the first step. An encoder whose state
        contains them uses it: the backward pass then needs no gradient of all steps.
        """
        if self.directions == 1:
            return at_last(outputs, lengths)
        forward, backward = outputs.chunk(2, dim=-1)
        return torch.cat([at_last(forward, lengths), backward[:, 0]], dim=-1)


def at_last(outputs: Tensor, lengths: Tensor | None) -> Tensor:
    """Select the outputs (batch, features) of each sequence's last valid step."""
    if lengths is None:
        return outputs[:, -1]
    index = (lengths.long() - 1).view(-1, 1, 1).expand(-1, 1, outputs.shape[-1])
    return outputs.gather(1, index).squeeze(1)
