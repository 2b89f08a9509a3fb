"""Attention and Transformer encoders, causal with a window, or in both directions."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

from models.base import ModelSettings, setting

if TYPE_CHECKING:
    from models.modules.encoder import Encoder


@dataclass
class AttentionSettings(ModelSettings):
    """Multi-head attention with rotary positions; in residual blocks, a pre-norm Transformer."""

    has_own_directions: ClassVar[bool] = True
    combines_directions: ClassVar[bool] = True
    cells: ClassVar[dict[str, dict[str, Any]]] = {"attention": {}}

    heads: int = setting(4, "attention heads", minimum=1)
    window: int = setting(
        512,
        "steps that a step attends to, itself included; without effect if bidirectional, where a "
        "step attends to all steps of its sequence",
        minimum=1,
    )

    @property
    def kind(self) -> str:
        """Return the model's name in one direction."""
        return "transformer"

    @property
    def layer_size(self) -> int:
        """Return the number of outputs of a layer: the hidden size, rounded up to whole heads."""
        return self.heads * -(-self.hidden_size // self.heads)

    def layer(self, input_size: int, number: int) -> Encoder:
        """Return a layer, initialised from torch's global random state."""
        from models.modules.attention import AttentionLayer

        window = None if self.bidirectional else self.window
        return AttentionLayer(input_size, self.layer_size, self.heads, window, self.dropout)
