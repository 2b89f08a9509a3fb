"""Mamba: a selective state space model."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

from models.base import ModelSettings, setting

if TYPE_CHECKING:
    from models.modules.encoder import Encoder


@dataclass
class MambaSettings(ModelSettings):
    """Mamba-1 (Gu & Dao 2023): a convolution, and a recurrence whose decay depends on the inputs.

    The recurrence has 2 · hidden_size units, with `states` numbers each. The linear layer after
    them is that of the residual block.
    """

    cells: ClassVar[dict[str, dict[str, Any]]] = {"mamba": {}}

    states: int = setting(16, "numbers per unit of the state", minimum=1)
    convolution: int = setting(4, "steps of the causal convolution before the scan", minimum=1)
    kernel: str = setting(
        "auto",
        "implementation of the recurrence: PyTorch operations, or a fused loop over all steps for "
        "CPUs, compiled at first use; auto uses fused where it is available",
        choices=("auto", "torch", "fused"),
    )

    @property
    def label(self) -> str:
        """Return ``mamba``, with the prefix ``bi`` if bidirectional."""
        return ("bi" if self.bidirectional else "") + "mamba"

    @property
    def output_size(self) -> int:
        """Return the number of features of an encoder's output."""
        if self.block == "residual":
            return self.hidden_size
        return 2 * self.hidden_size * (2 if self.bidirectional else 1)

    def layer(self, input_size: int, number: int) -> Encoder:
        """Return a layer, initialised from torch's global random state."""
        from models.modules.mamba import MambaLayer

        return MambaLayer(
            input_size,
            self.hidden_size,
            states=self.states,
            convolution=self.convolution,
            dropout=self.dropout,
            kernel=self.kernel,
        )
