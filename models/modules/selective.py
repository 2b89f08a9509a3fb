"""The selective scan of Mamba (Gu & Dao 2023), on any device."""

from __future__ import annotations

import torch
from torch import Tensor

from models.kernels.selective import FusedSelectiveScan
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
    device = inputs.device.type
    if device in ("cpu", "cuda") and torch.is_autocast_enabled(device):
        with torch.autocast(device, enabled=False):
            return selective_scan(inputs, delta, a, b, c, d, lengths, state, is_fused)
    dtype = torch.promote_types(inputs.dtype, torch.float32)
    inputs, delta, a, b, c, d = (each.to(dtype) for each in (inputs, delta, a, b, c, d))
    if is_fused:
        given = [each.contiguous() for each in (inputs, delta, a, b, c, d)]
        first = None if state is None else state.to(dtype).contiguous()
        lengths = None if lengths is None else lengths.to(torch.int64).contiguous()
        # `Function.apply` has no annotations.
        result: tuple[Tensor, Tensor] = FusedSelectiveScan.apply(lengths, *given, first)  # type: ignore[no-untyped-call]
        return result
    beyond = None
    if lengths is not None:
        steps = torch.arange(inputs.shape[1], device=inputs.device)
        beyond = (steps >= lengths.unsqueeze(1)).unsqueeze(-1)
        delta = delta.masked_fill(beyond, 0.0)  # the state passes unchanged
    outputs, last = in_chunks(inputs, delta, a, b, c, state)
    outputs = outputs + d * inputs
    return outputs if beyond is None else outputs.masked_fill(beyond, 0.0), last


def in_chunks(
    inputs: Tensor, delta: Tensor, a: Tensor, b: Tensor, c: Tensor, state: Tensor | None
) -> tuple[Tensor, Tensor]:
    """Return c_t h_t and the last state, chunk by chunk; an exported program has one chunk."""
    time = inputs.shape[1]
    size = time if torch.compiler.is_compiling() else CHUNK
    last = inputs.new_zeros(len(inputs), *a.shape) if state is None else state.to(inputs.dtype)
    outputs = []
    for u, step, own_b, own_c in zip(
        *(torch.split(each, size, dim=1) for each in (inputs, delta, b, c)), strict=True
    ):
        factors = torch.exp(step.unsqueeze(-1) * a)
        drive = (step * u).unsqueeze(-1) * own_b.unsqueeze(2)
        first = drive[:, :1] + factors[:, :1] * last.unsqueeze(1)
        states = prefix(factors.flatten(2), torch.cat([first, drive[:, 1:]], 1).flatten(2))
        states = states.view(*states.shape[:2], *a.shape)
        outputs.append(torch.einsum("bten,btn->bte", states, own_c))
        last = states[:, -1]
    return torch.cat(outputs, dim=1), last
