"""The layers of xLSTM (Beck et al. 2024) in one direction."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from models.kernels.layer import Weights, run_layer
from models.modules.encoder import Encoder, State
from models.modules.padding import beyond, without_padding

FRESH = -1e30  # log-scale m before the first step, where n is 0
CHUNK = 64  # steps of an mLSTM that are computed together
LARGEST_EXPONENT = 80.0


class SLstmLayer(Encoder):
    """Exponential input gates, and recurrent weights within each head.

    c and n are scaled by exp(-m), which cancels in h = o * c / n:

        m = max(logsigmoid(f) + m, i),  i' = exp(i - m),  f' = exp(logsigmoid(f) + m_before - m)
        c = f' * c + i' * tanh(z),  n = f' * n + i',  h = sigmoid(o) * c / n

    The state is h and (c, n, m), each (1, batch, parts, units); zeros are the state before the
    first step.

    Args:
        input_size: features of the inputs.
        heads, head_size: of the units.
        place: of the layer, from 0 for the first to 1 for the last; sets the forget biases.
        dropout: of the outputs, applied by others.
        kernel: auto, torch or fused.
    """

    has_step_loop = True

    def __init__(
        self,
        input_size: int,
        heads: int,
        head_size: int,
        place: float,
        dropout: float,
        kernel: str,
    ) -> None:
        super().__init__()
        self.input_size, self.output_size, self.dropout = input_size, heads * head_size, dropout
        self.heads, self.head_size, self.requested_kernel = heads, head_size, kernel
        # By head: input gate, forget gate, candidate, output gate.
        self.projection = nn.Linear(input_size, 4 * self.output_size, bias=False)
        self.recurrent = nn.Parameter(torch.zeros(heads, 4 * head_size, head_size))
        self.bias = nn.Parameter(torch.zeros(heads, 4 * head_size))
        for block in torch.split(self.projection.weight.data, head_size):
            nn.init.xavier_uniform_(block)
        share = torch.arange(head_size) / max(1, head_size - 1)
        forget = self.bias.data[:, head_size : 2 * head_size]
        forget.copy_(5 - 12 * share ** (0.3 + 1.3 * place))

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
        batch = inputs.shape[0]
        gates = by_head(self.projection(inputs), self.heads)
        start = None
        if state is not None:
            hidden, memory = (by_head(each[0], self.heads) for each in state)
            start = (hidden.flatten(1), memory.flatten(1))
        own = None if lengths is None else lengths.repeat(self.heads)
        if is_fused:
            weights: Weights = (None, self.recurrent, self.bias, torch.zeros_like(self.bias))
            outputs, [final] = run_layer("slstm", gates, [weights], own, [start], (False,))
        else:
            outputs, final = self.stepwise(gates, own, start)
        outputs = joined_heads(outputs, self.heads)
        if not need_state:
            return outputs, None
        hidden, memory = (
            joined_heads(each.view(self.heads * batch, -1, self.head_size), self.heads)
            for each in final
        )
        return outputs, (hidden.unsqueeze(0), memory.unsqueeze(0))

    def stepwise(
        self, gates: Tensor, lengths: Tensor | None, start: tuple[Tensor, Tensor] | None
    ) -> tuple[Tensor, tuple[Tensor, Tensor]]:
        """Run the recurrence on gates (heads · batch, time, 4 · units) with PyTorch operations."""
        gates = gates.view(self.heads, -1, *gates.shape[1:]) + self.bias[:, None, None]
        heads, batch, time, _ = gates.shape
        if start is None:
            h = gates.new_zeros(heads, batch, self.head_size)
            c, n, m = h, h, h
        else:
            h = start[0].view(heads, batch, self.head_size).to(gates.dtype)
            memory = start[1].view(heads, batch, 3, self.head_size).to(gates.dtype)
            c, n, m = memory.unbind(2)
        own = None if lengths is None else lengths.view(heads, batch, 1)
        steps = []
        for t in range(time):
            given = gates[:, :, t] + h @ self.recurrent.transpose(1, 2)
            i, f, z, o = given.chunk(4, dim=-1)
            forget = F.logsigmoid(f) + torch.where(n == 0, FRESH, m)
            new_m = torch.maximum(forget, i)
            keep, add = torch.exp(forget - new_m), torch.exp(i - new_m)
            new_c, new_n = keep * c + add * torch.tanh(z), keep * n + add
            new_h = torch.sigmoid(o) * new_c / new_n
            if own is None:
                h, c, n, m = new_h, new_c, new_n, new_m
                steps.append(h)
                continue
            valid = own > t
            steps.append(new_h.masked_fill(~valid, 0.0))
            h, c, n, m = (
                torch.where(valid, new, old)
                for new, old in ((new_h, h), (new_c, c), (new_n, n), (new_m, m))
            )
        memory = torch.stack([c, n, m], dim=2)
        outputs = torch.stack(steps, dim=2) if steps else gates[..., : self.head_size]
        return outputs.flatten(0, 1), (h.flatten(0, 1), memory.flatten(0, 1).flatten(1))

    def flops_per_token(self) -> int:
        """Count two operations per weight."""
        return 2 * (self.projection.weight.numel() + self.recurrent.numel())


def by_head(features: Tensor, heads: int) -> Tensor:
    """Return features (batch, time, heads · size) as (heads · batch, time, size)."""
    batch, time, _ = features.shape
    return features.view(batch, time, heads, -1).permute(2, 0, 1, 3).flatten(0, 1)


def joined_heads(features: Tensor, heads: int) -> Tensor:
    """Invert `by_head`."""
    _, time, size = features.shape
    return features.view(heads, -1, time, size).permute(1, 2, 0, 3).flatten(2)


class MLstmLayer(Encoder):
    """A matrix per head as memory, written by keys and values and read by queries.

    The sums are computed in chunks: within a chunk as weighted attention, between chunks by the
    state. The outputs of a head are normalised, and multiplied by an output gate.

    The state is the matrix C (1, batch, heads, size, size), n (1, batch, heads, size) and
    m (1, batch, heads, 1); zeros are the state before the first step.
    """

    def __init__(self, input_size: int, heads: int, head_size: int, dropout: float) -> None:
        super().__init__()
        self.input_size, self.output_size, self.dropout = input_size, heads * head_size, dropout
        self.heads, self.head_size = heads, head_size
        self.projection = nn.Linear(input_size, 4 * self.output_size)  # q, k, v, output gate
        self.gates = nn.Linear(input_size, 2 * heads)  # input gates, forget gates
        for block in torch.split(self.projection.weight.data, self.output_size):
            nn.init.xavier_uniform_(block)
        nn.init.zeros_(self.projection.bias)
        nn.init.normal_(self.gates.weight, std=0.01)
        nn.init.normal_(self.gates.bias.data[:heads], std=0.1)
        self.gates.bias.data[heads:] = torch.linspace(3.0, 6.0, heads)

    def forward(
        self,
        inputs: Tensor,
        lengths: Tensor | None = None,
        state: State | None = None,
        need_state: bool = True,
    ) -> tuple[Tensor, State | None]:
        """See `Encoder.forward`."""
        *features, out = self.projection(inputs).chunk(4, dim=-1)
        shape = (*inputs.shape[:2], self.heads, self.head_size)
        q, k, v = (each.view(shape).transpose(1, 2) for each in features)
        i, f = self.gates(inputs).transpose(1, 2).unsqueeze(-1).chunk(2, dim=1)
        log_f = F.logsigmoid(f)
        if lengths is not None:  # beyond them the state passes unchanged
            padding = beyond(lengths, inputs.shape[1]).unsqueeze(1)
            i, log_f = i.masked_fill(padding, FRESH), log_f.masked_fill(padding, 0.0)
        memory = self.start(inputs) if state is None else (state[0][0], state[1][0], state[2][0])
        outputs = []
        scaled = k / math.sqrt(self.head_size)
        given = (q, scaled, v, i, log_f)
        chunks = [given]  # of a traced program, which could not loop over others
        if not torch.compiler.is_compiling():
            chunks = list(zip(*(torch.split(each, CHUNK, dim=2) for each in given), strict=True))
        for own_q, own_k, own_v, own_i, own_f in chunks:
            heads, memory = chunk_of_mlstm(own_q, own_k, own_v, own_i, own_f, memory)
            outputs.append(F.layer_norm(heads, (self.head_size,)))
        whole = torch.cat(outputs, dim=2).transpose(1, 2).flatten(2) * torch.sigmoid(out)
        final = tuple(each.unsqueeze(0) for each in memory) if need_state else None
        return without_padding(whole, lengths), final

    def start(self, inputs: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Return the state before the first step."""
        shape = (inputs.shape[0], self.heads, self.head_size)
        matrix = inputs.new_zeros(*shape, self.head_size)
        return matrix, inputs.new_zeros(shape), inputs.new_zeros(*shape[:2], 1)

    def flops_per_token(self) -> int:
        """Count two operations per weight, and those of writing and reading the matrices."""
        weights = self.projection.weight.numel() + self.gates.weight.numel()
        return 2 * weights + 4 * self.heads * self.head_size**2


