"""The fused kernel's region cell, and layers without an input weight, against loops of formulas."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor, nn

from models.kernels.compiler import unavailable_reason
from models.kernels.layer import GATES, run_layer
from tests.helpers.region_formula import region_sequence

pytestmark = pytest.mark.skipif(unavailable_reason() is not None, reason=str(unavailable_reason()))

SHAPES = [  # batch, time, features, hidden
    (1, 1, 1, 1),
    (5, 7, 3, 4),
    (13, 9, 40, 70),  # neither rows nor units fill whole tiles and vectors
    (3, 5, 2, 129),
]


def region_layer(
    inputs: Tensor, weights: list[Tensor | None], lengths: list[int], state: Any, backwards: bool
) -> tuple[Tensor, ...]:
    """Return outputs and final states of the region cell, sequence by sequence."""
    given, recurrent, *biases = weights
    assert recurrent is not None
    own = (given, recurrent, sum(bias for bias in biases if bias is not None))
    zeros = inputs.new_zeros(recurrent.shape[1])
    rows = [
        region_sequence(
            *(inputs[row], own, length),
            (zeros, zeros) if state is None else (state[0][row], state[1][row]),
            backwards,
        )
        for row, length in enumerate(lengths)
    ]
    return tuple(torch.stack(parts) for parts in zip(*rows, strict=True))


def drawn(
    features: int, hidden: int, dtype: torch.dtype, has_table: bool, cell: str = "region"
) -> list[Tensor | None]:
    rows = GATES[cell] * hidden
    shapes = [(rows, features), (rows, hidden), (rows,), (rows,)]
    weights = [torch.randn(shape, dtype=dtype) / hidden**0.5 for shape in shapes]
    return [None if has_table and not n else w.requires_grad_() for n, w in enumerate(weights)]


def gradients(results: tuple[Tensor, ...], leaves: list[Tensor]) -> list[Tensor]:
    generator = torch.Generator().manual_seed(1)
    loss = sum(
        (part * torch.randn(part.shape, dtype=part.dtype, generator=generator)).sum()
        for part in results
    )
    unused = sum(0 * leaf.sum() for leaf in leaves)  # without any step, no leaf is used
    return list(torch.autograd.grad(loss + unused, leaves))


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=["float32", "float64"])
@pytest.mark.parametrize("has_table", [False, True], ids=["weights", "table"])
@pytest.mark.parametrize("backwards", [False, True], ids=["forwards", "backwards"])
def test_the_region_cell_equals_its_formula(
    has_table: bool, backwards: bool, dtype: torch.dtype
) -> None:
    torch.manual_seed(0)
    for batch, time, given, hidden in SHAPES:
        features = 2 * hidden if has_table else given
        weights = drawn(features, hidden, dtype, has_table)
        for has_lengths, has_state in ((False, True), (True, False), (True, True)):
            inputs = torch.randn(batch, time, features, dtype=dtype, requires_grad=True)
            lengths = torch.randint(0, time + 1, (batch,)) if has_lengths else None
            state = tuple(torch.randn(batch, hidden, dtype=dtype, requires_grad=True) for _ in "hc")
            start = state if has_state else None
            leaves = [inputs, *(w for w in weights if w is not None), *(start or ())]
            steps = [time] * batch if lengths is None else lengths.tolist()
            expected = region_layer(inputs, weights, steps, start, backwards)
            own: Any = [tuple(weights)]
            outputs, (final,) = run_layer("region", inputs, own, lengths, [start], (backwards,))
            found = (outputs, *final)
            bound = 1e-5 if dtype == torch.float32 else 1e-12
            for one, other in zip(
                [*expected, *gradients(expected, leaves)],
                [*found, *gradients(found, leaves)],
                strict=True,
            ):
                assert (one - other).abs().max() <= bound * (1 + one.abs().max())


@pytest.mark.parametrize(
    # tests/models/test_xlstm.py has the sLSTM, whose scale m has no gradient.
    ("cell", "has_table"),
    [("region", False), *((cell, True) for cell in GATES if cell != "slstm")],
)
def test_gradients_by_finite_differences(cell: str, has_table: bool) -> None:
    """Both directions; the inputs of a table contain a part for each."""
    torch.manual_seed(1)
    width = 2 * GATES[cell] * 5 if has_table else 3
    weights = [drawn(3, 5, torch.float64, has_table, cell) for _ in range(2)]
    inputs = torch.randn(4, 4, width, dtype=torch.float64, requires_grad=True)
    lengths = torch.tensor([4, 2, 0, 3])
    parts = 2 if cell in ("lstm", "region") else 1
    states = [torch.randn(4, 5, dtype=torch.float64, requires_grad=True) for _ in range(2 * parts)]
    leaves = [w for own in weights for w in own if w is not None]

    def run(inputs: Tensor, *rest: Tensor) -> tuple[Tensor, ...]:
        given = iter(rest)
        own: Any = [tuple(None if w is None else next(given) for w in side) for side in weights]
        pairs = [tuple(next(given) for _ in range(parts)) for _ in range(2)]
        outputs, finals = run_layer(cell, inputs, own, lengths, pairs, (False, True))
        return outputs, *finals[0], *finals[1]

    assert torch.autograd.gradcheck(run, (inputs, *leaves, *states))


@pytest.mark.parametrize("cell", ["rnn_tanh", "lstm", "gru"])
def test_a_table_equals_pytorchs_layer_with_the_identity(cell: str) -> None:
    torch.manual_seed(2)
    size = GATES[cell] * 6
    kinds = {"rnn_tanh": nn.RNN, "lstm": nn.LSTM, "gru": nn.GRU}
    layer = kinds[cell](size, 6, batch_first=True, bidirectional=True, dtype=torch.float64)
    for weight in (layer.weight_ih_l0, layer.weight_ih_l0_reverse):
        nn.init.eye_(weight)
    inputs = torch.randn(3, 8, 2 * size, dtype=torch.float64, requires_grad=True)
    halves = inputs.split(size, -1)
    expected = torch.cat(
        [layer(half)[0][..., n * 6 : n * 6 + 6] for n, half in enumerate(halves)], -1
    )
    own: Any = [(None, *side[1:]) for side in layer.all_weights]
    outputs, _ = run_layer(cell, inputs, own, None, [None, None], (False, True))
    torch.testing.assert_close(outputs, expected, rtol=1e-12, atol=1e-12)
    leaves = [inputs, *(weight for side in own for weight in side[1:])]
    for one, other in zip(
        gradients((outputs,), leaves), gradients((expected,), leaves), strict=True
    ):
        torch.testing.assert_close(one, other, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("has_table", [False, True], ids=["weights", "table"])
def test_each_stacked_network_has_its_own_results_and_gradients(has_table: bool) -> None:
    torch.manual_seed(3)
    alone: Any = [drawn(4, 6, torch.float64, has_table) for _ in range(6)]
    sides: Any = [
        tuple(
            None if parts[0] is None else torch.stack(parts).detach().requires_grad_()
            for parts in zip(*alone[way::2], strict=True)
        )
        for way in range(2)
    ]
    inputs = torch.randn(3, 4, 9, 24 if has_table else 4, dtype=torch.float64)
    lengths = torch.tensor([[9, 2, 0, 1], [3, 9, 9, 5], [1, 1, 2, 9]])
    ways = (False, True)
    flat = inputs.flatten(0, 1), sides, lengths.flatten(), [None, None], ways
    joint, _ = run_layer("region", *flat)
    joint.square().sum().backward()
    for number in range(3):
        own = [tuple(each) for each in alone[2 * number : 2 * number + 2]]
        outputs, _ = run_layer("region", inputs[number], own, lengths[number], [None, None], ways)
        outputs.square().sum().backward()
        torch.testing.assert_close(joint.view(3, 4, 9, 12)[number], outputs)
        for side, weights in zip(sides, own, strict=True):
            for whole, weight in zip(side, weights, strict=True):
                if weight is not None:
                    torch.testing.assert_close(whole.grad[number], weight.grad)


def test_inputs_of_the_wrong_width_are_refused() -> None:
    weights: Any = [drawn(1, 3, torch.float64, True)] * 2
    inputs = torch.zeros(2, 5, 6, dtype=torch.float64)
    with pytest.raises(ValueError, match=r"inputs \(2, 5, 6\): must be \(batch, time, 12\)"):
        run_layer("region", inputs, weights, None, [None, None], (False, True))
