"""Mamba: a selective state space model."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

from models.base import ModelSettings, kernel_setting, setting

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
    kernel: str = kernel_setting()

    @property
    def kind(self) -> str:
        """Return the model's name in one direction."""
        return "mamba"

    @property
    def layer_size(self) -> int:
        """Return the number of outputs of a layer in one direction."""
        return 2 * self.hidden_size

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
