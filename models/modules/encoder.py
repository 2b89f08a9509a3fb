"""The contract every encoder keeps; `tests/contract` checks it for each model it finds."""

from __future__ import annotations

from abc import ABC, abstractmethod

from torch import Tensor, nn

State = tuple[Tensor, ...]
"""Recurrent state: tensors of shape (layers x directions, batch, hidden), e.g. (h,) or (h, c)."""


class Encoder(nn.Module, ABC):
    """Maps a batch of sequences to a batch of sequences of features.

    Attributes:
        input_size: features per step taken in.
        output_size: features per step given out (directions x hidden).
        dropout: the probability the task's head should drop an output with; the encoder itself
            applies it only between its layers.
        kernel: what computes its recurrence, once it has run: torch, or one of its own.
    """

    input_size: int
    output_size: int
    dropout: float
    kernel: str = "torch"

    @abstractmethod
    def forward(
        self,
        inputs: Tensor,
        lengths: Tensor | None = None,
        state: State | None = None,
        need_state: bool = True,
    ) -> tuple[Tensor, State | None]:
        """Encode a batch.

        Args:
            inputs: (batch, time, input_size); finite values beyond a length are ignored.
            lengths: (batch,) valid steps of each sequence, at least 1; None if all are full.
            state: state to start from; None for zeros.
            need_state: whether the final state is wanted; without it None may be returned.

        Returns:
            Outputs (batch, time, output_size), zero beyond each length, and the state after the
            last valid step of each sequence.
        """

    @property
    def kernel_unavailable_reason(self) -> str | None:
        """Why a kernel that was wanted cannot be had here; None if nothing is missing."""
        return None

    @abstractmethod
    def flops_per_token(self) -> int:
        """Floating-point operations of the matrix products of one forward step, per sequence."""

    def last_outputs(
        self, outputs: Tensor, lengths: Tensor | None, state: State | None = None
    ) -> Tensor:
        """Pick from (batch, time, output_size) each sequence's outputs after its last valid step.

        Args:
            outputs, state: what `forward` returned. An encoder whose state holds these outputs
                takes them from there, which spares the backward pass a gradient of all steps.
            lengths: as given to `forward`.

        Returns:
            (batch, output_size). An encoder that also reads backwards gives, for that direction,
            the outputs at the first step, which it reads last.
        """
        if lengths is None:
            return outputs[:, -1]
        index = (lengths.long() - 1).view(-1, 1, 1).expand(-1, 1, outputs.shape[-1])
        return outputs.gather(1, index).squeeze(1)
