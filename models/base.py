"""The settings that all models share."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, ClassVar

if TYPE_CHECKING:
    from models.modules.encoder import Encoder


@dataclass
class ModelSettings:
    """Settings shared by all models; each model derives its own class from this one.

    Field metadata contains the help text and the ranges and choices that the harness enforces.
    """

    version: ClassVar[int] = 1
    """Raised whenever a change of code or of a default changes the numbers of a run."""

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
        default=False, metadata={"help": "add layers that read each sequence backwards"}
    )
    learning_rate_factor: float = field(
        default=1.0,
        metadata={"above": 0.0, "help": "multiplies train.learning_rate for this model"},
    )

    @property
    def label(self) -> str:
        """Return the model's name in tables, for example ``bilstm``."""
        raise NotImplementedError

    def check(self) -> None:
        """Raise ValueError if settings contradict each other."""

    def build(self, input_size: int) -> Encoder:
        """Return a new encoder, initialised from torch's global random state."""
        raise NotImplementedError


def build_encoder(definition: type, *arguments: Any) -> Encoder:
    """Instantiate a class written without a base class as an `Encoder`.

    A model file that contains its module as well can therefore be imported without torch.
    """
    from models.modules.encoder import Encoder

    encoder: Encoder = type(definition.__name__, (definition, Encoder), {})(*arguments)
    return encoder
