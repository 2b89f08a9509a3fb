"""The region cell (Johnson & Zhang 2016): an LSTM without input and output gates."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn import functional as F

GATES = ("forget", "cell")  # in the order of the weights

OPEN = 5e3  # bias of a gate that is always exactly 1, until the padding closes it


class RegionCell(nn.Module):
    """The weights of a layer in one direction, with the names of those of `nn.LSTM`.

    c = sigmoid(W_f x + U_f h + b_f) * c + tanh(W_u x + U_u h + b_u), and h = tanh(c).
    """

    mode = "LSTM"  # of the layer that computes it, see `as_lstm`

    def __init__(self, input_size: int, hidden_size: int, batch_first: bool = True) -> None:
        super().__init__()
        assert batch_first
        self.input_size, self.hidden_size = input_size, hidden_size
        rows, bound = len(GATES) * hidden_size, 1 / math.sqrt(hidden_size)
        self.weight_ih_l0 = nn.Parameter(torch.empty(rows, input_size).uniform_(-bound, bound))
        self.weight_hh_l0 = nn.Parameter(torch.empty(rows, hidden_size).uniform_(-bound, bound))
        self.bias_ih_l0 = nn.Parameter(torch.empty(rows).uniform_(-bound, bound))
        self.bias_hh_l0 = nn.Parameter(torch.empty(rows).uniform_(-bound, bound))

    @property
    def all_weights(self) -> list[list[Tensor]]:
        """Return the weights as `nn.LSTM` does."""
        return [[self.weight_ih_l0, self.weight_hh_l0, self.bias_ih_l0, self.bias_hh_l0]]


def as_lstm(weights: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
    """Return the weights of an LSTM with open input and output gates, whose results are equal."""
    size = weights[1].shape[-1]
    *matrices, input_bias, hidden_bias = weights
    padded = [F.pad(matrix, (0, 0, size, size)) for matrix in matrices]
    return (
        *padded,
        F.pad(input_bias, (size, size), value=OPEN),
        F.pad(hidden_bias, (size, size)),
    )