def chunk_of_mlstm(
    q: Tensor,
    k: Tensor,
    v: Tensor,
    i: Tensor,
    log_f: Tensor,
    state: tuple[Tensor, Tensor, Tensor],
) -> tuple[Tensor, tuple[Tensor, Tensor, Tensor]]:
    """Return the outputs of a chunk before their norm, and the state after it.

    All exponentials are relative to m, the largest exponent up to a step: m_t = decay_t + top_t.

    Args:
        q, k, v: (batch, heads, steps, size), keys scaled.
        i, log_f: (batch, heads, steps, 1).
        state: C (batch, heads, size, size), n (batch, heads, size) and m (batch, heads, 1).
    """
    matrix, total, m = state
    is_fresh = (total == 0).all(-1, keepdim=True)
    m = torch.where(is_fresh, FRESH, m).unsqueeze(-1)
    decay = log_f.cumsum(2)
    level = i - decay
    top = torch.maximum(level.cummax(2).values, m)
    steps = q.shape[2]
    later = torch.ones(steps, steps, dtype=torch.bool, device=q.device).triu(1)
    weights = torch.exp((level.transpose(2, 3) - top).masked_fill(later, -torch.inf))
    scores = (q @ k.transpose(2, 3)) * weights
    carried = torch.exp(m - top)
    numerator = scores @ v + carried * (q @ matrix)
    raw = scores.sum(-1, keepdim=True) + carried * (q @ total.unsqueeze(-1))
    floor = torch.exp((-(decay + top)).clamp(max=LARGEST_EXPONENT))
    outputs = numerator / (torch.maximum(raw.abs(), floor) + 1e-6)
    last = top[:, :, -1:]
    keep, add = torch.exp(m - last), torch.exp(level - last)
    matrix = keep * matrix + (k * add).transpose(2, 3) @ v
    total = keep.squeeze(-1) * total + (k * add).sum(2)
    return outputs, (matrix, total, (decay[:, :, -1:] + last).squeeze(-1))
