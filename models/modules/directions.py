"""Two layers of one direction as a bidirectional layer."""

from __future__ import annotations

import torch
from torch import Tensor

from models.modules.encoder import Encoder, State
from models.modules.padding import Padding, reverse


class BothDirections(Encoder):
    """A layer that reads forwards and one that reads backwards; outputs are concatenated."""

    directions = 2

    def __init__(self, forward_layer: Encoder, backward_layer: Encoder) -> None:
        super().__init__()
        self.input_size, self.dropout = forward_layer.input_size, forward_layer.dropout
        self.output_size = 2 * forward_layer.output_size
        self.requested_kernel = forward_layer.requested_kernel
        self.forward_layer, self.backward_layer = forward_layer, backward_layer

    def forward(
        self,
        inputs: Tensor,
        lengths: Tensor | None = None,
        state: State | None = None,
        need_state: bool = True,
    ) -> tuple[Tensor, State | None]:
        """See `Encoder.forward`; the state contains that of the forward layer first."""
        padding = None if lengths is None else Padding(lengths, inputs.shape[1])
        half = 0 if state is None else len(state) // 2
        starts = (None, None) if state is None else (state[:half], state[half:])
        first, final = self.forward_layer(inputs, lengths, starts[0], need_state)
        reversed_inputs = reverse(inputs, padding)
        second, last = self.backward_layer(reversed_inputs, lengths, starts[1], need_state)
        self.kernel = self.forward_layer.kernel
        outputs = torch.cat([first, reverse(second, padding)], dim=-1)
        return outputs, (*final, *last) if need_state else None

    def flops_per_token(self) -> int:
        """Count the operations of both layers."""
        return self.forward_layer.flops_per_token() + self.backward_layer.flops_per_token()
