"""RNN, LSTM and GRU behind one encoder, exact for sequences of different lengths.

On a CPU the fused kernel (`models.kernels`) runs the cells, lengths and directions included. What
follows is how PyTorch's own cells are made to do the same, elsewhere or where they are faster.

PyTorch's own way with lengths, `pack_padded_sequence`, leaves the fast CPU kernels and is an order
of magnitude slower there. This encoder runs plain padded batches and gets the same outputs, states
and gradients by three devices:

* outputs beyond a length are set to zero, so nothing they did reaches a valid step or a gradient;
* the backward direction reads each sequence reversed within its own length;
* the LSTM's final cell state, which PyTorch gives only at the last padded step, is held through the
  padding by saturated gates: one more input feature, 0 on valid steps and 1 on padding, drives the
  forget gate to exactly 1 and the input gate to exactly 0.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, cast

import torch
from torch import Tensor, nn

from models.kernels.layer import DTYPES, GATES, Weights, run_layer
from models.kernels.library import reason_for_lack
from models.modules.contract import Encoder, State

if TYPE_CHECKING:
    from models.recurrent import RecurrentSettings

CELLS: dict[str, Callable[..., nn.RNNBase]] = {"rnn": nn.RNN, "lstm": nn.LSTM, "gru": nn.GRU}

# Order of the gate blocks in PyTorch's stacked LSTM weights: input, forget, cell, output.
LSTM_GATES = ("input", "forget", "cell", "output")

# Pre-activation that saturates a float32 sigmoid to exactly 0 or 1 against any finite activation
# a trained cell meets, and still fits float16.
SATURATING = 1e4

# Above so many weights in a layer PyTorch's products, which share the weights among threads, win
# over the fused kernel's, whose threads share the rows (benchmarks/perf/kernels.py).
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
        return reason_for_lack() is None

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
    def kernel_lack(self) -> str | None:
        """See `Encoder.kernel_lack`."""
        if self.wanted_kernel == "torch":
            return None
        if next(self.parameters()).device.type != "cpu":
            return "it runs on the CPU alone" if self.wanted_kernel == "fused" else None
        return reason_for_lack()

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


class Padding:
    """The masks and indices of one padded batch, made once and used by every layer.

    Args:
        lengths: (batch,) valid steps per sequence.
        time: padded length of the batch.
    """

    def __init__(self, lengths: Tensor, time: int) -> None:
        steps = torch.arange(time, device=lengths.device)
        column = lengths.unsqueeze(1).to(steps.dtype)
        self.time = time
        self.last = column - 1
        self.beyond = (steps >= column).unsqueeze(-1)
        rows = torch.arange(lengths.shape[0], device=lengths.device).unsqueeze(1) * time
        mirrored = torch.where(steps < column, column - 1 - steps, steps)
        self.reversal = (rows + mirrored).flatten()

    def at_last(self, outputs: Tensor) -> Tensor:
        """Pick (1, batch, features): the outputs at each sequence's last valid step."""
        index = self.last.unsqueeze(-1).expand(-1, -1, outputs.shape[-1])
        return outputs.gather(1, index).transpose(0, 1)


class _PermuteSteps(torch.autograd.Function):
    """Reorder the rows of (batch·time, features) by an index that is its own inverse.

    Autograd's own backward of an index selection adds into zeros, row by row; that of an
    involution is the same fast selection once more.
    """

    @staticmethod
    def forward(ctx: Any, rows: Tensor, index: Tensor) -> Tensor:
        ctx.save_for_backward(index)
        return rows.index_select(0, index)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None]:
        (index,) = ctx.saved_tensors
        return gradient.index_select(0, index), None


def reverse(sequence: Tensor, padding: Padding | None) -> Tensor:
    """Reverse (batch, time, features) in time, each sequence within its own length."""
    if padding is None:
        return sequence.flip(1)
    rows = _PermuteSteps.apply(sequence.flatten(0, 1), padding.reversal)  # type: ignore[no-untyped-call]
    reordered: Tensor = rows.view_as(sequence)
    return reordered


def run_cell(
    cell: nn.RNNBase, inputs: Tensor, padding: Padding | None, state: State | None, need_state: bool
) -> tuple[Tensor, State]:
    """Run one layer in one direction; the state has shape (1, batch, hidden)."""
    is_lstm = isinstance(cell, nn.LSTM)
    if padding is None:
        outputs, final = cell(inputs, state if is_lstm or state is None else state[0])
        return outputs, final if is_lstm else (final,)
    if is_lstm and need_state:
        outputs, cell_state = run_lstm_holding(cell, inputs, padding, state)
    else:
        outputs, _ = cell(inputs, state if is_lstm or state is None else state[0])
        cell_state = None
    outputs = outputs.masked_fill(padding.beyond, 0.0)
    if not need_state:
        return outputs, ()
    hidden = padding.at_last(outputs)
    return outputs, (hidden,) if cell_state is None else (hidden, cell_state)


def run_lstm_holding(
    cell: nn.RNNBase, inputs: Tensor, padding: Padding, state: State | None
) -> tuple[Tensor, Tensor]:
    """Run an LSTM layer that keeps its cell state unchanged through the padding.

    Returns:
        Outputs (batch, time, hidden), meaningless beyond the lengths, and the cell state
        (1, batch, hidden) after each sequence's last valid step.
    """
    gate = {"input": -SATURATING, "forget": SATURATING}
    column = torch.cat(
        [inputs.new_full((cell.hidden_size, 1), gate.get(name, 0.0)) for name in LSTM_GATES]
    )
    if state is None:
        zeros = inputs.new_zeros(1, inputs.shape[0], cell.hidden_size)
        state = (zeros, zeros)
    # What a caller left in the padding must not push against the saturated gates.
    clean = inputs.masked_fill(padding.beyond, 0.0)
    marked = torch.cat([clean, padding.beyond.to(inputs.dtype)], dim=-1)
    input_weight, *others = cell.all_weights[0]
    weights = [torch.cat([input_weight, column], dim=1), *others]
    outputs, _, cell_state = torch.lstm(
        marked, state, weights, True, 1, 0.0, cell.training, False, True
    )
    return outputs, cell_state


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
