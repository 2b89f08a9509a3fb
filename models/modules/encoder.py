"""The base class of all encoders; `tests/contract` checks its contract for every model."""

from __future__ import annotations

from abc import ABC, abstractmethod

from torch import Tensor, nn

State = tuple[Tensor, ...]
"""Recurrent state: tensors of shape (layers x directions, batch, hidden), e.g. (h,) or (h, c)."""


class Encoder(nn.Module, ABC):
    """Map a batch of sequences to a batch of sequences of features.

    Attributes:
        input_size: input features per step.
        output_size: output features per step (directions x hidden).
        dropout: dropout probability for the task's head; the encoder applies it between layers.
        kernel: implementation used by the last forward pass: torch, or one of the encoder's own.
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
            inputs: (batch, time, input_size); finite values beyond a length have no effect.
            lengths: (batch,) valid steps of each sequence, at least 1; None if all are full.
            state: initial state; None for zeros.
            need_state: if False, the returned state may be None.

        Returns:
            Outputs (batch, time, output_size), zero beyond each length, and the state after the
            last valid step of each sequence.
        """

    @property
    def kernel_unavailable_reason(self) -> str | None:
        """Return why the requested kernel is unavailable; None if it is available."""
        return None

    @abstractmethod
    def flops_per_token(self) -> int:
        """Count the operations of the matrix products of one forward step of one sequence."""

    def last_outputs(
        self, outputs: Tensor, lengths: Tensor | None, state: State | None = None
    ) -> Tensor:
        """Select each sequence's outputs (batch, output_size) after its last valid step.

        For a backward direction these are the outputs at the first step.

        Args:
            outputs, state: results of `forward`. If the state contains these outputs, an encoder
                uses it: the backward pass then needs no gradient of all steps.
            lengths: as given to `forward`.
        """
        if lengths is None:
            return outputs[:, -1]
        index = (lengths.long() - 1).view(-1, 1, 1).expand(-1, 1, outputs.shape[-1])
        return outputs.gather(1, index).squeeze(1)
