"""Hybrids: layers of different cells on top of each other."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, ClassVar

from models.base import ModelSettings
from models.cells import check_cell, known_cells

if TYPE_CHECKING:
    from models.modules.encoder import Encoder


@dataclass
class StackSettings(ModelSettings):
    """Layers of different cells, each with the default settings of its model."""

    has_own_directions: ClassVar[bool] = True

    layers: list[str] = field(
        default_factory=lambda: ["gru", "gru", "attention"],
        metadata={
            "help": "cell of each layer, from the inputs to the outputs; repeated if "
            "model.num_layers is a multiple of their number"
        },
    )

    @property
    def kind(self) -> str:
        """Return the model's name in one direction."""
        return "stack"

    def __post_init__(self) -> None:
        if self.num_layers == 1:
            self.num_layers = max(1, len(self.layers))

    def check(self) -> None:
        """Raise ValueError for a cell that no model has, or a number of layers of its own."""
        if not self.layers:
            raise ValueError("model.layers=[]: must name the cell of each layer, as in [gru,gru]")
        for name in self.layers:
            check_cell("model.layers", name)
        if self.num_layers % len(self.layers):
            raise ValueError(
                f"model.num_layers={self.num_layers}: must be a multiple of the number of "
                f"model.layers, {len(self.layers)}; leave it out for one of each"
            )

    @property
    def output_size(self) -> int:
        """Return the number of features of an encoder's output."""
        return super().output_size if self.block == "residual" else self.last.output_size

    @property
    def separates_directions(self) -> bool:
        """Return True if each half of the outputs has read the sequence in one direction only."""
        return super().separates_directions and self.last.separates_directions

    @property
    def last(self) -> ModelSettings:
        """Return the settings of the last layer."""
        return self.settings_of(self.num_layers - 1)

    def settings_of(self, number: int) -> ModelSettings:
        """Return the settings of a layer."""
        return dataclasses.replace(
            known_cells()[self.layers[number % len(self.layers)]],
            hidden_size=self.hidden_size,
            dropout=self.dropout,
            bidirectional=self.bidirectional,
        )

    def layer(self, input_size: int, number: int) -> Encoder:
        """Return a layer, initialised from torch's global random state."""
        return self.settings_of(number).whole_layer(input_size, number)
