"""Residual blocks, hybrids and frozen layers."""

from __future__ import annotations

import pytest
import torch
from torch.nn import functional as F

from benchmarks.errors import UserError
from models.lru import LruSettings
from models.minimal import MinimalSettings
from models.modules.attention import AttentionLayer
from models.modules.lru import LruLayer
from models.modules.stacks import ResidualEncoder, StackedEncoder
from models.modules.xlstm import MLstmLayer
from models.recurrent import RecurrentSettings
from models.stack import StackSettings
from models.tcn import TcnSettings
from tests.helpers.definitions import composed


def test_a_residual_block_computes_its_formula() -> None:
    torch.manual_seed(0)
    settings = RecurrentSettings(cell="gru", hidden_size=6, num_layers=2, block="residual")
    encoder = settings.build(5)
    assert isinstance(encoder, ResidualEncoder)
    inputs = torch.randn(3, 7, 5)
    x = encoder.projection(inputs)
    for block in encoder.blocks:
        x = x + block.out(block.layer(block.norm(x))[0])
        x = x + block.down(F.gelu(block.up(block.feedforward_norm(x))))
    torch.testing.assert_close(encoder(inputs)[0], encoder.norm(x))


def test_a_block_without_a_feedforward_network_has_no_weights_of_it() -> None:
    settings = RecurrentSettings(cell="rnn", hidden_size=6, block="residual", feedforward=0)
    names = [name for name, _ in settings.build(5).named_parameters()]
    assert not [name for name in names if "up" in name or "down" in name or "feedforward" in name]


def test_a_cell_has_equal_blocks_in_every_model() -> None:
    """What surrounds the cells has the same parameters, so that differences are those of cells."""
    around = set()
    for settings in (RecurrentSettings(), MinimalSettings(), LruSettings()):
        settings.hidden_size, settings.block = 8, "residual"
        names = settings.build(5).named_parameters()
        around.add(tuple((n, tuple(p.shape)) for n, p in names if ".layer." not in n))
    assert len(around) == 1


def test_a_stack_has_the_layers_of_its_list() -> None:
    settings = StackSettings(layers=["mlstm", "lru", "attention"], hidden_size=8)
    assert settings.num_layers == 3
    encoder = settings.build(5)
    assert isinstance(encoder, StackedEncoder)
    assert [type(layer) for layer in encoder.layers] == [MLstmLayer, LruLayer, AttentionLayer]
    assert encoder.output_size == settings.output_size


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (["model.layers=[gru,atention]"], "no cell is called atention .*; did you mean attention?"),
        (["model.layers=[]"], "must name the cell of each layer"),
        (["model.layers=[gru,lstm]", "model.num_layers=3"], "must be a multiple of .* 2"),
    ],
)
def test_a_wrong_stack_is_one_line(overrides: list[str], message: str) -> None:
    with pytest.raises(UserError, match=message):
        composed("stack", "sp500", *overrides)


@pytest.mark.parametrize("block", ["bare", "residual"])
def test_frozen_layers_keep_their_weights(block: str) -> None:
    encoder = RecurrentSettings(hidden_size=6, block=block, frozen=True).build(5)
    trained = {name for name, parameter in encoder.named_parameters() if parameter.requires_grad}
    assert not [name for name in trained if "weight_hh" in name or "weight_ih" in name]
    assert bool(trained) == (block == "residual")
    outputs, _ = encoder(torch.randn(2, 4, 5, requires_grad=True))
    outputs.sum().backward()


@pytest.mark.parametrize("layers", [1, 2, 3])
@pytest.mark.parametrize("width", [2, 3])
def test_a_tcn_sees_the_steps_of_the_formula(layers: int, width: int) -> None:
    torch.manual_seed(0)
    settings = TcnSettings(hidden_size=16, num_layers=layers, width=width)
    encoder = settings.build(4).double()
    field = 1 + 2 * (width - 1) * (2**layers - 1)
    inputs = torch.randn(1, 40, 4, dtype=torch.float64, requires_grad=True)
    encoder(inputs)[0][0, -1].sum().backward()
    assert inputs.grad is not None
    seen = inputs.grad[0].abs().sum(1).nonzero().flatten().tolist()
    assert min(seen) == 40 - field


@pytest.mark.parametrize("sign", ["complex", "positive", "any"])
def test_eigenvalues_of_an_lru_are_where_its_sign_says(sign: str) -> None:
    torch.manual_seed(0)
    settings = LruSettings(hidden_size=400, sign=sign, min_radius=0.5, max_radius=0.9)
    (layer,) = settings.build(4).layers
    decay = layer.decay().detach()
    radius = torch.linalg.vector_norm(decay.view(-1, 400), dim=0)
    assert radius.min() > 0.49
    assert radius.max() < 0.91
    if sign != "complex":
        assert (decay < 0).any() == (sign == "any")
    layer.radius.data.fill_(50.0 if sign == "any" else -50.0)  # the largest that training can reach
    assert torch.linalg.vector_norm(layer.decay().detach().view(-1, 400), dim=0).max() <= 1


def test_an_lru_computes_its_equations() -> None:
    torch.manual_seed(0)
    (layer,) = LruSettings(hidden_size=6).build(4).double().layers
    inputs = torch.randn(1, 8, 4, dtype=torch.float64)
    a = torch.complex(*layer.decay().chunk(2))
    b = torch.complex(*layer.into.weight.chunk(2))
    c = torch.complex(*layer.out.weight.chunk(2, 1)).conj()  # Re(conj(C) h) = Re C Re h + Im C Im h
    h, rows = torch.zeros(6, dtype=torch.complex128), []
    for x in inputs[0]:
        h = a * h + layer.gain.exp() * (b @ x.to(b.dtype))
        value, gate = layer.glu(F.gelu((c @ h).real)).chunk(2)
        rows.append(value * torch.sigmoid(gate))
    torch.testing.assert_close(layer(inputs)[0][0], torch.stack(rows))


def test_pretraining_refuses_outputs_of_both_directions() -> None:
    with pytest.raises(UserError, match="combine both directions"):
        composed("bilstm", "imdb", "train.pretrain=self", "model.block=residual")
    with pytest.raises(UserError, match="combine both directions"):
        composed(
            "tcn", "imdb", "train.pretrain=self", "model.num_layers=1", "model.bidirectional=true"
        )
