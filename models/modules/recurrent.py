"""RNN, LSTM and GRU behind one encoder, exact for sequences of different lengths.

On a CPU the fused kernel (`models.kernels`) runs the cells; elsewhere, or where they are faster,
PyTorch's own do (`models.modules.pytorch_cells`).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

import torch
from torch import Tensor, nn

from models.kernels.compiler import unavailable_reason
from models.kernels.layer import DTYPES, GATES, Weights, run_layer
from models.modules.encoder import Encoder, State
from models.modules.pytorch_cells import CELLS, LSTM_GATES, Padding, reverse, run_cell

if TYPE_CHECKING:
    from models.recurrent import RecurrentSettings

# Above so many weights in a layer PyTorch's products, which share the weights among threads, win
# over the fused kernel's, whose threads share the rows (scripts/perf/kernels.py).
MOST_FUSED_WEIGHTS = 1_600_000

# With fewer steps, rearranging the weights takes the fused kernel longer than it saves.
FEWEST_FUSED_STEPS = 8


class RecurrentEncoder(Encoder):
    """A stack of recurrent layers, each of one or two directions.

    Parameters per layer and direction, with `g` gates (rnn 1, gru 3, lstm 4), input size `I` and
    hidden size `H`: g·H·(I + H + 2), PyTorch keeping two bias vectors.
    """

    def __init__(self, settings: RecurrentSettings, input_size: int) -> None:
        super().__init__()
        options = {"nonlinearity": settings.nonlinearity} if settings.cell == "rnn" else {}
        self.num_layers = settings.num_layers
        self.directions = 2 if settings.bidirectional else 1
        self.input_size = input_size
        self.hidden_size = settings.hidden_size
        self.output_size = self.directions * settings.hidden_size
        self.dropout = settings.dropout
        self.wanted_kernel = settings.kernel
        self.cell = f"rnn_{settings.nonlinearity}" if settings.cell == "rnn" else settings.cell
        sizes = [input_size] + [self.output_size] * (settings.num_layers - 1)
        # Layer by layer, the forward direction of each before the backward, as PyTorch orders them.
        self.cells = nn.ModuleList(
            CELLS[settings.cell](size, settings.hidden_size, batch_first=True, **options)
            for size in sizes
            for _ in range(self.directions)
        )
        self.between_layers = nn.Dropout(settings.dropout)
        initialise(self, settings)

    def forward(
        self,
        inputs: Tensor,
        lengths: Tensor | None = None,
        state: State | None = None,
        need_state: bool = True,
    ) -> tuple[Tensor, State | None]:
        """See `Encoder.forward`."""
        is_fused = self.fuses(inputs)
        self.kernel = "fused" if is_fused else "torch"
        padding = None if lengths is None or is_fused else Padding(lengths, inputs.shape[1])
        finals: list[State] = []
        for layer in range(self.num_layers):
            if layer:
                inputs = self.between_layers(inputs)
            places = range(layer * self.directions, (layer + 1) * self.directions)
            cells = [cast(nn.RNNBase, self.cells[place]) for place in places]
            starts = [
                None if state is None else tuple(part[place : place + 1] for part in state)
                for place in places
            ]
            if is_fused:
                inputs, ends = self.run_fused(cells, inputs, lengths, starts)
                finals += ends
                continue
            outputs = []
            for backwards, (cell, start) in enumerate(zip(cells, starts, strict=True)):
                ahead = reverse(inputs, padding) if backwards else inputs
                output, final = run_cell(cell, ahead, padding, start, need_state)
                outputs.append(reverse(output, padding) if backwards else output)
                finals.append(final)
            # Dropout draws its mask in the order of memory, which is not to depend on the kernel.
            inputs = outputs[0].contiguous() if len(outputs) == 1 else torch.cat(outputs, dim=-1)
        if not need_state:
            return inputs, None
        return inputs, tuple(torch.cat(parts) for parts in zip(*finals, strict=True))

    def fuses(self, inputs: Tensor) -> bool:
        """Whether the fused kernel takes a batch (batch, time, features)."""
        dtype = cast(nn.RNNBase, self.cells[0]).weight_ih_l0.dtype
        if self.wanted_kernel == "torch" or inputs.device.type != "cpu" or dtype not in DTYPES:
            return False
        if self.wanted_kernel == "auto" and not self.gains(*inputs.shape[-3:]):
            return False
        return unavailable_reason() is None

    def gains(self, batch: int, time: int, features: int) -> bool:
        """Whether the fused kernel is the faster one for a batch."""
        gates = GATES[self.cell] * self.hidden_size
        widest = max(features, self.output_size if self.num_layers > 1 else 0)
        return (
            gates * (widest + self.hidden_size) <= MOST_FUSED_WEIGHTS
            and time >= FEWEST_FUSED_STEPS
            and 8 * batch * time >= self.hidden_size
        )

    @property
    def kernel_unavailable_reason(self) -> str | None:
        """See `Encoder.kernel_unavailable_reason`."""
        if self.wanted_kernel == "torch":
            return None
        if next(self.parameters()).device.type != "cpu":
            return "it runs on the CPU alone" if self.wanted_kernel == "fused" else None
        return unavailable_reason()

    def run_fused(
        self,
        cells: list[nn.RNNBase],
        inputs: Tensor,
        lengths: Tensor | None,
        states: list[State | None],
    ) -> tuple[Tensor, list[State]]:
        """Run one layer in all of its directions; states have shape (1, batch, hidden)."""
        starts = [None if state is None else tuple(part[0] for part in state) for state in states]
        weights = [cast(Weights, tuple(cell.all_weights[0])) for cell in cells]
        directions = (False, True)[: len(cells)]
        outputs, finals = run_layer(self.cell, inputs, weights, lengths, starts, directions)
        return outputs, [tuple(part.unsqueeze(0) for part in final) for final in finals]

    def last_outputs(
        self, outputs: Tensor, lengths: Tensor | None, state: State | None = None
    ) -> Tensor:
        """See `Encoder.last_outputs`."""
        if state is not None:
            hidden = state[0][-self.directions :]  # of the last layer, each direction's
            return hidden[0] if self.directions == 1 else torch.cat((hidden[0], hidden[1]), dim=-1)
        if self.directions == 1:  # each slice costs the backward pass a tensor as large as outputs
            return super().last_outputs(outputs, lengths)
        forward = super().last_outputs(outputs[..., : self.hidden_size], lengths)
        return torch.cat([forward, outputs[:, 0, self.hidden_size :]], dim=-1)

    def flops_per_token(self) -> int:
        """Two operations per weight of every matrix: 2·g·H·(I + H) per layer and direction."""
        return 2 * sum(p.numel() for n, p in self.named_parameters() if "weight" in n)


def initialise(encoder: RecurrentEncoder, settings: RecurrentSettings) -> None:
    """Set the weights of every cell, gate block by gate block.

    Orthogonal recurrent blocks (Saxe et al. 2014) or identities (Le et al. 2015), Glorot-uniform
    input blocks and zero biases, which is also what Keras does; one orthogonal matrix for all gates
    together would make the gates share one frame. The LSTM's forget bias (Jozefowicz et al. 2015)
    goes to the first of PyTorch's two bias vectors, the second is 0 there, so that it counts once.
    """
    hidden = settings.hidden_size
    for name, parameter in encoder.named_parameters():
        if settings.initialisation == "pytorch":
            continue
        if "bias" in name:
            nn.init.zeros_(parameter)
            continue
        for block in torch.split(parameter.data, hidden):
            if "weight_ih" in name:
                nn.init.xavier_uniform_(block)
            elif settings.initialisation == "identity":
                block.zero_().diagonal().fill_(1.0)
            else:
                nn.init.orthogonal_(block)
    if settings.cell == "lstm" and settings.forget_bias is not None:
        forget = slice(
            hidden * LSTM_GATES.index("forget"), hidden * (1 + LSTM_GATES.index("forget"))
        )
        for name, parameter in encoder.named_parameters():
            if "bias" in name:
                value = settings.forget_bias if "bias_ih" in name else 0.0
                parameter.data[forget] = value
