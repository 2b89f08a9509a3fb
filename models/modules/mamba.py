"""A layer of Mamba-1 (Gu & Dao 2023) in one direction, up to the linear layer at its end."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from models.modules.encoder import Encoder, State
from models.modules.padding import last_steps
from models.modules.selective import selective_scan

SMALLEST_STEP, LARGEST_STEP = 0.001, 0.1  # of the discretisation, at initialisation


class MambaLayer(Encoder):
    """Inputs u and gate g; u = silu(convolution(u)); selective scan of u, times silu(g).

    The state contains the last inputs of the convolution (1, batch, convolution - 1, units) and the
    state of the scan (1, batch, units, states).
    """

    dynamics = ("a_log", "step.weight", "step.bias")

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        *,
        states: int,
        convolution: int,
        dropout: float,
        kernel: str,
    ) -> None:
        super().__init__()
        units, rank = 2 * hidden_size, math.ceil(hidden_size / 16)
        self.input_size, self.output_size, self.dropout = input_size, units, dropout
        self.requested_kernel = kernel
        self.sizes = [rank, states, states]
        self.into = nn.Linear(input_size, 2 * units, bias=False)
        self.convolution = nn.Conv1d(units, units, convolution, groups=units)
        self.select = nn.Linear(units, sum(self.sizes), bias=False)  # delta, b and c
        self.step = nn.Linear(rank, units)
        self.a_log = nn.Parameter(torch.arange(1.0, states + 1).log().repeat(units, 1))
        self.d = nn.Parameter(torch.ones(units))
        self.initialise()

    def initialise(self) -> None:
        """Draw weights; the bias of the step size makes steps log-uniform."""
        for block in self.into.weight.data.chunk(2):
            nn.init.xavier_uniform_(block)
        nn.init.xavier_uniform_(self.select.weight)
        bound = self.step.in_features**-0.5
        nn.init.uniform_(self.step.weight, -bound, bound)
        low, high = math.log(SMALLEST_STEP), math.log(LARGEST_STEP)
        steps = torch.empty_like(self.step.bias).uniform_(low, high).exp()
        self.step.bias.data = steps + torch.log(-torch.expm1(-steps))  # inverse of softplus

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
        u, gate = self.into(inputs).chunk(2, dim=-1)
        before = self.convolution.kernel_size[0] - 1
        start = u.new_zeros(u.shape[0], before, u.shape[-1]) if state is None else state[0][0]
        seen = torch.cat([start.to(u.dtype), u], dim=1)
        u = F.silu(self.convolution(seen.transpose(1, 2))).transpose(1, 2)
        step, b, c = self.select(u).split(self.sizes, dim=-1)
        outputs, last = selective_scan(
            *(u, F.softplus(self.step(step)), -torch.exp(self.a_log), b, c, self.d),
            *(lengths, None if state is None else state[1][0], is_fused),
        )
        outputs = outputs.to(gate.dtype) * F.silu(gate)
        if not need_state:
            return outputs, None
        return outputs, (last_steps(seen, before, lengths).unsqueeze(0), last.unsqueeze(0))

    def flops_per_token(self) -> int:
        """Count two operations per weight, and six per number of the state."""
        layers = (self.into, self.convolution, self.select, self.step)
        return 2 * sum(each.weight.numel() for each in layers) + 6 * self.a_log.numel()
