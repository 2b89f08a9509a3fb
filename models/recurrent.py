"""Vanilla RNN, LSTM and GRU encoders, uni- or bidirectional, of any depth."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from models.base import ModelSettings

if TYPE_CHECKING:
    from models.modules.recurrent import RecurrentEncoder


@dataclass
class RecurrentSettings(ModelSettings):
    """One encoder over PyTorch's own cells; `cell` picks which."""

    cell: str = field(
        default="lstm", metadata={"choices": ("rnn", "lstm", "gru"), "help": "the recurrent cell"}
    )
    nonlinearity: str = field(
        default="tanh", metadata={"choices": ("tanh", "relu"), "help": "of the rnn cell"}
    )
    initialisation: str = field(
        default="orthogonal",
        metadata={
            "choices": ("orthogonal", "identity", "pytorch"),
            "help": "of the recurrent weights, per gate block; pytorch = uniform(±1/sqrt(hidden))",
        },
    )
    forget_bias: float | None = field(
        default=1.0,
        metadata={
            "help": "LSTM forget-gate bias, the sum of PyTorch's two bias vectors; "
            "null leaves what the initialisation gives"
        },
    )

    kernel: str = field(
        default="auto",
        metadata={
            "choices": ("auto", "torch", "fused"),
            "help": "what computes the cells: PyTorch's own, or one fused loop over all steps, on "
            "CPU, compiled on first use; auto takes fused where it can be had and is faster",
        },
    )

    @property
    def label(self) -> str:
        """``rnn``, ``lstm``, ``gru``, with ``bi`` before it if bidirectional."""
        return ("bi" if self.bidirectional else "") + self.cell

    def check(self) -> None:
        """Refuse what the chosen cell does not have."""
        if self.forget_bias != 1.0 and self.cell != "lstm":
            raise ValueError(
                f"model.forget_bias={self.forget_bias} applies to the lstm cell only, "
                f"not to {self.cell}"
            )
        if self.nonlinearity != "tanh" and self.cell != "rnn":
            raise ValueError(
                f"model.nonlinearity={self.nonlinearity} applies to the rnn cell only, "
                f"not to {self.cell}"
            )

    def build(self, input_size: int) -> RecurrentEncoder:
        """Return the encoder, initialised from torch's global random state."""
        from models.modules.recurrent import RecurrentEncoder

        return RecurrentEncoder(self, input_size)
