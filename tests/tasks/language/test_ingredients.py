"""Dropout of the embedding and tied weights of a language model."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor, nn

from benchmarks.errors import UserError
from benchmarks.training.network import count_parameters
from models.recurrent import RecurrentSettings
from tasks.modules.network import SequenceNetwork
from tasks.shakespeare import ShakespeareSettings
from tests.helpers.composing import composed
from tests.helpers.texts import task_of


def network_of(**settings: Any) -> Any:
    """Return the network of a task with these settings, and an encoder without dropout."""
    torch.manual_seed(0)
    task = task_of("abcdefgh" * 40, ShakespeareSettings(embedding_size=6, **settings))
    return task.network(RecurrentSettings(hidden_size=6, kernel="torch").build(6)).double()


def test_the_embedding_drops_dimensions_for_all_steps_of_a_sequence() -> None:
    network = network_of(embedding_dropout=0.4)
    ids = torch.randint(0, 8, (5, 7))
    torch.manual_seed(1)
    outputs, _ = network(ids)
    torch.manual_seed(1)
    mask = torch.empty(5, 1, 6, dtype=torch.float64).bernoulli_(0.6) / 0.6
    hidden, _ = network.encoder(network.embedding.weight[ids] * mask)
    torch.testing.assert_close(outputs, network.head(hidden))
    network.eval()
    hidden, _ = network.encoder(network.embedding.weight[ids])
    torch.testing.assert_close(network(ids)[0], network.head(hidden))


def loss_of(network: nn.Module, ids: Tensor) -> Tensor:
    outputs, _ = network(ids[:, :-1])
    return nn.functional.cross_entropy(outputs.flatten(0, 1), ids[:, 1:].flatten())


def test_tied_weights_count_once_and_receive_the_gradients_of_both_uses() -> None:
    tied, untied = network_of(tied=True), network_of()
    assert tied.head.weight is tied.embedding.weight
    assert count_parameters(untied) - count_parameters(tied) == 8 * 6
    untied.load_state_dict(tied.state_dict())
    ids = torch.randint(0, 8, (5, 9))
    for network in (tied, untied):
        loss_of(network, ids).backward()
    both = untied.embedding.weight.grad + untied.head.weight.grad
    torch.testing.assert_close(tied.embedding.weight.grad, both)
    restored = network_of(tied=True)
    restored.load_state_dict(untied.state_dict())
    assert restored.head.weight is restored.embedding.weight
    assert torch.equal(restored(ids)[0], untied(ids)[0])


def test_a_tied_step_uses_the_device_of_its_inputs() -> None:
    with torch.device("meta"):
        network = network_of(tied=True, embedding_dropout=0.2)
    assert isinstance(network, SequenceNetwork)
    assert network.embedding is not None
    assert network.head.weight is network.embedding.weight
    loss_of(network, torch.zeros(5, 9, dtype=torch.long, device="meta")).backward()
    assert all(p.grad is not None and p.grad.is_meta for p in network.parameters())


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (["model.hidden_size=32"], r"equal to task\.embedding_size=64, not 32$"),
        (["match=parameters", "match.budget=9000"], r"match solves model\.hidden_size"),
    ],
)
def test_tied_weights_require_equal_sizes(overrides: list[str], message: str) -> None:
    given = ["task=shakespeare", "model=gru", "task.tied=true"]
    with pytest.raises(UserError, match=rf"^task\.tied=true: requires .*{message}"):
        composed(*given, *overrides)
    assert composed(*given, "model.hidden_size=64").model.hidden_size == 64
