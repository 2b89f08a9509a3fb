"""PyTorch's cells on padded batches: the results of `pack_padded_sequence`, but much faster."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from models.kernels.layer import Weights
from models.modules.encoder import State
from models.modules.region import RegionCell, as_lstm

Cell = nn.RNNBase | RegionCell

CELLS: dict[str, Callable[..., Cell]] = {
    "rnn": nn.RNN,
    "lstm": nn.LSTM,
    "gru": nn.GRU,
    "region": RegionCell,
}

LAYERS: dict[str, Callable[..., tuple[Tensor, ...]]] = {
    "RNN_TANH": torch.rnn_tanh,
    "RNN_RELU": torch.rnn_relu,
    "LSTM": torch.lstm,
    "GRU": torch.gru,
}
"""By mode of a cell: the operation that the module itself calls, with weights as an argument."""

OPTIONS = (True, 1, 0.0)  # has biases, number of layers, dropout between them

LSTM_GATES = ("input", "forget", "cell", "output")  # in the order of PyTorch's weights
SATURATING = 1e4  # makes a sigmoid exactly 0 or 1 whatever the other summands; fits float16


class Padding:
    """Masks and indices of a batch of `time` steps and lengths (batch,), shared by all layers."""

    def __init__(self, lengths: Tensor, time: int) -> None:
        steps = torch.arange(time, device=lengths.device)
        column = lengths.unsqueeze(1).to(steps.dtype)
        self.last = column - 1
        self.beyond = (steps >= column).unsqueeze(-1)
        rows = torch.arange(lengths.shape[0], device=lengths.device).unsqueeze(1) * time
        mirrored = torch.where(steps < column, column - 1 - steps, steps)
        self.reversal = (rows + mirrored).flatten()

    def at_last(self, outputs: Tensor) -> Tensor:
        """Select the outputs (1, batch, features) at each sequence's last valid step."""
        index = self.last.unsqueeze(-1).expand(-1, -1, outputs.shape[-1])
        return outputs.gather(1, index).transpose(0, 1)


class _PermuteSteps(torch.autograd.Function):
    """Reorder the rows of (batch·time, features) by an index that is its own inverse.

    The backward pass selects rows as well; autograd's would add into zeros row by row.
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
    # `Function.apply` has no annotations.
    rows = _PermuteSteps.apply(sequence.flatten(0, 1), padding.reversal)  # type: ignore[no-untyped-call]
    reordered: Tensor = rows.view_as(sequence)
    return reordered


def complete(cell: Cell, weights: Weights) -> tuple[Tensor, ...]:
    """Return the weights of the layer of PyTorch that computes a cell.

    A cell without an input weight adds its inputs to the gates; it gets the identity.
    """
    given, hidden, *biases = weights
    if given is None:
        given = torch.eye(len(hidden), dtype=hidden.dtype, device=hidden.device)
    whole = (given, hidden, *biases)
    return as_lstm(whole) if isinstance(cell, RegionCell) else whole


def run_cell(
    cell: Cell,
    weights: tuple[Tensor, ...],
    inputs: Tensor,
    padding: Padding | None,
    state: State | None,
    need_state: bool,
) -> tuple[Tensor, State]:
    """Run one layer in one direction; the state has shape (1, batch, hidden).

    The weights are those of `complete`.
    """
    is_lstm = cell.mode == "LSTM"
    if state is None:
        zeros = inputs.new_zeros(1, inputs.shape[0], cell.hidden_size)
        state = (zeros, zeros) if is_lstm else (zeros,)
    if is_lstm and padding is None and inputs.shape[1] == 1 and inputs.device.type == "cpu":
        return run_lstm_step(weights, inputs, state)
    if is_lstm and padding is not None and need_state:
        outputs, cell_state = run_lstm_holding(cell, weights, inputs, padding, state)
        outputs = outputs.masked_fill(padding.beyond, 0.0)
        return outputs, (padding.at_last(outputs), cell_state)
    start = state if is_lstm else state[0]
    outputs, *final = LAYERS[cell.mode](
        inputs, start, weights, *OPTIONS, cell.training, False, True
    )
    if padding is None:
        return outputs, tuple(final)
    outputs = outputs.masked_fill(padding.beyond, 0.0)
    return outputs, (padding.at_last(outputs),) if need_state else ()


def run_lstm_step(
    weights: tuple[Tensor, ...], inputs: Tensor, state: State
) -> tuple[Tensor, State]:
    """Run one step of an LSTM layer on inputs (batch, 1, features).

    On a CPU, `nn.LSTM` rearranges its weights in every call, which takes longer than the step.
    """
    final = torch.lstm_cell(inputs[:, 0], [part[0] for part in state], *weights)
    return final[0].unsqueeze(1), tuple(part.unsqueeze(0) for part in final)


def run_lstm_holding(
    cell: Cell, weights: tuple[Tensor, ...], inputs: Tensor, padding: Padding, state: State
) -> tuple[Tensor, Tensor]:
    """Run an LSTM layer that keeps its cell state (1, batch, hidden) through the padding.

    One more feature, 1 on padding, drives the forget gate to exactly 1 and the input gate to 0.
    """
    gate = {"input": -SATURATING, "forget": SATURATING}
    column = torch.cat(
        [inputs.new_full((cell.hidden_size, 1), gate.get(name, 0.0)) for name in LSTM_GATES]
    )
    # Large values in the padding could outweigh the saturated gates.
    clean = inputs.masked_fill(padding.beyond, 0.0)
    marked = torch.cat([clean, padding.beyond.to(inputs.dtype)], dim=-1)
    input_weight, *others = weights
    widened = [torch.cat([input_weight, column], dim=1), *others]
    outputs, _, cell_state = torch.lstm(
        marked, state, widened, *OPTIONS, cell.training, False, True
    )
    return outputs, cell_state
