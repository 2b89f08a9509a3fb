"""Dropout with a mask per sequence, dropout of recurrent weights, and residual layers."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import nn

from models.kernels.compiler import unavailable_reason
from models.modules.dropout import VariationalDropout
from models.modules.recurrent import RecurrentEncoder
from models.recurrent import RecurrentSettings
from tasks.modules.network import SequenceNetwork

KERNELS = ["torch"] if unavailable_reason() is not None else ["torch", "fused"]


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
    (between,) = [m for m in encoder.modules() if isinstance(m, nn.Dropout)]
    assert between.p == 0.25
    features = torch.ones(400, 3, 6)
    dropped = network.output_dropout(features)
    kept = dropped != 0
    assert kept.double().mean().item() == pytest.approx(1 - used, abs=0.03)
    assert torch.equal(kept[:, 0], kept[:, 1]) == (is_variational or used == 0)
    torch.testing.assert_close(dropped[kept], torch.full((int(kept.sum()),), 1 / (1 - used)))
