"""The character task's loss, metrics, predictions, baselines and sample."""

from __future__ import annotations

import math
from collections import Counter
from itertools import pairwise

import numpy as np
import pytest
import torch
from torch import nn

from benchmarks.training.evaluation import evaluate
from tasks.base import Split
from tasks.language import task as language
from tasks.language.task import LanguageTask
from tasks.shakespeare import BUNDLED, ShakespeareSettings
from tests.helpers.texts import (
    SPLIT_NAMES,
    TEXT,
    FixedPrediction,
    load,
    network_for,
    task_of,
    whole,
)


@pytest.mark.parametrize("split", ["validation", "test"])
def test_a_uniform_model_s_perplexity_is_the_size_of_the_alphabet(
    tiny: LanguageTask, split: Split
) -> None:
    metrics = evaluate(FixedPrediction(torch.zeros(65, 65)), tiny, split, 1)
    assert metrics["perplexity"] == pytest.approx(65, rel=1e-9)
    assert metrics["bits_per_character"] == pytest.approx(math.log2(65), rel=1e-9)
    assert metrics["loss"] == pytest.approx(math.log(65), rel=1e-9)


@pytest.mark.parametrize("order", [1, 2])
@pytest.mark.parametrize("split", ["validation", "test"])
def test_metrics_equal_those_of_an_independent_n_gram_model(
    tiny: LanguageTask, split: Split, order: int
) -> None:
    text = BUNDLED.read_text(encoding="utf-8")
    sizes = np.cumsum([len(tiny.splits[name]) for name in SPLIT_NAMES])
    train = text[: sizes[0]]
    part = {"validation": text[sizes[0] : sizes[1]], "test": text[sizes[1] :]}[split]
    alphabet = sorted(set(text))
    # Add-one estimates from the training split; the unigram model does not look at the context.
    pairs = Counter(pairwise(train))
    counts = np.array([[pairs[before, after] for after in alphabet] for before in alphabet])
    if order == 1:
        counts = np.broadcast_to(counts.sum(0), counts.shape)
    probabilities = (counts + 1) / (counts + 1).sum(1, keepdims=True)
    place = {character: i for i, character in enumerate(alphabet)}
    nats = -np.mean(
        [math.log(probabilities[place[before], place[after]]) for before, after in pairwise(part)]
    )
    # Logits are log-probabilities up to a constant.
    table = torch.from_numpy(np.log(probabilities)) + 3.0
    metrics = evaluate(FixedPrediction(table), tiny, split, 1)
    assert metrics == pytest.approx(
        {
            "loss": nats,
            "perplexity": math.exp(nats),
            "bits_per_character": nats / math.log(2),
        },
        rel=1e-9,
    )


