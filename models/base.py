"""The settings that all models share."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, ClassVar

if TYPE_CHECKING:
    from models.modules.encoder import Encoder


def setting(default: Any, help: str, **limits: Any) -> Any:
    """Define a field with its help and limits: `minimum`, `above`, `below`, `choices`, `known_as`.

    A field with `identity=False` is no part of a run's fingerprint, for example a path. One with
    `identity="unless default"` is part of it only if its value is not the default. In one with
    `is_path=True`, `~` and `$NAME` are expanded, unless the value is one of `words`.
    """
    return field(default=default, metadata={"help": help, **limits})


@dataclass
class ModelSettings:
    """Settings shared by all models; each model derives its own class from this one."""

    version: ClassVar[int] = 1  # raised by every change of a run's numbers

    hidden_size: int = setting(128, "units per layer and direction", minimum=1)
    num_layers: int = setting(1, "stacked layers", minimum=1)
    dropout: float = setting(
        0.0,
        "probability of dropping a unit, between layers and at the output",
        minimum=0.0,
        below=1.0,
    )
    bidirectional: bool = setting(False, "add layers that read each sequence backwards")
    learning_rate_factor: float = setting(
        1.0, "multiplies train.learning_rate for this model", above=0.0
    )

    @property
    def label(self) -> str:
        """Return the model's name in tables, for example ``bilstm``."""
        raise NotImplementedError

    @property
    def needs_tokens(self) -> bool:
        """Return True if the inputs are rows of a table of the task's tokens."""
        return False

    @property
    def output_size(self) -> int:
        """Return the number of features of an encoder's output."""
        return self.hidden_size * (2 if self.bidirectional else 1)

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
