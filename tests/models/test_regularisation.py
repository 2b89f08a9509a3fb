"""Dropout with a mask per sequence, dropout of recurrent weights, and residual layers."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence

from models.modules.dropout import VariationalDropout
from models.modules.recurrent import RecurrentEncoder
from models.recurrent import RecurrentSettings
from tasks.modules.network import SequenceNetwork
from tests.helpers.kernels import KERNELS

CELLS = ["rnn", "lstm", "gru"]
LENGTHS = torch.tensor([9, 4, 1])


def build(cell: str = "gru", **settings: Any) -> RecurrentEncoder:
    torch.manual_seed(0)
    options = {"hidden_size": 6, "num_layers": 2, "kernel": "torch"} | settings
    return RecurrentSettings(cell=cell, **options).build(5)


def layer(encoder: RecurrentEncoder, number: int) -> nn.RNNBase:
    """Return PyTorch's one-layer module with the weights of a layer and its directions."""
    count = encoder.directions
    cells = [encoder.cells[number * count + direction] for direction in range(count)]
    first = cells[0]
    assert isinstance(first, nn.RNNBase)
    alone = type(first)(
        first.input_size, first.hidden_size, batch_first=True, bidirectional=count == 2
    )
    sources = [parameter for cell in cells for parameter in cell.parameters()]
    for target, source in zip(alone.parameters(), sources, strict=True):
        target.data.copy_(source.data)
    return alone


# --- variational dropout


def test_a_variational_mask_is_that_of_dropout_and_equal_for_all_steps() -> None:
    dropout = VariationalDropout(0.4)
    features = torch.randn(5, 7, 6)
    torch.manual_seed(3)
    found = dropout(features)
    torch.manual_seed(3)
    mask = (torch.empty(5, 1, 6).bernoulli_(0.6) / 0.6).expand(5, 7, 6)
    assert torch.equal(found, features * mask)
    assert 0 < int((mask[:, 0] == 0).sum()) < 30
    torch.manual_seed(3)
    pooled = dropout(features[:, 2].contiguous())
    assert torch.equal(pooled, found[:, 2])
    dropout.eval()
    assert dropout(features) is features


@pytest.mark.parametrize("kernel", KERNELS)
def test_the_mask_between_layers_is_one_per_sequence(kernel: str) -> None:
    encoder = build(dropout=0.5, variational_dropout=True, kernel=kernel)
    inputs = torch.randn(3, 9, 5)
    torch.manual_seed(4)
    outputs, _ = encoder(inputs)
    torch.manual_seed(4)
    mask = torch.empty(3, 1, 6).bernoulli_(0.5) / 0.5
    middle, _ = layer(encoder, 0)(inputs)
    expected, _ = layer(encoder, 1)(middle * mask)
    torch.testing.assert_close(outputs, expected)


@pytest.mark.parametrize("is_variational", [False, True])
@pytest.mark.parametrize(("given", "used"), [(None, 0.25), (0.4, 0.4), (0.0, 0.0)])
def test_the_head_has_the_dropout_of_the_encoder(
    is_variational: bool, given: float | None, used: float
) -> None:
    encoder = build(dropout=0.25, output_dropout=given, variational_dropout=is_variational)
    network = SequenceNetwork(encoder, 11, vocabulary_size=11)
    features = torch.ones(400, 3, 6)
    dropped = network.output_dropout(features)
    kept = dropped != 0
    assert kept.double().mean().item() == pytest.approx(1 - used, abs=0.03)
    assert torch.equal(kept[:, 0], kept[:, 1]) == (is_variational or used == 0)
    torch.testing.assert_close(dropped[kept], torch.full((int(kept.sum()),), 1 / (1 - used)))


# --- dropout of the recurrent weights


@pytest.mark.parametrize("kernel", KERNELS)
@pytest.mark.parametrize("cell", CELLS)
@pytest.mark.parametrize("lengths", [None, LENGTHS], ids=["full", "lengths"])
@pytest.mark.parametrize("steps", [1, 9])
def test_dropped_weights_equal_pytorchs_layers_with_the_same_masks(
    cell: str, kernel: str, lengths: Tensor | None, steps: int
) -> None:
    """The masks are drawn layer by layer and direction by direction, once for all steps."""
    encoder = build(cell, weight_dropout=0.4, bidirectional=True, kernel=kernel).double()
    inputs = torch.randn(3, steps, 5, dtype=torch.float64)
    lengths = None if lengths is None else lengths.clamp(max=steps)
    start = tuple(torch.randn(4, 3, 6).double() for _ in range(2 if cell == "lstm" else 1))
    twins, expected, finals = [layer(encoder, 0), layer(encoder, 1)], inputs, []
    torch.manual_seed(5)
    outputs, state = encoder(inputs, lengths, start)
    torch.manual_seed(5)
    for number, twin in enumerate(twins):
        twin.double()
        for name in ("weight_hh_l0", "weight_hh_l0_reverse"):
            weight = getattr(twin, name)
            weight.data.mul_(torch.empty_like(weight).bernoulli_(0.6) / 0.6)
        own = tuple(part[2 * number : 2 * number + 2] for part in start)
        expected, final = run_packed(twin, expected, lengths, own)
        finals.append(final)
    torch.testing.assert_close(outputs, expected)
    for part, wanted in zip(state, zip(*finals, strict=True), strict=True):
        torch.testing.assert_close(part, torch.cat(wanted))
    direction = torch.randn_like(outputs)
    (outputs * direction).sum().backward()
    (expected * direction).sum().backward()
    cells = [p for name, p in encoder.named_parameters() if "weight_hh" not in name]
    wanted = [p for t in twins for name, p in t.named_parameters() if "weight_hh" not in name]
    for parameter, other in zip(cells, wanted, strict=True):
        torch.testing.assert_close(parameter.grad, other.grad)
    dropped = encoder.get_parameter("cells.0.weight_hh_l0").grad
    twin = twins[0].get_parameter("weight_hh_l0")
    assert dropped is not None
    assert twin.grad is not None
    torch.testing.assert_close(dropped, twin.grad * (twin != 0) / 0.6)


