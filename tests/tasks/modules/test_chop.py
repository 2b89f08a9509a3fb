"""Encoding in chunks against a loop over documents and chunks."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor, nn

from models.recurrent import RecurrentSettings
from tasks.modules.network import SequenceNetwork
from tests.helpers.definitions import MODELS, TASKS, composed
from tests.helpers.kernels import KERNELS

WORDS, WIDTH = 30, 5
LENGTHS = torch.tensor([23, 1, 8, 9, 16])
SETTINGS: dict[str, Any] = {"vocabulary_size": WORDS, "unknown": 1}


def network_of(model: str, pooling: str, chop: int | None, **options: Any) -> SequenceNetwork:
    settings = composed(model, TASKS[0], "model.hidden_size=6", "model.dropout=0").model
    for name in ("num_layers", "kernel", "dropout"):
        if name in options:
            setattr(settings, name, options.pop(name))
    torch.manual_seed(3)
    encoder = settings.build(WIDTH)
    network = SequenceNetwork(encoder, None, pooling, chop=chop, **SETTINGS, **options).double()
    for parameter in network.parameters():
        nn.init.normal_(parameter, std=0.5)
    return network.eval()


def documents() -> Tensor:
    """Return ids (documents, time) with any ids in the padding."""
    draw = torch.Generator().manual_seed(5)
    return torch.randint(2, WORDS, (len(LENGTHS), int(LENGTHS.max())), generator=draw)


def naive(network: SequenceNetwork, ids: Tensor, chop: int, pooling: str) -> Tensor:
    """Return logits: every chunk is encoded alone, the tokens of a document are pooled."""
    assert network.embedding is not None
    logits = []
    for document, length in zip(ids, LENGTHS.tolist(), strict=True):
        steps = []
        for start in range(0, length, chop):
            chunk = document[start : min(start + chop, length)]
            steps += [*network.encoder(network.embedding(chunk).unsqueeze(0))[0][0]]
        tokens = torch.stack(steps)
        assert len(tokens) == length
        parts = {"mean": [tokens.mean(0)], "max": [tokens.amax(0)]}
        parts["mean_max"] = [*parts["mean"], *parts["max"]]
        logits.append(network.head(torch.cat(parts[pooling])).squeeze(-1))
    return torch.stack(logits)


@pytest.mark.parametrize("model", MODELS)
@pytest.mark.parametrize("kernel", KERNELS)
@pytest.mark.parametrize(
    ("chop", "pooling", "depth"),
    [(1, "mean", 1), (4, "mean_max", 1), (8, "max", 2), (9, "mean", 2), (22, "mean_max", 1)],
)
def test_chunks_equal_a_loop_over_them(
    model: str, kernel: str, chop: int, pooling: str, depth: int
) -> None:
    ids = documents()
    weights = torch.randn(len(ids), generator=torch.Generator().manual_seed(9)).double()
    found: dict[str, Tensor | None] = {}
    wanted: dict[str, Tensor | None] = {}
    for results, compute in (
        (found, lambda net: net(ids, LENGTHS)[0]),
        (wanted, lambda net: naive(net, ids, chop, pooling)),
    ):
        options = {"kernel": kernel} if results is found else {}
        network = network_of(model, pooling, chop, num_layers=depth, **options)
        logits = compute(network)
        (logits * weights).sum().backward()
        results |= {name: p.grad for name, p in network.named_parameters()} | {"": logits}
    assert found.keys() == wanted.keys()
    for name, value in wanted.items():
        own = found[name]
        if value is None:  # the decay of chunks of one step
            assert own is None or not own.any(), name
            continue
        torch.testing.assert_close(own, value, rtol=0, atol=1e-11, msg=name)


@pytest.mark.parametrize("model", MODELS)
def test_a_document_alone_has_the_results_of_a_batch(model: str) -> None:
    network, ids = network_of(model, "mean_max", 4), documents()
    together = network(ids, LENGTHS)[0]
    for row, length in enumerate(LENGTHS.tolist()):
        alone = ids[row : row + 1, :length]
        for lengths in (None, LENGTHS[row : row + 1]):
            torch.testing.assert_close(network(alone, lengths)[0], together[row : row + 1])


@pytest.mark.parametrize("chop", [23, 24, 1000])
def test_chunks_of_whole_documents_change_no_bit(chop: int) -> None:
    """Not in training either: the random numbers are the same."""
    options = {"embedding_dropout": 0.5, "word_dropout": 0.2, "num_layers": 2, "dropout": 0.3}
    results = []
    for given in (None, chop):
        network = network_of("bilstm", "mean_max", given, **options).train()
        torch.manual_seed(7)
        logits = network(documents(), LENGTHS)[0]
        logits.sum().backward()
        results.append([logits, *(p.grad for p in network.parameters())])
    for plain, chopped in zip(*results, strict=True):
        assert torch.equal(plain, chopped)


def test_a_document_has_one_embedding_mask_for_all_chunks() -> None:
    network = network_of("rnn", "mean", 4, embedding_dropout=0.5).train()
    seen: list[Tensor] = []
    encoder: Any = network.encoder
    encoder.register_forward_pre_hook(lambda module, inputs: seen.append(inputs[0].detach()))
    network(documents(), LENGTHS)
    rows = seen[0]
    assert rows.shape == (5 * 6, 4, WIDTH)
    dropped = (rows == 0).view(5, 24, WIDTH)
    assert torch.equal(dropped, dropped[:, :1].expand(-1, 24, -1))
    assert len(dropped[:, 0].unique(dim=0)) > 1


def test_padding_has_no_effect() -> None:
    network, ids = network_of("bigru", "mean_max", 4), documents()
    other = ids.clone()
    for row, length in enumerate(LENGTHS.tolist()):
        other[row, length:] = 1
    assert torch.equal(network(ids, LENGTHS)[0], network(other, LENGTHS)[0])


def test_features_can_be_chopped() -> None:
    """A network without embedding pads features."""
    encoder = RecurrentSettings(hidden_size=6).build(WIDTH)
    network = SequenceNetwork(encoder, 3, "mean", chop=4).eval()
    inputs = torch.randn(2, 10, WIDTH)
    parts = [encoder(inputs[:, start : start + 4])[0] for start in (0, 4, 8)]
    expected = network.head(torch.cat(parts, dim=1).mean(1))
    torch.testing.assert_close(network(inputs)[0], expected)


def test_a_step_uses_the_device_of_its_batch() -> None:
    """On the meta device mixed devices raise, as on a GPU."""
    network = network_of("bilstm", "mean_max", 4).to("meta").train()
    logits, state = network(documents().to("meta"), LENGTHS.to("meta"))
    logits.sum().backward()
    assert state is None
    assert all(p.grad is not None and p.grad.is_meta for p in network.parameters())
