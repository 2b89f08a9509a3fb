"""Random chunk lengths, dropout of the embedding and tied weights of a language model."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from benchmarks.errors import UserError
from benchmarks.training.network import count_parameters
from models.recurrent import RecurrentSettings
from tasks.base import SPLITS, Batch
from tasks.language.task import LanguageTask, TokenBatch
from tasks.modules.network import SequenceNetwork
from tasks.shakespeare import ShakespeareSettings
from tests.helpers.composing import composed
from tests.helpers.texts import task_of

SHAPES = [
    pytest.param(3000, 1, 16, id="one stream"),
    pytest.param(3000, 32, 50, id="few chunks"),
    pytest.param(3000, 7, 1, id="chunks of one"),
    pytest.param(3000, 4, 2, id="chunks of two"),
    pytest.param(60, 32, 128, id="tiny text"),
]


def jittered(characters: int, chunk_length: int, jitter: float) -> LanguageTask:
    text = "".join(chr(0x4E00 + i) for i in range(characters))
    return task_of(text, ShakespeareSettings(chunk_length=chunk_length, chunk_jitter=jitter))


def epoch(task: LanguageTask, batch_size: int, seed: int) -> list[Batch]:
    return list(task.batches("train", batch_size, np.random.default_rng(seed)))


def lengths_of(batches: list[Batch]) -> list[int]:
    return [batch.inputs.shape[1] for batch in batches]


@pytest.mark.parametrize("seed", [0, 1, 2])
@pytest.mark.parametrize("jitter", [0.2, 0.9])
@pytest.mark.parametrize(("characters", "batch_size", "chunk_length"), SHAPES)
def test_jittered_chunks_split_the_same_streams_into_as_many_batches(
    characters: int, batch_size: int, chunk_length: int, jitter: float, seed: int
) -> None:
    task = jittered(characters, chunk_length, jitter)
    batches = epoch(task, batch_size, seed)
    fixed = epoch(jittered(characters, chunk_length, 0.0), batch_size, seed)
    assert len(batches) == len(fixed)
    assert task.steps_per_epoch(batch_size) - len(batches) in (0, 1)
    for name in ("inputs", "targets", "items"):
        found, wanted = (
            torch.cat([getattr(b, name) for b in each], 1) for each in (batches, fixed)
        )
        assert torch.equal(found, wanted)
    assert [batch.continues for batch in batches] == [False] + [True] * (len(batches) - 1)
    assert all(batch.tokens == batch.inputs.numel() > 0 for batch in batches)
    for batch in batches:
        assert isinstance(batch, TokenBatch)
        assert batch.characters == batch.tokens


def test_lengths_are_uniform_within_the_jitter_and_drawn_from_the_data_order() -> None:
    task = jittered(20_000, 40, 0.3)
    lengths = np.array(lengths_of(epoch(task, 1, 0)))
    assert lengths_of(epoch(task, 1, 0)) == lengths.tolist()
    assert lengths_of(epoch(task, 1, 1)) != lengths.tolist()
    mean = lengths.mean()
    assert mean == pytest.approx(40, rel=0.01)
    assert 0.68 * mean - 1 <= lengths.min() < 0.75 * mean
    assert 1.25 * mean < lengths.max() <= 1.32 * mean + 1
    assert lengths.std() == pytest.approx(0.3 * 40 / math.sqrt(3), rel=0.05)
    quarters, _ = np.histogram(lengths, bins=4)
    assert quarters.min() > 0.7 * quarters.mean()


def test_an_evaluation_has_no_jitter() -> None:
    task, fixed = jittered(3000, 16, 0.3), jittered(3000, 16, 0.0)
    for split in SPLITS[:2]:
        found, wanted = ([*each.batches(split, 4)] for each in (task, fixed))
        assert lengths_of(found) == lengths_of(wanted)
    assert lengths_of([*task.single_sequences(3)]) == [16, 16, 16]


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