def run_packed(
    twin: nn.RNNBase, inputs: Tensor, lengths: Tensor | None, start: tuple[Tensor, ...]
) -> tuple[Tensor, tuple[Tensor, ...]]:
    """Run PyTorch's module on sequences of several lengths."""
    state = start if isinstance(twin, nn.LSTM) else start[0]
    if lengths is None:
        outputs, final = twin(inputs, state)
    else:
        packed = pack_padded_sequence(inputs, lengths, batch_first=True, enforce_sorted=False)
        outputs, final = twin(packed, state)
        outputs, _ = pad_packed_sequence(outputs, batch_first=True)
    return outputs, final if isinstance(final, tuple) else (final,)


@pytest.mark.parametrize("kernel", KERNELS)
def test_an_evaluation_uses_all_weights(kernel: str) -> None:
    encoder, plain = (build("lstm", weight_dropout=p, kernel=kernel) for p in (0.5, 0.0))
    inputs = torch.randn(3, 9, 5)
    assert not torch.equal(encoder(inputs)[0], plain(inputs)[0])
    assert torch.equal(encoder.eval()(inputs)[0], plain.eval()(inputs)[0])
    assert encoder.state_dict().keys() == plain.state_dict().keys()


# --- residual layers


@pytest.mark.parametrize("kernel", KERNELS)
@pytest.mark.parametrize("cell", CELLS)
@pytest.mark.parametrize("bidirectional", [False, True])
@pytest.mark.parametrize("lengths", [None, LENGTHS], ids=["full", "lengths"])
def test_residual_layers_add_their_input_before_dropout(
    cell: str, kernel: str, bidirectional: bool, lengths: Tensor | None
) -> None:
    options: dict[str, Any] = {"num_layers": 3, "dropout": 0.3, "bidirectional": bidirectional}
    encoder = build(cell, kernel=kernel, residual=True, **options).double()
    twins = [layer(encoder, number).double() for number in range(3)]
    inputs = torch.randn(3, 9, 5, dtype=torch.float64)
    start = [torch.zeros(encoder.directions, 3, 6).double()] * (2 if cell == "lstm" else 1)
    torch.manual_seed(6)
    outputs, state = encoder(inputs, lengths)
    torch.manual_seed(6)
    expected, finals = inputs, []
    for number, twin in enumerate(twins):
        mask = torch.empty(expected.shape).double().bernoulli_(0.7) / 0.7 if number else 1.0
        layer_outputs, final = run_packed(twin, expected * mask, lengths, tuple(start))
        expected = layer_outputs + expected if number else layer_outputs
        finals.append(final)
    torch.testing.assert_close(outputs, expected)
    for part, wanted in zip(state, zip(*finals, strict=True), strict=True):
        torch.testing.assert_close(part, torch.cat(wanted))


@pytest.mark.parametrize("kernel", KERNELS)
@pytest.mark.parametrize("bidirectional", [False, True])
@pytest.mark.parametrize("lengths", [None, LENGTHS], ids=["full", "lengths"])
def test_last_outputs_of_residual_layers_are_the_same_from_outputs_and_from_the_state(
    kernel: str, bidirectional: bool, lengths: Tensor | None
) -> None:
    encoder = build(kernel=kernel, residual=True, num_layers=3, bidirectional=bidirectional)
    outputs, state = encoder(torch.randn(3, 9, 5), lengths)
    last = encoder.last_outputs(outputs, lengths)
    assert torch.equal(last, encoder.last_outputs(outputs, lengths, state))
    rows, ends = torch.arange(3), (torch.full((3,), 9) if lengths is None else lengths) - 1
    assert torch.equal(last[:, :6], outputs[rows, ends, :6])
    assert torch.equal(last[:, 6:], outputs[:, 0, 6:])


def test_a_residual_stack_of_one_layer_is_refused() -> None:
    with pytest.raises(ValueError, match=r"residual=true: requires model\.num_layers of 2 or more"):
        RecurrentSettings(residual=True).check()


# --- on the meta device, where mixed devices raise


@pytest.mark.parametrize("cell", CELLS)
def test_a_regularised_step_uses_the_device_of_its_inputs(cell: str) -> None:
    options: dict[str, Any] = {"dropout": 0.3, "variational_dropout": True, "residual": True}
    encoder = build(cell, weight_dropout=0.2, **options).to("meta")
    inputs, lengths = torch.randn(3, 7, 5, device="meta"), torch.tensor([7, 2, 4], device="meta")
    outputs, state = encoder(inputs, lengths)
    last = encoder.last_outputs(outputs, lengths, state)
    (encoder.output_dropout()(outputs).sum() + last.sum()).backward()
    assert all(p.grad is not None and p.grad.is_meta for p in encoder.parameters())
