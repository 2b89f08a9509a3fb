"""An RNN, LSTM, GRU or region encoder on the fused CPU kernel or on PyTorch's own cells."""

from __future__ import annotations

from typing import Any, cast

import torch
from torch import Tensor, nn

from models.kernels.layer import GATES, Weights, run_layer
from models.modules.dropout import dropout_module
from models.modules.encoder import Encoder, State
from models.modules.padding import Padding, reverse
from models.modules.pytorch_cells import CELLS, LSTM_GATES, Cell, complete, run_cell
from models.modules.region import GATES as REGION_GATES

# Beyond these limits PyTorch is faster (scripts/perf/kernels.py): its threads share the weights of
# a layer instead of the rows, and it does not rearrange weights for a few steps.
MAX_FUSED_WEIGHTS = 1_600_000
MIN_FUSED_STEPS = 8


class RecurrentEncoder(Encoder):
    """Stacked recurrent layers of one or two directions; see `models.recurrent`."""

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        *,
        cell: str = "lstm",
        table: bool = False,
        num_layers: int = 1,
        bidirectional: bool = False,
        dropout: float = 0.0,
        variational_dropout: bool = False,
        output_dropout: float | None = None,
        weight_dropout: float = 0.0,
        residual: bool = False,
        nonlinearity: str = "tanh",
        initialisation: str = "orthogonal",
        forget_bias: float | None = 1.0,
        kernel: str = "auto",
    ) -> None:
        super().__init__()
        options = {"nonlinearity": nonlinearity} if cell == "rnn" else {}
        self.num_layers = num_layers
        self.directions = 2 if bidirectional else 1
        self.hidden_size = hidden_size
        self.output_size = self.directions * hidden_size
        self.dropout = dropout
        self.variational_dropout = variational_dropout
        self.output_probability = dropout if output_dropout is None else output_dropout
        self.requested_kernel = kernel
        self.cell = f"rnn_{nonlinearity}" if cell == "rnn" else cell
        self.table = table
        gates = GATES[self.cell] * hidden_size
        self.input_size = self.directions * gates if table else input_size
        sizes = [gates if table else input_size] + [self.output_size] * (num_layers - 1)
        # In PyTorch's order: layer by layer, the forward direction of each before the backward.
        self.cells = nn.ModuleList(
            CELLS[cell](size, hidden_size, batch_first=True, **options)
            for size in sizes
            for _ in range(self.directions)
        )
        for first in self.cells[: self.directions] if table else ():
            cast(Any, first).weight_ih_l0 = None
        self.between_layers = dropout_module(dropout, variational_dropout)
        self.residual = residual
        self.weight_dropout = nn.Dropout(weight_dropout)
        self.initialise(initialisation, forget_bias)

    def initialise(self, initialisation: str, forget_bias: float | None) -> None:
        """Set the weights of every cell as Keras does, gate block by gate block."""
        gates = REGION_GATES if self.cell == "region" else LSTM_GATES
        forget = gates.index("forget") * self.hidden_size
        for name, parameter in self.named_parameters():
            if initialisation != "pytorch":
                if "bias" in name:
                    nn.init.zeros_(parameter)
                else:
                    for block in torch.split(parameter.data, self.hidden_size):
                        if "weight_ih" in name:
                            nn.init.xavier_uniform_(block)
                        elif initialisation == "identity":
                            nn.init.eye_(block)
                        elif initialisation == "small":
                            nn.init.uniform_(block, -0.01, 0.01)
                        else:
                            nn.init.orthogonal_(block)
            if "bias" in name and self.cell in ("lstm", "region") and forget_bias is not None:
                value = forget_bias if "bias_ih" in name else 0.0
                parameter.data[forget : forget + self.hidden_size] = value

    def forward(
        self,
        inputs: Tensor,
        lengths: Tensor | None = None,
        state: State | None = None,
        need_state: bool = True,
    ) -> tuple[Tensor, State | None]:
        """See `Encoder.forward`."""
        is_fused = self.uses_fused_kernel(inputs)
        self.kernel = "fused" if is_fused else "torch"
        padding = None if lengths is None or is_fused else Padding(lengths, inputs.shape[1])
        finals: list[State] = []
        for layer in range(self.num_layers):
            before = inputs
            if layer:
                inputs = self.between_layers(inputs)
            places = range(layer * self.directions, (layer + 1) * self.directions)
            cells = [cast(Cell, self.cells[place]) for place in places]
            weights = [self.dropped_weights(cell) for cell in cells]
            starts = [
                None if state is None else tuple(part[place : place + 1] for part in state)
                for place in places
            ]
            if is_fused:
                states = [None if start is None else tuple(p[0] for p in start) for start in starts]
                ways = (False, True)[: self.directions]
                inputs, ends = run_layer(self.cell, inputs, weights, lengths, states, ways)
                finals += [tuple(part.unsqueeze(0) for part in end) for end in ends]
            else:
                outputs = []
                given = self.by_direction(inputs) if layer == 0 else [inputs] * self.directions
                for is_reversed, (cell, part, own, start) in enumerate(
                    zip(cells, given, weights, starts, strict=True)
                ):
                    sequence = reverse(part, padding) if is_reversed else part
                    whole = complete(cell, own)
                    output, final = run_cell(cell, whole, sequence, padding, start, need_state)
                    outputs.append(reverse(output, padding) if is_reversed else output)
                    finals.append(final)
                # Dropout draws in memory order, which must not depend on the kernel.
                inputs = outputs[0].contiguous() if len(outputs) == 1 else torch.cat(outputs, -1)
            if layer and self.residual:
                inputs = inputs + before
        if not need_state:
            return inputs, None
        return inputs, tuple(torch.cat(parts) for parts in zip(*finals, strict=True))

    def by_direction(self, inputs: Tensor) -> list[Tensor]:
        """Return the inputs of each direction of the first layer; rows of a table contain both."""
        if not self.table or self.directions == 1:
            return [inputs] * self.directions
        # Strides of views would be conditions of an exported program.
        return [part.clone(memory_format=torch.contiguous_format) for part in inputs.chunk(2, -1)]

    def dropped_weights(self, cell: Cell) -> Weights:
        """Return the weights of a cell, with dropout of the recurrent ones (Merity et al. 2017)."""
        inputs, hidden, *biases = cell.all_weights[0]
        return cast(Weights, (inputs, self.weight_dropout(hidden), *biases))

    def uses_fused_kernel(self, inputs: Tensor) -> bool:
        """Return True if the fused kernel runs a batch (batch, time, features)."""
        if not self.can_fuse(inputs):
            return False
        batch, time, features = inputs.shape[-3:]
        widest = max(0 if self.table else features, self.output_size if self.num_layers > 1 else 0)
        weights = GATES[self.cell] * self.hidden_size * (widest + self.hidden_size)
        is_faster = (
            weights <= MAX_FUSED_WEIGHTS
            and time >= MIN_FUSED_STEPS
            and 8 * batch * time >= self.hidden_size
        )
        return is_faster or self.requested_kernel == "fused"

    def output_dropout(self) -> nn.Module:
        """See `Encoder.output_dropout`."""
        return dropout_module(self.output_probability, self.variational_dropout)

    def last_outputs(
        self, outputs: Tensor, lengths: Tensor | None, state: State | None = None
    ) -> Tensor:
        """See `Encoder.last_outputs`."""
        if state is not None:
            layers = torch.split(state[0], self.directions)  # of each layer, one per direction
            # Outputs of residual layers are the sum of the states of all layers.
            hidden = sum(layers[1:], layers[0]) if self.residual else layers[-1]
            return hidden[0] if self.directions == 1 else torch.cat((hidden[0], hidden[1]), dim=-1)
        return super().last_outputs(outputs, lengths)

    def flops_per_token(self) -> int:
        """Count two operations per weight of the cells."""
        return 2 * sum(p.numel() for n, p in self.named_parameters() if "weight" in n)
