"""Temporal convolutional networks: dilated convolutions instead of a recurrence."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

from models.base import ModelSettings, setting

if TYPE_CHECKING:
    from models.modules.encoder import Encoder


@dataclass
class TcnSettings(ModelSettings):
    """A temporal convolutional network (Bai et al. 2018), causal or centred.

    Layer number n, counted from 0, consists of two convolutions with dilation 2^n and weight norm,
    and a residual. L layers see 1 + 2 (width - 1) (2^L - 1) steps.
    """

    has_own_directions: ClassVar[bool] = True
    combines_directions: ClassVar[bool] = True
    cells: ClassVar[dict[str, dict[str, Any]]] = {"tcn": {}}

    width: int = setting(3, "steps of a convolution", minimum=2)

    @property
    def kind(self) -> str:
        """Return the model's name in one direction."""
        return "tcn"

    def check(self) -> None:
        """Raise ValueError for a width without a centre."""
        if self.bidirectional and self.width % 2 == 0:
            raise ValueError(f"model.width={self.width}: must be odd with model.bidirectional=true")

    def layer(self, input_size: int, number: int) -> Encoder:
        """Return a layer, initialised from torch's global random state."""
        from models.modules.tcn import TcnLayer

        size, is_causal = self.hidden_size, not self.bidirectional
        return TcnLayer(input_size, size, self.width, 2**number, is_causal, self.dropout)
