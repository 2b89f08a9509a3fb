"""Diagonal recurrences: the CPU kernel and PyTorch's passes against a loop over the steps."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from models.kernels.scan import CELLS, PARTS, STATES
from models.modules.scan import scan
from tests.helpers.kernels import KERNELS, NEEDS_FUSED

UNITS = 19  # a vector of the kernel and a part of one


def one_step(cell: str, x: Tensor, decay: Tensor, h: Tensor) -> Tensor:
    """Return the next state (states · units) from the published equations."""
    if cell == "real":
        return decay * h + x
    if cell == "complex":
        pairs = (torch.complex(*each.chunk(2)) for each in (decay, h, x))
        a, before, b = pairs
        new = a * before + b
        return torch.cat([new.real, new.imag])
    *gates, v = x.chunk(PARTS[cell])
    if cell.endswith("positive"):
        v = torch.where(v >= 0, F.relu(v) + 0.5, torch.sigmoid(v))
    if cell.startswith("mingru"):
        z = torch.sigmoid(gates[0])
        return (1 - z) * h + z * v
    f, i = (torch.sigmoid(gate) for gate in gates)
    return f / (f + i) * h + i / (f + i) * v


def loop(
    cell: str, inputs: Tensor, decay: Tensor, lengths: Tensor, state: Tensor
) -> tuple[Tensor, Tensor]:
    """Return the results of `scan`, row by row and step by step."""
    rows, last = [], []
    for row, length in enumerate(lengths.tolist()):
        h, steps = state[row], [torch.zeros_like(state[row])] * inputs.shape[1]
        for t in range(length):
            h = one_step(cell, inputs[row, t], decay, h)
            steps[t] = h
        rows.append(torch.stack(steps))
        last.append(h)
    return torch.stack(rows), torch.stack(last)


def problem(cell: str) -> list[Tensor]:
    """Return inputs, decay and state as leaves."""
    torch.manual_seed(0)
    inputs = torch.randn(4, 9, PARTS[cell] * UNITS, dtype=torch.float64)
    decay = 0.7 * torch.rand(STATES[cell] * UNITS, dtype=torch.float64)
    state = torch.randn(4, STATES[cell] * UNITS, dtype=torch.float64)
    return [each.requires_grad_() for each in (inputs, decay, state)]


def results(run: str, cell: str, leaves: list[Tensor], lengths: Tensor) -> list[Tensor]:
    """Return outputs and last state, and the gradients of a random sum of them."""
    inputs, decay, state = leaves
    if run == "loop":
        outputs, last = loop(cell, inputs, decay, lengths, state)
    else:
        given = decay if cell in ("real", "complex") else None
        own = None if bool((lengths == inputs.shape[1]).all()) else lengths
        outputs, last = scan(cell, inputs, given, own, state, run == "fused")
    generator = torch.Generator().manual_seed(1)
    weights = [
        torch.randn(each.shape, generator=generator, dtype=torch.float64)
        for each in (outputs, last)
    ]
    total = (outputs * weights[0]).sum() + (last * weights[1]).sum()
    gradients = torch.autograd.grad(total, leaves, allow_unused=True)
    return [outputs, last, *(each for each in gradients if each is not None)]


@pytest.mark.parametrize("lengths", [[9, 9, 9, 9], [9, 0, 1, 5]], ids=["full", "lengths"])
@pytest.mark.parametrize("cell", CELLS)
@pytest.mark.parametrize("run", KERNELS)
def test_values_and_gradients_are_those_of_a_loop(run: str, cell: str, lengths: list[int]) -> None:
    expected = results("loop", cell, problem(cell), torch.tensor(lengths))
    found = results(run, cell, problem(cell), torch.tensor(lengths))
    for part, other in zip(found, expected, strict=True):
        torch.testing.assert_close(part, other, atol=1e-12, rtol=1e-9)


@NEEDS_FUSED
@pytest.mark.parametrize("cell", CELLS)
def test_the_kernel_in_float32_on_several_threads(cell: str) -> None:
    lengths = torch.tensor([9, 2, 1, 5])
    expected = results("torch", cell, problem(cell), lengths)
    single = [each.detach().float().requires_grad_() for each in problem(cell)]
    before = torch.get_num_threads()
    torch.set_num_threads(3)
    try:
        found = results("fused", cell, single, lengths)
    finally:
        torch.set_num_threads(before)
    for part, other in zip(found, expected, strict=True):
        assert part.dtype == torch.float32
        assert (part - other).abs().max() <= 2e-6 * other.abs().max().clamp(min=1.0)


@pytest.mark.parametrize("cell", CELLS[2:])
@pytest.mark.parametrize("run", KERNELS)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_saturated_gates_give_finite_values_and_gradients(
    run: str, cell: str, dtype: torch.dtype
) -> None:
    """Every combination of saturated inputs, both gates of a minLSTM closed included."""
    levels = torch.tensor([-1e4, -40.0, 0.0, 40.0, 1e4], dtype=dtype)
    columns = torch.cartesian_prod(*[levels] * PARTS[cell])
    inputs = columns.T.reshape(1, 1, -1).repeat(2, 3, 1).requires_grad_()
    outputs, last = scan(cell, inputs, None, None, None, run == "fused")
    (outputs.sum() + last.sum()).backward()
    assert outputs.isfinite().all()
    assert inputs.grad is not None
    assert inputs.grad.isfinite().all()


@NEEDS_FUSED
@pytest.mark.parametrize("cell", CELLS)
@pytest.mark.parametrize("time", [1, 2, 257, 1000])
def test_passes_equal_the_kernel_on_long_sequences(cell: str, time: int) -> None:
    torch.manual_seed(0)
    inputs = torch.randn(2, time, PARTS[cell] * 3)
    decay = torch.full((STATES[cell] * 3,), 0.6) if cell in ("real", "complex") else None
    fused, _ = scan(cell, inputs, decay, None, None, True)
    passes, _ = scan(cell, inputs, decay, None, None, False)
    torch.testing.assert_close(fused, passes, atol=1e-5, rtol=1e-5)
