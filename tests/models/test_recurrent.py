"""The recurrent encoder against hand-written float64 cells and PyTorch's packed sequences."""

from __future__ import annotations

import itertools
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence
from torch.utils.flop_counter import FlopCounterMode

from models.modules.padding import Padding, reverse
from models.modules.pytorch_cells import CELLS
from models.modules.recurrent import RecurrentEncoder
from models.recurrent import RecurrentSettings

CELL_NAMES = ["rnn", "lstm", "gru"]
SHAPES = list(itertools.product(CELL_NAMES, [1, 2, 3], [False, True]))


def build(cell: str, **settings: Any) -> RecurrentEncoder:
    torch.manual_seed(0)
    return RecurrentSettings(cell=cell, **{"hidden_size": 6, **settings}).build(5)


def torch_twin(encoder: RecurrentEncoder, cell: str) -> nn.RNNBase:
    """Return PyTorch's multi-layer module with the encoder's weights."""
    twin = CELLS[cell](
        encoder.input_size,
        encoder.hidden_size,
        num_layers=encoder.num_layers,
        bidirectional=encoder.directions == 2,
        batch_first=True,
    ).to(next(encoder.parameters()).dtype)
    for target, source in zip(twin.parameters(), encoder.parameters(), strict=True):
        target.data.copy_(source.data)
    return twin


def as_tuple(state: Tensor | tuple[Tensor, ...]) -> tuple[Tensor, ...]:
    return state if isinstance(state, tuple) else (state,)


