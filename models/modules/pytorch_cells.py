"""PyTorch's own RNN, LSTM and GRU cells, made exact for sequences of different lengths.

PyTorch's own way with lengths, `pack_padded_sequence`, leaves the fast CPU kernels and is an order
of magnitude slower there. Here plain padded batches are run and give the same outputs, states and
gradients by three devices:

* outputs beyond a length are set to zero, so nothing they did reaches a valid step or a gradient;
* the backward direction reads each sequence reversed within its own length;
* the LSTM's final cell state, which PyTorch gives only at the last padded step, is held through the
  padding by saturated gates: one more input feature, 0 on valid steps and 1 on padding, drives the
  forget gate to exactly 1 and the input gate to exactly 0.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from models.modules.encoder import State

CELLS: dict[str, Callable[..., nn.RNNBase]] = {"rnn": nn.RNN, "lstm": nn.LSTM, "gru": nn.GRU}

# Order of the gate blocks in PyTorch's stacked LSTM weights: input, forget, cell, output.
LSTM_GATES = ("input", "forget", "cell", "output")

# Pre-activation that saturates a float32 sigmoid to exactly 0 or 1 against any finite activation
# a trained cell meets, and still fits float16.
SATURATING = 1e4


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
    if is_lstm and padding is None and inputs.shape[1] == 1 and inputs.device.type == "cpu":
        return run_lstm_step(cell, inputs, state)
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


def run_lstm_step(cell: nn.RNNBase, inputs: Tensor, state: State | None) -> tuple[Tensor, State]:
    """Run one step of an LSTM layer, inputs (batch, 1, features), without rearranging its weights.

    PyTorch's LSTM rearranges them for every call on a CPU, which takes longer than the step.
    """
    start = state or (inputs.new_zeros(1, inputs.shape[0], cell.hidden_size),) * 2
    final = torch.lstm_cell(inputs[:, 0], [part[0] for part in start], *cell.all_weights[0])
    return final[0].unsqueeze(1), tuple(part.unsqueeze(0) for part in final)


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
