"""Self-pretraining: what it reads, what it predicts from what, and its loss."""

from __future__ import annotations

import hashlib
import math
from collections import Counter
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from models.recurrent import RecurrentSettings
from tasks import imdb
from tasks.base import SPLITS
from tasks.modules import language_model
from tasks.modules.language_model import LanguageModel, log_rate
from tasks.modules.network import SequenceNetwork
from tasks.text import pretraining
from tasks.text.imdb_sources import Source
from tests.helpers.synthetic_reviews import Frames, reviews

WORDS, WIDTH = 30, 5
LENGTHS = torch.tensor([9, 1, 4])


def task_of(frames: Frames) -> imdb.ImdbTask:
    arrays, facts = imdb.tokenise(frames, vocabulary_size=200, minimum_count=1)
    settings = imdb.ImdbSettings(max_length=10, embedding_size=8)
    return imdb.ImdbTask(settings, Source("synthetic", "", lambda: frames), arrays, facts)


def classifier(bidirectional: bool = True, **options: Any) -> SequenceNetwork:
    torch.manual_seed(2)
    settings = RecurrentSettings(hidden_size=4, bidirectional=bidirectional, cell="gru", **options)
    network = SequenceNetwork(settings.build(WIDTH), None, "mean", vocabulary_size=WORDS)
    return network.double()


def test_it_reads_every_token_of_training_and_no_other(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pretraining, "PIECE", 7)
    task = task_of({"train": reviews(300, 1), "test": reviews(100, 3)})
    phase = task.pretraining(task.network(RecurrentSettings().build(8)), False)
    seen: dict[int, tuple[int, ...]] = {}
    batches = [*phase.batches("train", 16, np.random.default_rng(0))]
    assert len(batches) == phase.steps_per_epoch(16)
    for batch in batches:
        assert batch.lengths is not None
        assert batch.tokens == int(batch.lengths.sum())
        for item, row, length in zip(batch.items, batch.inputs, batch.lengths, strict=True):
            assert int(item) not in seen
            seen[int(item)] = tuple(row[:length].tolist())
    train = task.documents["train"]
    whole = train.tokens.numpy()
    documents = [whole[a:b] for a, b in zip(train.offsets, train.offsets[1:], strict=False)]
    pieces = [tuple(d[at : at + 7].tolist()) for d in documents for at in range(0, len(d), 7)]
    assert Counter(seen.values()) == Counter(pieces)
    assert any(len(document) > 10 for document in documents)  # beyond task.max_length
    digest = hashlib.sha256(np.concatenate([seen[i] for i in sorted(seen)]).astype("int32"))
    ends = np.cumsum([0, *(len(seen[i]) for i in sorted(seen))]).astype("int64")
    digest.update(ends.tobytes())
    assert phase.data.sha256 == digest.hexdigest()


def test_text_of_validation_and_test_has_no_effect() -> None:
    frames = {"train": reviews(300, 1), "test": reviews(100, 3)}
    task = task_of(frames)
    first = task.pretraining(task.network(RecurrentSettings().build(8)), False).data.sha256
    for split in SPLITS[1:]:
        task.documents[split].tokens.random_(2, 50)
    task.texts.clear()
    second = task.pretraining(task.network(RecurrentSettings().build(8)), False).data.sha256
    assert first == second
    task.documents["train"].tokens[3] += 1
    third = task.pretraining(task.network(RecurrentSettings().build(8)), False).data.sha256
    assert third != first


