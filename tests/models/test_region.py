"""Region encoders and tables of gates: both kernels, parameters, and the networks around them."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor, nn

from models.modules.recurrent import RecurrentEncoder
from models.recurrent import RecurrentSettings
from tasks.modules.network import SequenceNetwork
from tests.helpers.kernels import KERNELS
from tests.helpers.region_formula import region_sequence

CELLS = {"rnn": 1, "lstm": 4, "gru": 3, "region": 2}  # numbers of gates


def build(cell: str = "region", **settings: Any) -> RecurrentEncoder:
    torch.manual_seed(0)
    options = {"hidden_size": 6, "kernel": "torch"} | settings
    return RecurrentSettings(cell=cell, **options).build(5)


@pytest.mark.parametrize("kernel", KERNELS)
@pytest.mark.parametrize("table", [False, True])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=["float32", "float64"])
@pytest.mark.parametrize("lengths", [None, [9, 4, 1]])
def test_a_stack_of_two_directions_equals_the_formula(
    kernel: str, table: bool, dtype: torch.dtype, lengths: list[int] | None
) -> None:
    encoder = build(table=table, kernel=kernel, num_layers=2, bidirectional=True).to(dtype)
    inputs = torch.randn(3, 9, encoder.input_size, dtype=dtype, requires_grad=True)
    start = tuple(torch.randn(4, 3, 6, dtype=dtype, requires_grad=True) for _ in "hc")
    rows = []
    for row, length in enumerate(lengths or [9] * 3):
        values, ends = inputs[row], []
        for layer in range(2):
            sides = []
            for way in range(2):
                place = 2 * layer + way
                x = values[:, 12 * way : 12 * way + 12] if table and not layer else values
                cell: Any = encoder.cells[place]
                bias = cell.bias_ih_l0 + cell.bias_hh_l0
                weights = (cell.weight_ih_l0, cell.weight_hh_l0, bias)
                before = (start[0][place, row], start[1][place, row])
                y, *end = region_sequence(x, weights, length, before, backwards=bool(way))
                sides.append(y)
                ends.append(end)
            values = torch.cat(sides, -1)
        rows.append((values, *(torch.stack(parts) for parts in zip(*ends, strict=True))))
    expected = [torch.stack(parts, min(n, 1)) for n, parts in enumerate(zip(*rows, strict=True))]
    outputs, state = encoder(inputs, None if lengths is None else torch.tensor(lengths), start)
    assert encoder.kernel == kernel
    assert state is not None
    bound = 1e-5 if dtype == torch.float32 else 1e-12
    leaves = [inputs, *start, *encoder.parameters()]
    found = [outputs, *state]
    for results in (found, expected):
        loss = sum((part * part.sin()).sum() for part in results[:3])
        results += torch.autograd.grad(loss, leaves)
    for one, other in zip(found, expected, strict=True):
        assert (one - other).abs().max() <= bound * (1 + other.abs().max())


@pytest.mark.parametrize("kernel", KERNELS)
@pytest.mark.parametrize("cell", CELLS)
@pytest.mark.parametrize("lengths", [None, torch.tensor([9, 0, 4])], ids=["full", "lengths"])
def test_a_table_equals_an_embedding_with_input_weights(
    cell: str, kernel: str, lengths: Tensor | None
) -> None:
    """A row of the table is the embedding of its token times the input weights."""
    plain = build(cell, kernel=kernel, bidirectional=True).double()
    encoder = build(cell, kernel=kernel, bidirectional=True, table=True).double()
    encoder.load_state_dict(
        {n: w for n, w in plain.state_dict().items() if "weight_ih" not in n}, strict=True
    )
    assert encoder.input_size == 2 * 6 * CELLS[cell]
    weights = torch.cat([plain.get_parameter(f"cells.{n}.weight_ih_l0") for n in range(2)])
    embedded = torch.randn(3, 9, 5, dtype=torch.float64)
    expected, _ = plain(embedded, lengths, need_state=False)
    outputs, _ = encoder(embedded @ weights.t(), lengths, need_state=False)
    torch.testing.assert_close(outputs, expected, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("bidirectional", [False, True])
def test_the_table_is_the_tasks_embedding(bidirectional: bool) -> None:
    encoder = build(table=True, bidirectional=bidirectional, num_layers=2)
    network = SequenceNetwork(encoder, 3, "max", vocabulary_size=20)
    sides = 2 if bidirectional else 1
    assert isinstance(network.embedding, nn.Embedding)
    assert network.embedding.weight.shape == (20, sides * 2 * 6)
    first, second = 2 * (6 * 6 + 6 + 6), 2 * (6 * sides * 6 + 6 * 6 + 6 + 6)
    assert sum(p.numel() for p in encoder.parameters()) == sides * (first + second)
    assert encoder.flops_per_token() == sides * 2 * (2 * 6 * 6 + 2 * 6 * (sides * 6 + 6))
    network(torch.randint(20, (4, 7)))[0].sum().backward()
    assert network.embedding.weight.grad is not None


def test_the_forget_bias_is_that_of_the_forget_gate() -> None:
    for bias, wanted in ((1.0, 1.0), (2.5, 2.5)):
        cell: Any = build(forget_bias=bias).cells[0]
        assert (cell.bias_ih_l0 + cell.bias_hh_l0).tolist() == [wanted] * 6 + [0.0] * 6


def test_small_recurrent_weights_are_uniform() -> None:
    encoder = build(initialisation="small", hidden_size=64)
    weight = encoder.get_parameter("cells.0.weight_hh_l0").detach()
    assert 0.0099 < float(weight.abs().max()) <= 0.01
    assert float(weight.std()) == pytest.approx(0.01 / 3**0.5, rel=0.05)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_gates_stay_open_in_half_precision(dtype: torch.dtype) -> None:
    encoder = build()
    inputs, lengths = torch.randn(3, 9, 5), torch.tensor([9, 4, 1])
    expected, state = encoder(inputs, lengths)
    outputs, found = encoder.to(dtype)(inputs.to(dtype), lengths)
    torch.testing.assert_close(outputs.float(), expected, rtol=0.05, atol=0.05)
    assert found is not None
    assert state is not None
    torch.testing.assert_close(found[1].float(), state[1], rtol=0.05, atol=0.1)


@pytest.mark.parametrize("cell", CELLS)
@pytest.mark.parametrize("lengths", [None, torch.tensor([7, 2, 4])], ids=["full", "lengths"])
def test_a_table_uses_the_device_of_its_inputs(cell: str, lengths: Tensor | None) -> None:
    encoder = build(cell, table=True, bidirectional=True, weight_dropout=0.2).to("meta")
    inputs = torch.randn(3, 7, encoder.input_size, device="meta", requires_grad=True)
    outputs, state = encoder(inputs, None if lengths is None else lengths.to("meta"))
    (outputs.sum() + sum(part.sum() for part in state or ())).backward()
    assert all(p.grad is not None and p.grad.is_meta for p in encoder.parameters())
