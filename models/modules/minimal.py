"""A minGRU or minLSTM layer (Feng et al. 2024), whose gates depend on the inputs alone."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from models.kernels.scan import PARTS
from models.modules.encoder import Encoder, State
from models.modules.scan import scan


class MinimalLayer(Encoder):
    """A layer in one direction; see `models.minimal`."""

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        *,
        cell: str,
        candidate: str,
        dropout: float,
        chrono: float | None,
        kernel: str,
    ) -> None:
        super().__init__()
        self.cell = f"{cell}_positive" if candidate == "positive" else cell
        self.input_size, self.output_size, self.dropout = input_size, hidden_size, dropout
        self.requested_kernel = kernel
        self.projection = nn.Linear(input_size, PARTS[self.cell] * hidden_size)
        self.initialise(chrono)

    def initialise(self, chrono: float | None) -> None:
        """Set the weights part by part, and draw time constants (Tallec & Ollivier 2018).

        With a time constant of t steps, the share of the new candidate is 1 / (1 + t).
        """
        nn.init.zeros_(self.projection.bias)
        for block in torch.split(self.projection.weight.data, self.output_size):
            nn.init.xavier_uniform_(block)
        if chrono is None:
            return
        bias = self.projection.bias.data.view(-1, self.output_size)
        logarithms = torch.empty_like(bias[0]).uniform_(1.0, chrono).log()
        if self.cell.startswith("mingru"):
            bias[0] = -logarithms
        else:  # forget gate, input gate
            bias[0], bias[1] = logarithms, -logarithms

    def forward(
        self,
        inputs: Tensor,
        lengths: Tensor | None = None,
        state: State | None = None,
        need_state: bool = True,
    ) -> tuple[Tensor, State | None]:
        """See `Encoder.forward`."""
        is_fused = self.can_fuse(inputs)
        self.kernel = "fused" if is_fused else "torch"
        start = None if state is None else state[0][0]
        outputs, final = scan(self.cell, self.projection(inputs), None, lengths, start, is_fused)
        return outputs, (final.unsqueeze(0),) if need_state else None

    def flops_per_token(self) -> int:
        """Count two operations per weight."""
        return 2 * self.projection.weight.numel()