@pytest.mark.parametrize(("cell", "layers", "bidirectional"), SHAPES)
@pytest.mark.parametrize("with_start", [False, True])
def test_variable_lengths_equal_the_packed_path(
    cell: str, layers: int, bidirectional: bool, with_start: bool
) -> None:
    encoder = build(cell, num_layers=layers, bidirectional=bidirectional)
    twin = torch_twin(encoder, cell)
    lengths = torch.tensor([7, 1, 12, 5, 12])
    inputs = torch.randn(5, 12, 5)
    ours, theirs = (inputs.clone().requires_grad_() for _ in range(2))
    start = None
    if with_start:
        parts = 2 if cell == "lstm" else 1
        start = tuple(torch.randn(layers * encoder.directions, 5, 6) for _ in range(parts))

    outputs, state = encoder(ours, lengths, start)
    packed = pack_padded_sequence(theirs, lengths, batch_first=True, enforce_sorted=False)
    their_start = None if start is None else start if cell == "lstm" else start[0]
    packed_outputs, their_state = twin(packed, their_start)
    their_outputs, _ = pad_packed_sequence(packed_outputs, batch_first=True)

    torch.testing.assert_close(outputs, their_outputs, rtol=1e-5, atol=1e-5)
    assert state is not None
    for mine, other in zip(state, as_tuple(their_state), strict=True):
        torch.testing.assert_close(mine, other, rtol=1e-5, atol=1e-5)

    weights = torch.randn_like(outputs)
    (outputs * weights).sum().backward()
    (their_outputs * weights).sum().backward()
    torch.testing.assert_close(ours.grad, theirs.grad, rtol=1e-5, atol=1e-5)
    for mine, other in zip(encoder.parameters(), twin.parameters(), strict=True):
        torch.testing.assert_close(mine.grad, other.grad, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize(("cell", "layers", "bidirectional"), SHAPES)
def test_gradients_through_the_final_state_equal_the_packed_path(
    cell: str, layers: int, bidirectional: bool
) -> None:
    encoder = build(cell, num_layers=layers, bidirectional=bidirectional)
    twin = torch_twin(encoder, cell)
    lengths = torch.tensor([3, 9, 1])
    inputs = torch.randn(3, 9, 5)
    _, state = encoder(inputs, lengths)
    packed = pack_padded_sequence(inputs, lengths, batch_first=True, enforce_sorted=False)
    _, their_state = twin(packed)
    assert state is not None
    weights = [torch.randn_like(part) for part in state]
    sum((part * w).sum() for part, w in zip(state, weights, strict=True)).backward()  # type: ignore[union-attr]
    theirs = as_tuple(their_state)
    sum((part * w).sum() for part, w in zip(theirs, weights, strict=True)).backward()  # type: ignore[union-attr]
    for mine, other in zip(encoder.parameters(), twin.parameters(), strict=True):
        torch.testing.assert_close(mine.grad, other.grad, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize(("cell", "layers", "bidirectional"), SHAPES)
@pytest.mark.parametrize("steps", [1, 8])
@pytest.mark.parametrize("with_start", [False, True])
def test_full_sequences_equal_torch(
    cell: str, layers: int, bidirectional: bool, steps: int, with_start: bool
) -> None:
    encoder = build(cell, num_layers=layers, bidirectional=bidirectional)
    twin = torch_twin(encoder, cell)
    inputs = torch.randn(3, steps, 5)
    start = their_start = None
    if with_start:
        parts = 2 if cell == "lstm" else 1
        start = tuple(torch.randn(layers * encoder.directions, 3, 6) for _ in range(parts))
        their_start = start if cell == "lstm" else start[0]
    outputs, state = encoder(inputs, None, start)
    their_outputs, their_state = twin(inputs, their_start)
    torch.testing.assert_close(outputs, their_outputs)
    for mine, other in zip(state, as_tuple(their_state), strict=True):
        torch.testing.assert_close(mine, other)

    weights = torch.randn_like(outputs)
    (outputs * weights).sum().backward()
    (their_outputs * weights).sum().backward()
    for mine, other in zip(encoder.parameters(), twin.parameters(), strict=True):
        torch.testing.assert_close(mine.grad, other.grad)


def test_the_held_cell_state_survives_extreme_weights() -> None:
    """Saturated gates must hold against weights and states far larger than training gives."""
    encoder = build("lstm")
    for parameter in encoder.parameters():
        parameter.data.mul_(50)
    twin = torch_twin(encoder, "lstm")
    lengths = torch.tensor([2, 20])
    inputs = 10 * torch.randn(2, 20, 5)
    inputs[0, 2:] = 1e6  # large values in the padding
    _, state = encoder(inputs, lengths)
    packed = pack_padded_sequence(inputs, lengths, batch_first=True, enforce_sorted=False)
    _, their_state = twin(packed)
    torch.testing.assert_close(state, their_state, rtol=1e-5, atol=1e-5)


def hand_written_step(
    cell: str, x: Tensor, state: tuple[Tensor, ...], weights: list[Tensor]
) -> tuple[Tensor, ...]:
    """Compute one step of the textbook equations in PyTorch's gate order."""
    w, u, b, c = weights
    hidden = u.shape[1]
    h = state[0]
    a = [x @ w[i : i + hidden].T + b[i : i + hidden] for i in range(0, len(w), hidden)]
    r = [h @ u[i : i + hidden].T + c[i : i + hidden] for i in range(0, len(u), hidden)]
    if cell == "rnn":
        return (torch.tanh(a[0] + r[0]),)
    if cell == "gru":
        reset, update = (1 / (1 + torch.exp(-(a[i] + r[i]))) for i in (0, 1))
        candidate = torch.tanh(a[2] + reset * r[2])
        return ((1 - update) * candidate + update * h,)
    i, f, o = (1 / (1 + torch.exp(-(a[k] + r[k]))) for k in (0, 1, 3))
    memory = f * state[1] + i * torch.tanh(a[2] + r[2])
    return (o * torch.tanh(memory), memory)


@pytest.mark.parametrize("cell", CELL_NAMES)
def test_forward_and_gradients_equal_a_hand_written_cell_in_float64(cell: str) -> None:
    encoder = build(cell).double()
    copies = [p.detach().clone().requires_grad_() for p in encoder.parameters()]
    inputs = torch.randn(4, 9, 5, dtype=torch.float64)
    parts = 2 if cell == "lstm" else 1
    state = tuple(torch.zeros(4, 6, dtype=torch.float64) for _ in range(parts))
    steps = []
    for t in range(inputs.shape[1]):
        state = hand_written_step(cell, inputs[:, t], state, copies)
        steps.append(state[0])
    expected = torch.stack(steps, dim=1)
    outputs, _ = encoder(inputs)
    torch.testing.assert_close(outputs, expected, rtol=1e-12, atol=1e-12)
    weights = torch.randn_like(outputs)
    (outputs * weights).sum().backward()
    (expected * weights).sum().backward()
    for mine, by_hand in zip(encoder.parameters(), copies, strict=True):
        torch.testing.assert_close(mine.grad, by_hand.grad, rtol=1e-10, atol=1e-10)


@pytest.mark.parametrize(("cell", "gates"), [("rnn", 1), ("gru", 3), ("lstm", 4)])
@pytest.mark.parametrize(("layers", "bidirectional"), [(1, False), (2, True), (3, False)])
def test_parameter_and_flop_formulas(
    cell: str, gates: int, layers: int, bidirectional: bool
) -> None:
    size, hidden, directions = 5, 6, 2 if bidirectional else 1
    encoder = build(cell, num_layers=layers, bidirectional=bidirectional)
    inputs = [size] + [directions * hidden] * (layers - 1)
    parameters = sum(directions * gates * hidden * (i + hidden + 2) for i in inputs)
    flops = sum(directions * 2 * gates * hidden * (i + hidden) for i in inputs)
    assert sum(p.numel() for p in encoder.parameters()) == parameters
    assert encoder.flops_per_token() == flops


def test_flops_per_token_equal_what_torch_counts() -> None:
    encoder = build("gru")
    copies = list(encoder.parameters())
    with FlopCounterMode(display=False) as counter:
        hand_written_step("gru", torch.randn(1, 5), (torch.randn(1, 6),), copies)
    assert encoder.flops_per_token() == counter.get_total_flops()


@pytest.mark.parametrize("cell", CELL_NAMES)
def test_recurrent_blocks_are_orthogonal_and_different(cell: str) -> None:
    encoder = build(cell, num_layers=2)
    for name, parameter in encoder.named_parameters():
        if "weight_hh" not in name:
            continue
        blocks = parameter.detach().split(6)
        for block in blocks:
            torch.testing.assert_close(block @ block.T, torch.eye(6), atol=1e-5, rtol=0)
        assert all(not torch.allclose(a, b) for a, b in itertools.combinations(blocks, 2))


@pytest.mark.parametrize("initialisation", ["orthogonal", "identity", "pytorch"])
@pytest.mark.parametrize("forget_bias", [0.0, 1.0, 2.5])
def test_forget_bias_counts_once_over_both_bias_vectors(
    initialisation: str, forget_bias: float
) -> None:
    encoder = build("lstm", initialisation=initialisation, forget_bias=forget_bias, num_layers=2)
    biases = {n: p.detach() for n, p in encoder.named_parameters() if "bias_ih" in n}
    assert len(biases) == 2
    for name, bias in biases.items():
        total = bias + encoder.get_parameter(name.replace("bias_ih", "bias_hh")).detach()
        torch.testing.assert_close(total[6:12], torch.full((6,), forget_bias))
        if initialisation != "pytorch":
            assert not total[:6].any()
            assert not total[12:].any()


def test_pytorch_initialisation_is_pytorchs() -> None:
    encoder = build("lstm", initialisation="pytorch", forget_bias=None)
    torch.manual_seed(0)
    plain = nn.LSTM(5, 6, batch_first=True)
    for mine, other in zip(encoder.parameters(), plain.parameters(), strict=True):
        assert torch.equal(mine, other)


def test_relu_nonlinearity_reaches_the_cell() -> None:
    outputs, _ = build("rnn", nonlinearity="relu", initialisation="identity")(torch.randn(2, 9, 5))
    assert outputs.min() == 0
    assert outputs.max() > 1


def test_dropout_acts_between_layers_in_training_only() -> None:
    encoder = build("gru", num_layers=2, dropout=0.5)
    inputs = torch.randn(2, 7, 5)
    assert not torch.equal(encoder(inputs)[0], encoder(inputs)[0])
    encoder.eval()
    assert torch.equal(encoder(inputs)[0], encoder(inputs)[0])
    single = build("gru", num_layers=1, dropout=0.5)
    assert torch.equal(single(inputs)[0], single(inputs)[0])


def test_last_outputs_are_the_final_hidden_state_of_each_direction() -> None:
    encoder = build("gru", bidirectional=True)
    lengths = torch.tensor([4, 1, 6])
    outputs, state = encoder(torch.randn(3, 6, 5), lengths)
    expected = torch.cat([state[0][0], state[0][1]], dim=-1)
    torch.testing.assert_close(encoder.last_outputs(outputs, lengths), expected)


def test_reversal_within_lengths_passes_gradcheck() -> None:
    padding = Padding(torch.tensor([3, 1, 4]), 4)
    sequence = torch.randn(3, 4, 2, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(lambda s: reverse(s, padding), (sequence,))
    reversed_once = reverse(sequence, padding)
    assert torch.equal(reversed_once[0, :3], sequence[0, :3].flip(0))
    assert torch.equal(reverse(reversed_once, padding), sequence)
