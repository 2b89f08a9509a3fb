"""xLSTM: exponential gates, with a scalar memory (sLSTM) or a matrix memory (mLSTM)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

from models.base import ModelSettings, kernel_setting, setting

if TYPE_CHECKING:
    from models.modules.encoder import Encoder


@dataclass
class XlstmSettings(ModelSettings):
    """Layers of xLSTM (Beck et al. 2024): the cells, without the blocks of that paper.

    Its up-projections and convolutions are left out; `model.block` decides what is around the
    cells.
    """

    cells: ClassVar[dict[str, dict[str, Any]]] = {
        "slstm": {"pattern": "s"},
        "mlstm": {"pattern": "m"},
    }

    pattern: str = setting(
        "s",
        "cells of the layers, repeated: s = sLSTM, which tracks states; m = mLSTM, whose memory is "
        "a matrix; sm and ms alternate",
        choices=("s", "m", "sm", "ms"),
    )
    heads: int = setting(4, "heads, between which a layer does not mix its memory", minimum=1)
    kernel: str = kernel_setting()

    @property
    def kind(self) -> str:
        """Return the model's name in one direction."""
        return "xlstm"

    @property
    def head_size(self) -> int:
        """Return the units of a head: the hidden size divided among the heads, rounded up."""
        return -(-self.hidden_size // self.heads)

    @property
    def layer_size(self) -> int:
        """Return the number of outputs of a layer: the hidden size, rounded up to whole heads."""
        return self.heads * self.head_size

    def layer(self, input_size: int, number: int) -> Encoder:
        """Return a layer, initialised from torch's global random state."""
        from models.modules.xlstm import MLstmLayer, SLstmLayer

        heads, size = self.heads, self.head_size
        if self.pattern[number % len(self.pattern)] == "m":
            return MLstmLayer(input_size, heads, size, self.dropout)
        place = number / max(1, self.num_layers - 1)
        return SLstmLayer(input_size, heads, size, place, self.dropout, self.kernel)
