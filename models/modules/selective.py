"""The selective scan of Mamba (Gu & Dao 2023), on any device."""

from __future__ import annotations

import torch
from torch import Tensor

from models.kernels.selective import FusedSelectiveScan
from models.modules.padding import without_padding
from models.modules.precision import full_precision
from models.modules.scan import prefix

CHUNK = 64  # steps of which PyTorch keeps the expanded states at a time


def selective_scan(
    inputs: Tensor,
    delta: Tensor,
    a: Tensor,
    b: Tensor,
    c: Tensor,
    d: Tensor,
    lengths: Tensor | None,
    state: Tensor | None,
    is_fused: bool,
) -> tuple[Tensor, Tensor]:
    """Run h_t = exp(delta_t a) h_{t-1} + delta_t b_t u_t, and return c_t h_t + d u_t.

    Args:
        inputs: u (batch, time, units).
        delta: positive step sizes (batch, time, units).
        a: (units, N), negative.
        b, c: (batch, time, N).
        d: (units).
        lengths: (batch), or None for full sequences.
        state: (batch, units, N), or None for zeros.
        is_fused: use the CPU kernel, in float32 or float64.

    Returns:
        Outputs (batch, time, units), zero beyond the lengths, and the last state.
    """
    dtype = torch.promote_types(inputs.dtype, torch.float32)
    given = tuple(each.to(dtype).contiguous() for each in (inputs, delta, a, b, c, d))
    state = None if state is None else state.to(dtype).contiguous()
    with full_precision(inputs.device):
        if is_fused:
            lengths = None if lengths is None else lengths.to(torch.int64).contiguous()
            # `Function.apply` has no annotations.
            result: tuple[Tensor, Tensor] = FusedSelectiveScan.apply(lengths, *given, state)  # type: ignore[no-untyped-call]
            return result
        inputs, delta, a, b, c, d = given
        delta = without_padding(delta, lengths)  # where the state passes unchanged
        outputs, last = in_chunks(inputs, delta, a, b, c, state)
        return without_padding(outputs + d * inputs, lengths), last


def in_chunks(
    inputs: Tensor, delta: Tensor, a: Tensor, b: Tensor, c: Tensor, state: Tensor | None
) -> tuple[Tensor, Tensor]:
    """Return c_t h_t and the last state, chunk by chunk; a traced program has a single chunk."""
    last = inputs.new_zeros(inputs.shape[0], *a.shape) if state is None else state
    outputs = []
    given = (inputs, delta, b, c)
    chunks = [given]
    if not torch.compiler.is_compiling():
        chunks = list(zip(*(torch.split(each, CHUNK, dim=1) for each in given), strict=True))
    for u, step, own_b, own_c in chunks:
        factors = torch.exp(step.unsqueeze(-1) * a)
        drive = (step * u).unsqueeze(-1) * own_b.unsqueeze(2)
        states = prefix(factors.flatten(2), drive.flatten(2), last.flatten(1))
        states = states.view(*states.shape[:2], *a.shape)
        outputs.append(torch.einsum("bten,btn->bte", states, own_c))
        last = states[:, -1]
    return torch.cat(outputs, dim=1), last
