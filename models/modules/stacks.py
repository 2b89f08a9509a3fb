"""Layers on top of each other, bare or in residual blocks, which are the same for all models."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import cast

from torch import Tensor, nn
from torch.nn import functional as F

from models.modules.encoder import Encoder, State
from models.modules.padding import without_padding

MakeLayer = Callable[[int, int], Encoder]
"""Returns a layer for an input size and the number of the layer."""


class StackedEncoder(Encoder):
    """Bare layers with dropout between them.

    Args:
        make_layer: returns a layer.
        input_size: of the first layer.
        num_layers: how many.
        dropout: between layers, and of the outputs.
    """

    def __init__(
        self, make_layer: MakeLayer, input_size: int, num_layers: int, dropout: float
    ) -> None:
        super().__init__()
        self.input_size = input_size
        self.layers = nn.ModuleList()
        for number in range(num_layers):
            layer = make_layer(input_size, number)
            self.layers.append(layer)
            input_size = layer.output_size
        self.output_size = input_size
        self.dropout = dropout
        self.between_layers = nn.Dropout(dropout)
        self.requested_kernel = encoder(self.layers[0]).requested_kernel

    def forward(
        self,
        inputs: Tensor,
        lengths: Tensor | None = None,
        state: State | None = None,
        need_state: bool = True,
    ) -> tuple[Tensor, State | None]:
        """See `Encoder.forward`."""
        finals: list[State | None] = []
        for number, start in enumerate(split_state(state, len(self.layers))):
            if number:
                inputs = self.between_layers(inputs)
            inputs, final = self.layers[number](inputs, lengths, start, need_state)
            finals.append(final)
        self.kernel = encoder(self.layers[0]).kernel
        return inputs, joined_state(finals)

    def last_outputs(
        self, outputs: Tensor, lengths: Tensor | None, state: State | None = None
    ) -> Tensor:
        """See `Encoder.last_outputs`."""
        last = split_state(state, len(self.layers))[-1]
        return encoder(self.layers[-1]).last_outputs(outputs, lengths, last)

    def flops_per_token(self) -> int:
        """Count the operations of the layers."""
        return sum(encoder(layer).flops_per_token() for layer in self.layers)


class ResidualEncoder(Encoder):
    """Pre-norm residual blocks of one width: x + linear(layer(norm x)), x + feedforward(norm x).

    What a block adds starts smaller in deep stacks, by 1/sqrt(2 layers).

    Args:
        make_layer: returns a layer.
        input_size: a linear layer maps inputs to the width.
        width: of all blocks.
        num_layers: number of blocks.
        feedforward: width of the feed-forward networks as a multiple of the width; 0 for none.
        dropout: of what a block adds, and of the outputs.
    """

    def __init__(
        self,
        make_layer: MakeLayer,
        input_size: int,
        width: int,
        num_layers: int,
        feedforward: float,
        dropout: float,
    ) -> None:
        super().__init__()
        self.input_size, self.output_size, self.dropout = input_size, width, dropout
        self.projection = nn.Linear(input_size, width)
        hidden, scale = round(feedforward * width), 1 / math.sqrt(2 * num_layers)
        self.blocks = nn.ModuleList(
            ResidualBlock(make_layer(width, number), width, hidden, dropout, scale)
            for number in range(num_layers)
        )
        self.norm = nn.RMSNorm(width)
        self.requested_kernel = self.layers()[0].requested_kernel

    def layers(self) -> list[Encoder]:
        """Return the layers inside the blocks."""
        return [cast(ResidualBlock, block).layer for block in self.blocks]

    def forward(
        self,
        inputs: Tensor,
        lengths: Tensor | None = None,
        state: State | None = None,
        need_state: bool = True,
    ) -> tuple[Tensor, State | None]:
        """See `Encoder.forward`."""
        x = self.projection(inputs)
        finals: list[State | None] = []
        starts = split_state(state, len(self.blocks))
        for block, start in zip(self.blocks, starts, strict=True):
            x, final = block(x, lengths, start, need_state)
            finals.append(final)
        self.kernel = self.layers()[0].kernel
        return without_padding(self.norm(x), lengths), joined_state(finals)

    def flops_per_token(self) -> int:
        """Count the operations of the layers, and two per weight around them."""
        return sum(cast(ResidualBlock, each).flops_per_token() for each in self.blocks) + (
            2 * self.projection.weight.numel()
        )


class ResidualBlock(nn.Module):
    """A layer and a feed-forward network, each with a norm before and a residual around it."""

    def __init__(
        self, layer: Encoder, width: int, hidden: int, dropout: float, scale: float
    ) -> None:
        super().__init__()
        self.layer = layer
        self.norm = nn.RMSNorm(width)
        self.out = linear(layer.output_size, width, scale)
        self.dropout = nn.Dropout(dropout)
        self.feedforward_norm = nn.RMSNorm(width) if hidden else None
        self.up = linear(width, hidden) if hidden else None
        self.down = linear(hidden, width, scale) if hidden else None

    def forward(
        self, x: Tensor, lengths: Tensor | None, state: State | None, need_state: bool
    ) -> tuple[Tensor, State | None]:
        """Return the sum (batch, time, width) and the state of the layer."""
        outputs, state = self.layer(self.norm(x), lengths, state, need_state)
        x = x + self.dropout(self.out(outputs))
        if self.feedforward_norm is not None and self.up is not None and self.down is not None:
            x = x + self.dropout(self.down(F.gelu(self.up(self.feedforward_norm(x)))))
        return x, state

    def flops_per_token(self) -> int:
        """Count the operations of the layer, and two per weight around it."""
        around = (each for each in (self.out, self.up, self.down) if each is not None)
        return self.layer.flops_per_token() + 2 * sum(each.weight.numel() for each in around)


def encoder(module: nn.Module) -> Encoder:
    """Return a module of a list with its type."""
    return cast(Encoder, module)


def linear(input_size: int, output_size: int, scale: float = 1.0) -> nn.Linear:
    """Return a linear layer without bias, with scaled Glorot weights."""
    layer = nn.Linear(input_size, output_size, bias=False)
    nn.init.xavier_uniform_(layer.weight, gain=scale)
    return layer


def split_state(state: State | None, count: int) -> Sequence[State | None]:
    """Return the state of each of `count` layers, which have equally many tensors."""
    if state is None:
        return [None] * count
    each = len(state) // count
    return [state[number * each : (number + 1) * each] for number in range(count)]


def joined_state(states: Sequence[State | None]) -> State | None:
    """Return one state of all layers, or None if it was not needed."""
    parts: list[Tensor] = []
    for state in states:
        if state is None:
            return None
        parts += state
    return tuple(parts)