@pytest.mark.parametrize("bidirectional", [False, True])
@pytest.mark.parametrize("changed", [0, 3, 8])
def test_no_direction_sees_the_token_that_it_predicts(
    bidirectional: bool, changed: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = LanguageModel(classifier(bidirectional), bidirectional).double().eval()
    seen: list[Tensor] = []
    monkeypatch.setattr(
        LanguageModel, "nats", lambda self, hidden, targets: seen.append(hidden) or hidden.sum(1)
    )
    ids = torch.randint(2, WORDS, (1, 9), generator=torch.Generator().manual_seed(1))
    other = ids.clone()
    other[0, changed] = (ids[0, changed] - 1) % WORDS
    for each in (ids, other):
        model(each, torch.tensor([9]))
    is_same = [(a == b).all(-1) for a, b in zip(*seen, strict=True)]
    same = torch.stack(is_same)
    # Prediction t of the forward direction is of token t + 1, that of the backward one of token t.
    assert same[:8].tolist() == [t < changed for t in range(8)]
    if bidirectional:
        assert same[8:].tolist() == [t + 1 > changed for t in range(8)]
    assert len(same) == (16 if bidirectional else 8)


@pytest.mark.parametrize("bidirectional", [False, True])
def test_the_loss_is_the_mean_over_predictions(bidirectional: bool) -> None:
    network = classifier(bidirectional)
    model = LanguageModel(network, bidirectional).double().eval()
    ids = torch.randint(2, WORDS, (3, 9), generator=torch.Generator().manual_seed(1))
    nats = []
    for document, length in zip(ids, LENGTHS.tolist(), strict=True):
        tokens = document[:length]
        outputs = network.encoder(network.features(tokens[None]))[0][0]
        for t in range(length - 1):
            nats.append(-model.head(outputs[t, :4]).log_softmax(0)[tokens[t + 1]])
            if bidirectional:
                nats.append(-model.head(outputs[t + 1, 4:]).log_softmax(0)[tokens[t]])
    loss, state = model(ids, LENGTHS)
    assert state is None
    torch.testing.assert_close(loss, torch.stack(nats).mean())
    loss.backward()
    gradients = {name: p.grad for name, p in model.named_parameters()}
    unused = [name for name, gradient in gradients.items() if gradient is None]
    assert unused == ["network.head.weight", "network.head.bias"]


def test_single_tokens_predict_nothing() -> None:
    loss, _ = LanguageModel(classifier(), True).double()(torch.ones(2, 1).long(), torch.ones(2))
    assert float(loss.detach()) == 0


def test_samples_of_a_large_vocabulary_are_corrected(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(language_model, "NEGATIVES", 6)
    model = LanguageModel(classifier(False), False).double()
    nn.init.normal_(model.head.bias)
    hidden, targets = torch.randn(4, 4, dtype=torch.float64), torch.tensor([0, 2, 29, 7])
    uniform = torch.tensor([0.0, 0.1, 0.25, 0.5, 0.9, 0.999], dtype=torch.float64)
    monkeypatch.setattr(torch, "rand", lambda *shape, **options: uniform)
    sampled = [math.floor((WORDS + 1) ** u) - 1 for u in uniform.tolist()]
    assert len({*sampled} & {0, 2}) == 1  # a sample equal to a target is left out
    found = model.nats(hidden, targets)
    logits = model.head(hidden).detach()
    for row, target in enumerate(targets.tolist()):

        def score(word: int, row: int = row) -> float:
            rate = 6 * math.log((word + 2) / (word + 1)) / math.log(WORDS + 1)
            return math.exp(float(logits[row, word])) / rate

        others = sum(score(word) for word in sampled if word != target)
        expected = -math.log(score(target) / (score(target) + others))
        assert float(found[row].detach()) == pytest.approx(expected, rel=1e-6)


def test_the_rates_sum_to_the_samples() -> None:
    rates = log_rate(torch.arange(WORDS), WORDS).exp()
    assert float(rates.sum()) == pytest.approx(language_model.NEGATIVES, rel=1e-5)


def test_a_step_uses_the_device_of_its_batch(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(language_model, "NEGATIVES", 6)
    model = LanguageModel(classifier(), True).to("meta").train()
    loss, _ = model(torch.ones(3, 9).long().to("meta"), LENGTHS.to("meta"))
    loss.backward()
    assert loss.is_meta
