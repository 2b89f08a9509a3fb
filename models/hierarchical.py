"""Hierarchies of two levels: a cell inside chunks of steps, and one over the chunks."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import TYPE_CHECKING

from models.base import ModelSettings, setting
from models.cells import check_cell, known_cells

if TYPE_CHECKING:
    from models.modules.encoder import Encoder


@dataclass
class HierarchicalSettings(ModelSettings):
    """A lower cell that reads every chunk on its own, and an upper cell that reads chunks.

    Each has the default settings of its model. An output contains that of the lower cell, and that
    of the upper cell after the chunks before.
    """

    lower: str = setting("rnn", "cell that reads each chunk of steps, from a zero state")
    upper: str = setting(
        "lstm", "cell that reads mean and maximum of the lower cell's outputs, one step per chunk"
    )
    chunk: int = setting(50, "steps per chunk", minimum=1)

    @property
    def kind(self) -> str:
        """Return the model's name in one direction."""
        return "hierarchical"

    def check(self) -> None:
        """Raise ValueError for a cell that no model has."""
        check_cell("model.lower", self.lower)
        check_cell("model.upper", self.upper)

    @property
    def layer_size(self) -> int:
        """Return the number of outputs of a layer in one direction: those of both levels."""
        return sum(self.settings_of(name).output_size for name in (self.lower, self.upper))

    def settings_of(self, name: str) -> ModelSettings:
        """Return the settings of one level."""
        return dataclasses.replace(known_cells()[name], hidden_size=self.hidden_size)

    def layer(self, input_size: int, number: int) -> Encoder:
        """Return a layer, initialised from torch's global random state."""
        from models.modules.hierarchical import HierarchicalLayer

        lower = self.settings_of(self.lower).layer(input_size, number)
        upper = self.settings_of(self.upper).layer(2 * lower.output_size, number)
        return HierarchicalLayer(lower, upper, self.chunk, self.dropout)
