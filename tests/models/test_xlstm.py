"""The layers of xLSTM against their equations, step by step, without stabilisation."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

from models.modules.xlstm import MLstmLayer, SLstmLayer
from tests.helpers.kernels import KERNELS, NEEDS_FUSED

BATCH, TIME, FEATURES, HEADS, SIZE = 3, 9, 5, 2, 19


def slstm(kernel: str) -> SLstmLayer:
    torch.manual_seed(0)
    layer = SLstmLayer(FEATURES, HEADS, SIZE, 0.0, 0.0, kernel).double()
    layer.recurrent.data.normal_(std=0.3)
    layer.bias.data.normal_()
    return layer


def slstm_by_equations(layer: SLstmLayer, inputs: Tensor) -> Tensor:
    """Return the outputs of one sequence (time, features)."""
    h = c = n = inputs.new_zeros(HEADS, SIZE)
    rows = []
    for x in inputs:
        given = layer.projection(x).view(HEADS, 4 * SIZE) + layer.bias
        given = given + torch.einsum("hgs,hs->hg", layer.recurrent, h)
        i, f, z, o = given.chunk(4, -1)
        c = torch.sigmoid(f) * c + torch.exp(i) * torch.tanh(z)
        n = torch.sigmoid(f) * n + torch.exp(i)
        h = torch.sigmoid(o) * c / n
        rows.append(h.flatten())
    return torch.stack(rows)


def mlstm_by_equations(layer: MLstmLayer, inputs: Tensor) -> Tensor:
    """Return the outputs of one sequence (time, features)."""
    size = layer.head_size
    matrix, total = inputs.new_zeros(HEADS, size, size), inputs.new_zeros(HEADS, size)
    rows = []
    for x in inputs:
        q, k, v, out = (each.view(HEADS, size) for each in layer.projection(x).chunk(4))
        i, f = layer.gates(x).chunk(2)
        write, keep = torch.exp(i)[:, None], torch.sigmoid(f)[:, None]
        k = k / math.sqrt(size)
        matrix = keep[..., None] * matrix + write[..., None] * k[:, :, None] * v[:, None]
        total = keep * total + write * k
        weight = (q * total).sum(-1, keepdim=True).abs().clamp(min=1.0)
        read = torch.einsum("hs,hsv->hv", q, matrix) / (weight + 0.0)
        rows.append((torch.nn.functional.layer_norm(read, (size,)) * torch.sigmoid(out)).flatten())
    return torch.stack(rows)


@pytest.mark.parametrize("kernel", KERNELS)
def test_an_slstm_computes_its_equations(kernel: str) -> None:
    layer, inputs = slstm(kernel), torch.randn(BATCH, TIME, FEATURES, dtype=torch.float64)
    lengths = torch.tensor([9, 4, 1])
    outputs, _ = layer(inputs, lengths)
    assert layer.kernel == kernel
    for row, length in enumerate(lengths.tolist()):
        expected = slstm_by_equations(layer, inputs[row, :length])
        torch.testing.assert_close(outputs[row, :length], expected, atol=1e-7, rtol=1e-7)


def gradients(layer: SLstmLayer, inputs: Tensor, lengths: Tensor) -> list[Tensor]:
    """Return outputs and state after two chunks, and gradients of a random sum of them."""
    leaf = inputs.clone().requires_grad_()
    first, state = layer(leaf[:, :5], lengths.clamp(max=5))
    second, final = layer(leaf[:, 5:], None, state)
    h, memory = final
    c, n, m = memory.unbind(2)
    found = [first, second, h, c / n, n.log() + m]  # whatever the scale of c and n
    generator = torch.Generator().manual_seed(1)
    total = sum(
        (each * torch.randn(each.shape, generator=generator, dtype=torch.float64)).sum()
        for each in found[:4]
    )
    return [*found, *torch.autograd.grad(total, [leaf, *layer.parameters()])]


@NEEDS_FUSED
def test_the_kernel_has_the_values_and_gradients_of_the_steps() -> None:
    inputs, lengths = torch.randn(BATCH, TIME, FEATURES).double(), torch.tensor([5, 2, 3])
    expected = gradients(slstm("torch"), inputs, lengths)
    found = gradients(slstm("fused"), inputs, lengths)
    for part, other in zip(found, expected, strict=True):
        torch.testing.assert_close(part, other, atol=1e-6, rtol=1e-6)


@pytest.mark.parametrize("kernel", KERNELS)
@pytest.mark.parametrize("level", [-1000.0, -40.0, 40.0, 1000.0])
def test_saturated_gates_of_an_slstm_stay_finite(kernel: str, level: float) -> None:
    layer = slstm(kernel).float()
    inputs = torch.randn(BATCH, TIME, FEATURES, requires_grad=True)
    for gate in range(2):
        layer.bias.data[:, gate * SIZE : (gate + 1) * SIZE] = level
        outputs, _ = layer(inputs)
        outputs.sum().backward()
        assert outputs.isfinite().all()
        assert outputs.abs().max() <= 1
        assert all(p.grad is not None and p.grad.isfinite().all() for p in layer.parameters())


@pytest.mark.parametrize("time", [1, 9, 64, 65, 150])
def test_an_mlstm_computes_its_equations_in_chunks(time: int) -> None:
    torch.manual_seed(0)
    layer = MLstmLayer(FEATURES, HEADS, 6, 0.0).double()
    layer.gates.weight.data.normal_()
    inputs = torch.randn(2, time, FEATURES, dtype=torch.float64)
    outputs, _ = layer(inputs)
    for row in range(2):
        expected = mlstm_by_equations(layer, inputs[row])
        torch.testing.assert_close(outputs[row], expected, atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize("level", [-1000.0, -40.0, 40.0, 1000.0])
def test_saturated_gates_of_an_mlstm_stay_finite(level: float) -> None:
    torch.manual_seed(0)
    layer = MLstmLayer(FEATURES, HEADS, 6, 0.0)
    for part in (slice(0, HEADS), slice(HEADS, None)):
        layer.gates.bias.data[part] = level
        inputs = torch.randn(2, 70, FEATURES, requires_grad=True)
        outputs, _ = layer(inputs, torch.tensor([70, 1]))
        outputs.sum().backward()
        assert outputs.isfinite().all()
        assert inputs.grad is not None
        assert inputs.grad.isfinite().all()