@pytest.mark.parametrize("chunk", [1, 10, 97])
def test_the_size_of_an_evaluation_s_chunks_changes_no_score(
    chunk: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    task = task_of("to be, or not to be: " * 200, ShakespeareSettings())
    network = network_for(task)
    in_one_piece = evaluate(network, task, "test", 1)
    monkeypatch.setattr(language, "EVALUATION_CHUNK", chunk)
    assert evaluate(network, task, "test", 1) == pytest.approx(in_one_piece, rel=1e-12)


def test_the_loss_is_the_mean_over_a_batch(tiny: LanguageTask) -> None:
    batch = next(tiny.batches("train", 4, np.random.default_rng(0)))
    outputs = torch.randn(*batch.inputs.shape, 65, dtype=torch.float64)
    chosen = outputs.log_softmax(-1).gather(-1, batch.targets.unsqueeze(-1))
    assert float(tiny.loss(outputs, batch)) == pytest.approx(-float(chosen.mean()), rel=1e-12)


def test_predictions_are_the_nats_of_each_character(tiny: LanguageTask) -> None:
    batch = next(tiny.batches("train", 4, np.random.default_rng(0)))
    outputs = torch.randn(*batch.inputs.shape, 65)
    (name, nats), *others = tiny.predictions(outputs, batch).items()
    assert (name, others, nats.dtype) == ("nats", [], torch.float32)
    assert nats.shape == batch.items.flatten().shape
    chosen = outputs.double().log_softmax(-1).gather(-1, batch.targets.unsqueeze(-1))
    np.testing.assert_allclose(nats, -chosen.flatten(), rtol=1e-6)


def test_a_very_bad_model_has_a_finite_perplexity(tiny: LanguageTask) -> None:
    assert math.isfinite(
        tiny.metrics({"nats": 1e7, "tokens": 10.0, "characters": 10.0})["perplexity"]
    )


# --- baselines


@pytest.mark.parametrize(
    ("name", "nats"),
    [("kneser_ney_3", 2.038), ("kneser_ney_4", 1.719), ("kneser_ney_7", 1.5165)],
)
def test_kneser_ney_has_its_known_nats_on_the_nanogpt_split(name: str, nats: float) -> None:
    task = load(ShakespeareSettings(split="nanogpt"))
    metrics = evaluate(task.fit_baseline(name, 0), task, "test", 1)
    assert metrics["loss"] == pytest.approx(nats, abs=6e-4)


def test_the_naive_baseline_is_the_add_one_unigram(tiny: LanguageTask) -> None:
    settings = tiny.settings
    assert [*settings.baselines()][:2] == ["unigram", "uniform"]
    kinds = [baseline.kind for baseline in settings.baselines().values()]
    assert kinds == ["naive", "simple", *["classical"] * 6]
    counts = np.bincount(tiny.splits["train"], minlength=65) + 1.0
    nats = -np.log(counts / counts.sum())[tiny.splits["test"][1:]].mean()
    found = evaluate(tiny.fit_baseline("unigram", 0), tiny, "test", 1)
    assert found["loss"] == pytest.approx(nats, rel=1e-12)
    uniform = evaluate(tiny.fit_baseline("uniform", 0), tiny, "test", 1)
    assert uniform["perplexity"] == pytest.approx(65, rel=1e-12)


# --- the sample


@pytest.fixture(scope="module")
def speaker() -> tuple[LanguageTask, nn.Module]:
    settings = ShakespeareSettings(sample_chars=80)
    task = task_of("the quick brown fox\njumps over the lazy dog\n" * 20, settings)
    return task, network_for(task)


def sample(speaker: tuple[LanguageTask, nn.Module], seed: int, **settings: float) -> str:
    task, network = speaker
    changed = {**vars(task.settings), **settings}
    text = task_of(whole(task), ShakespeareSettings(**changed)).showcase(network, seed)
    assert text is not None
    return text


def test_a_sample_depends_on_its_seed(speaker: tuple[LanguageTask, nn.Module]) -> None:
    before = torch.get_rng_state()
    first = sample(speaker, seed=0)
    assert sample(speaker, seed=0) == first
    assert sample(speaker, seed=1) != first
    # No other probability changes.
    assert torch.equal(torch.get_rng_state(), before)


@pytest.mark.parametrize("length", [1, 50])
def test_a_sample_has_its_length_and_the_text_s_alphabet(
    speaker: tuple[LanguageTask, nn.Module], length: int
) -> None:
    text = sample(speaker, seed=3, sample_chars=length)
    assert len(text) == length
    assert set(text) <= set(speaker[0].vocabulary.tokens)


def test_zero_characters_give_no_sample(
    speaker: tuple[LanguageTask, nn.Module],
) -> None:
    task = task_of(TEXT, ShakespeareSettings(sample_chars=0))
    assert task.showcase(speaker[1], 0) is None


def test_near_temperature_zero_the_most_probable_character_is_sampled(
    speaker: tuple[LanguageTask, nn.Module],
) -> None:
    task, network = speaker
    # The reference reads the whole text at every step, so the carried state is checked as well.
    text = [task.vocabulary.tokens.index("\n")]
    with torch.no_grad():
        for _ in range(60):
            logits, _ = network.eval()(torch.tensor([text]))
            text.append(int(logits[0, -1].argmax()))
    expected = task.vocabulary.decode(text[1:])
    for seed in (0, 1):
        assert sample(speaker, seed, temperature=1e-4, sample_chars=60) == expected
    assert len(set(expected)) > 2


@pytest.mark.parametrize("temperature", [0.5, 1.0, 2.0])
def test_temperature_divides_the_logits(temperature: float) -> None:
    logits = torch.tensor([0.0, 1.0, 2.0])
    settings = ShakespeareSettings(sample_chars=4000, temperature=temperature)
    task = task_of("abc" * 30, settings)
    text = task.showcase(FixedPrediction(logits.expand(3, 3)), seed=0)
    shares = [Counter(text)[character] / 4000 for character in "abc"]
    np.testing.assert_allclose(shares, (logits / temperature).softmax(-1), atol=0.03)
