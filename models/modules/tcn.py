"""A layer of dilated convolutions with a ring buffer as state (Bai et al. 2018)."""

from __future__ import annotations

from typing import cast

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.utils.parametrizations import weight_norm

from models.modules.encoder import Encoder, State
from models.modules.padding import last_steps, without_padding


class TcnLayer(Encoder):
    """Two convolutions, each followed by relu and dropout, and a residual around both.

    The state contains the last inputs of each convolution: (1, batch, (width - 1) · dilation,
    size).
    """

    def __init__(
        self,
        input_size: int,
        output_size: int,
        width: int,
        dilation: int,
        is_causal: bool,
        dropout: float,
    ) -> None:
        super().__init__()
        self.input_size, self.output_size, self.dropout = input_size, output_size, dropout
        self.is_causal = is_causal
        self.before = (width - 1) * dilation if is_causal else (width - 1) // 2 * dilation
        self.convolutions = nn.ModuleList(
            convolution(size, output_size, width, dilation) for size in (input_size, output_size)
        )
        self.drop = nn.Dropout(dropout)
        self.skip = nn.Linear(input_size, output_size) if input_size != output_size else None

    def forward(
        self,
        inputs: Tensor,
        lengths: Tensor | None = None,
        state: State | None = None,
        need_state: bool = True,
    ) -> tuple[Tensor, State | None]:
        """See `Encoder.forward`."""
        x, finals = inputs, []
        for number, each in enumerate(self.convolutions):
            if not self.is_causal:
                x = without_padding(x, lengths)
            start = x.new_zeros(x.shape[0], self.before, x.shape[-1])
            if state is not None and self.is_causal:
                start = state[number][0].to(x.dtype)
            seen = torch.cat([start, x], dim=1)
            if need_state:
                kept = self.before if self.is_causal else 0
                finals.append(last_steps(seen, kept, lengths).unsqueeze(0))
            after = 0 if self.is_causal else self.before
            x = each(F.pad(seen.transpose(1, 2), (0, after))).transpose(1, 2)
            x = self.drop(F.relu(x))
        outputs = F.relu(x + (inputs if self.skip is None else self.skip(inputs)))
        return without_padding(outputs, lengths), tuple(finals) if need_state else None

    def flops_per_token(self) -> int:
        """Count two operations per weight."""
        sizes = [cast(Tensor, each.weight).numel() for each in self.convolutions]
        return 2 * (sum(sizes) + (0 if self.skip is None else self.skip.weight.numel()))


def convolution(input_size: int, output_size: int, width: int, dilation: int) -> nn.Module:
    """Return a convolution with weight norm (Salimans & Kingma 2016)."""
    layer = nn.Conv1d(input_size, output_size, width, dilation=dilation)
    nn.init.kaiming_uniform_(layer.weight, nonlinearity="relu")
    assert layer.bias is not None
    nn.init.zeros_(layer.bias)
    normalised: nn.Module = weight_norm(layer)
    return normalised
