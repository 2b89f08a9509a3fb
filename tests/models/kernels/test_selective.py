"""Mamba's selective scan: the CPU kernel and PyTorch's chunks against a loop over the steps."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from models.modules.selective import selective_scan
from tests.helpers.kernels import KERNELS, NEEDS_FUSED

UNITS, STATES = 19, 3


def loop(
    u: Tensor,
    delta: Tensor,
    a: Tensor,
    b: Tensor,
    c: Tensor,
    d: Tensor,
    state: Tensor,
    lengths: Tensor,
) -> tuple[Tensor, Tensor]:
    """Return the results of `selective_scan`, row by row and step by step."""
    rows, last = [], []
    for row in range(len(u)):
        h, outputs = state[row], [torch.zeros_like(d)] * u.shape[1]
        for t in range(int(lengths[row])):
            drive = delta[row, t, :, None] * b[row, t] * u[row, t, :, None]
            h = torch.exp(delta[row, t, :, None] * a) * h + drive
            outputs[t] = h @ c[row, t] + d * u[row, t]
        rows.append(torch.stack(outputs))
        last.append(h)
    return torch.stack(rows), torch.stack(last)


def problem(time: int) -> list[Tensor]:
    torch.manual_seed(0)
    sizes = [(3, time, UNITS), (3, time, UNITS), (UNITS, STATES), (3, time, STATES)]
    sizes += [(3, time, STATES), (UNITS,), (3, UNITS, STATES)]
    leaves = [torch.randn(size, dtype=torch.float64) for size in sizes]
    leaves[1], leaves[2] = leaves[1].abs(), -leaves[2].abs()
    return [each.requires_grad_() for each in leaves]


def results(run: str, leaves: list[Tensor], lengths: Tensor) -> list[Tensor]:
    """Return outputs and last state, and the gradients of a random sum of them."""
    *given, state = leaves
    if run == "loop":
        outputs, last = loop(*given, state, lengths)
    else:
        is_full = bool((lengths == given[0].shape[1]).all())
        own = None if is_full else lengths
        outputs, last = selective_scan(*given, own, state, run == "fused")
    generator = torch.Generator().manual_seed(1)
    weights = [
        torch.randn(each.shape, generator=generator, dtype=torch.float64)
        for each in (outputs, last)
    ]
    total = (outputs * weights[0]).sum() + (last * weights[1]).sum()
    return [outputs, last, *torch.autograd.grad(total, leaves)]


@pytest.mark.parametrize(
    ("time", "lengths"), [(5, [5, 5, 5]), (70, [70, 0, 1]), (40, [33, 16, 17])]
)
@pytest.mark.parametrize("run", KERNELS)
def test_values_and_gradients_are_those_of_a_loop(run: str, time: int, lengths: list[int]) -> None:
    leaves = problem(time)
    expected = results("loop", leaves, torch.tensor(lengths))
    found = results(run, leaves, torch.tensor(lengths))
    for part, other in zip(found, expected, strict=True):
        torch.testing.assert_close(part, other, atol=1e-11, rtol=1e-8)


@NEEDS_FUSED
def test_the_kernel_in_float32_on_several_threads() -> None:
    lengths = torch.tensor([20, 7, 16])
    expected = results("loop", problem(20), lengths)
    single = [each.detach().float().requires_grad_() for each in problem(20)]
    before = torch.get_num_threads()
    torch.set_num_threads(3)
    try:
        found = results("fused", single, lengths)
    finally:
        torch.set_num_threads(before)
    for part, other in zip(found, expected, strict=True):
        assert part.dtype == torch.float32
        assert (part - other).abs().max() <= 1e-5 * other.abs().max()


@pytest.mark.parametrize("run", KERNELS)
def test_large_steps_and_decays_stay_finite(run: str) -> None:
    leaves = [each.detach().float() for each in problem(9)]
    leaves[1] = leaves[1] * 1e4
    leaves = [each.requires_grad_() for each in leaves]
    for found in results(run, leaves, torch.tensor([9, 9, 9])):
        assert found.isfinite().all()
