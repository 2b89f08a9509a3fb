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


def kernel_setting() -> Any:
    """Define the field `kernel` of a model whose recurrence has a CPU kernel."""
    return setting(
        "auto",
        "implementation of the recurrence: PyTorch operations, or a fused loop over all steps for "
        "CPUs, compiled at first use; auto uses fused where it is available",
        choices=("auto", "torch", "fused"),
    )


@dataclass
class ModelSettings:
    """Settings shared by all models; each model derives its own class from this one."""

    version: ClassVar[int] = 1  # raised by every change of a run's numbers
    cells: ClassVar[dict[str, dict[str, Any]]] = {}
    """By name in `model.layers` of model=stack: the settings that select the cell of a layer."""
    has_own_directions: ClassVar[bool] = False
    """`layer` itself returns a bidirectional layer; otherwise two layers become one."""
    combines_directions: ClassVar[bool] = False
    """Outputs of a bidirectional layer are not halves that read in one direction each."""

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
    block: str = setting(
        "bare",
        "bare = layers on top of each other; residual = each layer in a residual block: "
        "x + linear(layer(norm(x))), then x + feedforward(norm(x))",
        choices=("bare", "residual"),
        identity="unless default",
    )
    feedforward: float = setting(
        4.0,
        "width of the feed-forward network of a residual block, as a multiple of "
        "model.hidden_size; 0 for none",
        minimum=0.0,
        identity="unless default",
    )
    frozen: bool = setting(
        False,
        "keep the initial weights of the layers, as a control: the embedding, residual blocks and "
        "the output layer are trained around them",
        identity="unless default",
    )

    @property
    def kind(self) -> str:
        """Return the model's name in one direction, for example ``lstm``."""
        raise NotImplementedError

    @property
    def label(self) -> str:
        """Return the model's name in tables, for example ``bilstm``."""
        return ("bi" if self.bidirectional else "") + self.kind

    @property
    def needs_tokens(self) -> bool:
        """Return True if the inputs are rows of a table of the task's tokens."""
        return False

    @property
    def layer_size(self) -> int:
        """Return the number of outputs of a layer in one direction."""
        return self.hidden_size

    @property
    def output_size(self) -> int:
        """Return the number of features of an encoder's output."""
        if self.block == "residual":
            return self.hidden_size
        is_double = self.bidirectional and not self.combines_directions
        return self.layer_size * (2 if is_double else 1)

    @property
    def separates_directions(self) -> bool:
        """Return True if each half of the outputs has read the sequence in one direction only."""
        return self.block == "bare" and not self.combines_directions

    def check(self) -> None:
        """Raise ValueError if settings contradict each other."""

    def layer(self, input_size: int, number: int) -> Encoder:
        """Return the layer `number` of an encoder, counted from 0, in one direction."""
        raise NotImplementedError

    def whole_layer(self, input_size: int, number: int) -> Encoder:
        """Return a layer in all directions, frozen or not."""
        from models.modules.directions import BothDirections

        layer = self.layer(input_size, number)
        if self.bidirectional and not self.has_own_directions:
            layer = BothDirections(layer, self.layer(input_size, number))
        return layer.requires_grad_(not self.frozen)

    def build(self, input_size: int) -> Encoder:
        """Return a new encoder, initialised from torch's global random state."""
        from models.modules.stacks import ResidualEncoder, StackedEncoder

        size, layers = self.hidden_size, self.num_layers
        if self.block == "bare":
            return StackedEncoder(self.whole_layer, input_size, layers, self.dropout)
        return ResidualEncoder(
            self.whole_layer, input_size, size, layers, self.feedforward, self.dropout
        )


def build_encoder(definition: type, *arguments: Any) -> Encoder:
    """Instantiate a class written without a base class as an `Encoder`.

    A model file that contains its module as well can therefore be imported without torch.
    """
    from models.modules.encoder import Encoder

    encoder: Encoder = type(definition.__name__, (definition, Encoder), {})(*arguments)
    return encoder
