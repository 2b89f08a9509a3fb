"""A layer of linear recurrent units (Orvieto et al. 2023)."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from models.kernels.scan import STATES
from models.modules.encoder import Encoder, State
from models.modules.padding import without_padding
from models.modules.scan import scan


class LruLayer(Encoder):
    """h_t = a * h_{t-1} + g * (B x_t), y = Re(C h) and a gated linear unit of gelu(y).

    B and C are real matrices whose halves are real parts and imaginary parts. An absolute value of
    `a` above 1 is impossible:

    - complex: a = exp(-exp(n) + i exp(p));
    - positive: a = exp(-exp(n));
    - any: a = tanh(n).

    g = sqrt(1 - |a|^2) at the initialisation keeps the variance of states near that of inputs.
    """

    dynamics = ("radius", "phase", "gain")

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        *,
        sign: str,
        radii: tuple[float, float],
        dropout: float,
        kernel: str,
    ) -> None:
        super().__init__()
        self.input_size, self.output_size, self.dropout = input_size, hidden_size, dropout
        self.sign, self.requested_kernel = sign, kernel
        self.cell = "complex" if sign == "complex" else "real"
        states = STATES[self.cell] * hidden_size
        self.into = nn.Linear(input_size, states, bias=False)
        self.out = nn.Linear(states, hidden_size, bias=False)
        self.glu = nn.Linear(hidden_size, 2 * hidden_size)
        self.radius = nn.Parameter(torch.empty(hidden_size))
        self.phase = nn.Parameter(torch.empty_like(self.radius)) if sign == "complex" else None
        self.gain = nn.Parameter(torch.empty_like(self.radius))
        self.initialise(*radii)

    def initialise(self, smallest: float, largest: float) -> None:
        """Draw eigenvalues uniformly from a ring (from its real axis if they are real)."""
        nn.init.normal_(self.into.weight, std=1 / math.sqrt(self.input_size * STATES[self.cell]))
        nn.init.normal_(self.out.weight, std=1 / math.sqrt(self.out.in_features))
        nn.init.xavier_uniform_(self.glu.weight)
        nn.init.zeros_(self.glu.bias)
        radius = torch.empty_like(self.radius).uniform_(smallest**2, largest**2).sqrt()
        radius = radius.clamp(min=1e-4)
        if self.sign == "any":
            signs = torch.where(torch.rand_like(radius) < 0.5, -1.0, 1.0)
            self.radius.data = torch.atanh(radius * signs)
        else:
            self.radius.data = torch.log(-torch.log(radius))
        if self.phase is not None:
            angle = torch.empty_like(radius).uniform_(0.0, 2 * math.pi).clamp(min=1e-4)
            self.phase.data = angle.log()
        self.gain.data = torch.log1p(-(radius**2)) / 2

    def decay(self) -> Tensor:
        """Return a (states · units)."""
        if self.sign == "any":
            return torch.tanh(self.radius)
        radius = torch.exp(-torch.exp(self.radius))
        if self.phase is None:
            return radius
        angle = torch.exp(self.phase)
        return torch.cat([radius * torch.cos(angle), radius * torch.sin(angle)], dim=-1)

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
        gain = self.gain.exp().repeat(STATES[self.cell])
        # Scaled weights cost less than scaled inputs of all steps.
        drive = F.linear(inputs, self.into.weight * gain.unsqueeze(1))
        start = None if state is None else state[0][0]
        states, final = scan(self.cell, drive, self.decay(), lengths, start, is_fused)
        value, gate = self.glu(F.gelu(self.out(states.to(inputs.dtype)))).chunk(2, dim=-1)
        outputs = value * torch.sigmoid(gate)
        outputs = without_padding(outputs, lengths)
        return outputs, (final.unsqueeze(0),) if need_state else None

    def flops_per_token(self) -> int:
        """Count two operations per weight, and eight or two per state."""
        weights = sum(each.weight.numel() for each in (self.into, self.out, self.glu))
        return 2 * weights + (8 if self.cell == "complex" else 2) * self.radius.numel()
