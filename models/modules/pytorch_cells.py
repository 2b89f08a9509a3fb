"""PyTorch's cells on padded batches: the results of `pack_padded_sequence`, but much faster."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn

from models.kernels.layer import Weights
from models.modules.encoder import State
from models.modules.padding import Padding
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
