"""Diagonal recurrences h_t = a_t * h_{t-1} + b_t over whole sequences, on any device.

Without the CPU kernel, PyTorch combines steps in log2(time) passes. Products of decays cannot
overflow, as no decay is larger than 1.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn import functional as F

from models.kernels.scan import PARTS, STATES, FusedScan
from models.modules.padding import beyond, without_padding
from models.modules.precision import full_precision

TRACED_PASSES = 17  # of an exported program, whose number of passes cannot depend on the steps


def scan(
    cell: str,
    inputs: Tensor,
    decay: Tensor | None,
    lengths: Tensor | None,
    state: Tensor | None,
    is_fused: bool,
) -> tuple[Tensor, Tensor]:
    """Run a cell over whole sequences.

    Args:
        cell: one of `models.kernels.scan.CELLS`.
        inputs: (batch, time, parts · units). Of mingru: gate and candidate; of minlstm: forget
            gate, input gate and candidate; all before their nonlinearities.
        decay: (states · units), for the cells real and complex.
        lengths: (batch), or None for full sequences.
        state: (batch, states · units), or None for zeros.
        is_fused: use the CPU kernel, in float32 or float64.

    Returns:
        States after every step (batch, time, states · units), zero beyond the lengths, and the last
        state (batch, states · units).
    """
    inputs = inputs.to(torch.promote_types(inputs.dtype, torch.float32))
    with full_precision(inputs.device):
        if is_fused:
            return fused_scan(cell, inputs, decay, lengths, state)
        padding = None if lengths is None else beyond(lengths, inputs.shape[1])
        steps = scan_in_passes(cell, inputs, decay, padding, state)
        return without_padding(steps, lengths), steps[:, -1]


def fused_scan(
    cell: str, inputs: Tensor, decay: Tensor | None, lengths: Tensor | None, state: Tensor | None
) -> tuple[Tensor, Tensor]:
    """Run the CPU kernel; see `scan`."""
    own = [None if e is None else e.to(inputs.dtype).contiguous() for e in (decay, state)]
    lengths = None if lengths is None else lengths.to(torch.int64).contiguous()
    # `Function.apply` has no annotations.
    result: tuple[Tensor, Tensor] = FusedScan.apply(cell, inputs.contiguous(), lengths, *own)  # type: ignore[no-untyped-call]
    return result


def scan_in_passes(
    cell: str, inputs: Tensor, decay: Tensor | None, padding: Tensor | None, state: Tensor | None
) -> Tensor:
    """Return the states (batch, time, states · units); padding keeps the last one."""
    a, b = coefficients(cell, inputs.chunk(PARTS[cell], -1), decay)
    if padding is not None:
        a, b = a.masked_fill(padding, 1.0), b.masked_fill(padding, 0.0)
    if state is not None:
        state = to_complex(state.to(inputs.dtype)) if b.is_complex() else state.to(b.dtype)
    steps = prefix(a, b, state)
    return torch.cat([steps.real, steps.imag], -1) if STATES[cell] == 2 else steps


def to_complex(pairs: Tensor) -> Tensor:
    """Combine real parts and imaginary parts, the halves of the last dimension."""
    return torch.complex(*pairs.chunk(2, -1))


def coefficients(cell: str, parts: Sequence[Tensor], decay: Tensor | None) -> tuple[Tensor, Tensor]:
    """Return a and b (batch, time, units) of h = a * h + b."""
    if decay is not None:
        b = torch.complex(*parts) if cell == "complex" else parts[0]
        a = to_complex(decay) if cell == "complex" else decay
        return a.to(b.dtype).expand_as(b), b
    *gates, candidate = parts
    if cell.endswith("positive"):  # g of Feng et al. 2024
        candidate = torch.where(candidate < 0, candidate.sigmoid(), candidate + 0.5)
    if cell.startswith("mingru"):
        return torch.sigmoid(-gates[0]), torch.sigmoid(gates[0]) * candidate
    # f / (f + i) and i / (f + i), without a division by 0 where both gates vanish.
    difference = F.softplus(-gates[0]) - F.softplus(-gates[1])
    return torch.sigmoid(-difference), torch.sigmoid(difference) * candidate


def prefix(a: Tensor, b: Tensor, state: Tensor | None) -> Tensor:
    """Return h_t = a_t * h_{t-1} + b_t for all steps of (batch, time, units).

    `state` is h before the first step, (batch, units); None for zeros.
    """
    if torch.compiler.is_compiling():
        return traced_prefix(a, b, state)
    if state is not None:
        b = torch.cat([b[:, :1] + a[:, :1] * state.unsqueeze(1), b[:, 1:]], dim=1)
    shift = 1
    while shift < b.shape[1]:
        b = torch.cat([b[:, :shift], b[:, shift:] + a[:, shift:] * b[:, :-shift]], dim=1)
        a = torch.cat([a[:, :shift], a[:, shift:] * a[:, :-shift]], dim=1)
        shift *= 2
    return b


def traced_prefix(a: Tensor, b: Tensor, state: Tensor | None) -> Tensor:
    """Return the same in a program for any number of steps up to 2^`TRACED_PASSES`."""
    time = b.shape[1]
    # PyTorch's function has no annotations.
    torch._check(time <= 2**TRACED_PASSES)  # type: ignore[no-untyped-call]
    steps = torch.arange(time, device=b.device)
    for shift in (2**number for number in range(TRACED_PASSES)):
        before = (steps - shift).clamp(min=0)
        is_first = (steps < shift).unsqueeze(-1)
        b = b + a * b.index_select(1, before).masked_fill(is_first, 0.0)
        a = a * a.index_select(1, before).masked_fill(is_first, 1.0)
    return b if state is None else b + a * state.unsqueeze(1)
