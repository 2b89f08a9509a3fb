"""What every model definition has in common."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, ClassVar

if TYPE_CHECKING:
    from models.modules.encoder import Encoder


@dataclass
class ModelSettings:
    """Settings shared by all encoders; a model derives its own from this.

    Ranges and choices stand in the field metadata and are enforced by the harness.
    """

    version: ClassVar[int] = 1
    """Goes up whenever a change of the code or of a default changes the numbers of a run."""

    hidden_size: int = field(
        default=128, metadata={"minimum": 1, "help": "units per layer and direction"}
    )
    num_layers: int = field(default=1, metadata={"minimum": 1, "help": "stacked layers"})
    dropout: float = field(
        default=0.0,
        metadata={
            "minimum": 0.0,
            "below": 1.0,
            "help": "probability of dropping a unit, between layers and at the output",
        },
    )
    bidirectional: bool = field(
        default=False, metadata={"help": "a second set of layers reads backwards"}
    )
    learning_rate_factor: float = field(
        default=1.0,
        metadata={
            "above": 0.0,
            "help": "multiplies train.learning_rate: what this cell needs beside the others",
        },
    )

    @property
    def label(self) -> str:
        """The model's name in tables, for example ``bilstm``."""
        raise NotImplementedError

    def check(self) -> None:
        """Raise ValueError where settings contradict each other."""

    def build(self, input_size: int) -> Encoder:
        """Return a freshly initialised encoder for inputs of ``input_size`` features."""
        raise NotImplementedError
