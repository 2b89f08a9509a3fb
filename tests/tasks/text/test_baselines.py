"""IMDB's baselines: against hand counts, dense references and the majority; seeds; excerpts."""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Callable
from itertools import pairwise

import numpy as np
import pandas as pd
import pytest
import torch
from scipy import optimize, sparse

from benchmarks.training.evaluation import evaluate
from benchmarks.training.predictions import Predictions
from tasks import imdb
from tasks.base import Baseline, FittedBaseline
from tasks.text import baselines as reviews
from tasks.text import preparation as imdb_preparation
from tasks.text.imdb_sources import BUNDLED, Source

Frames = dict[str, pd.DataFrame]
Features = Callable[[list[str], list[str], np.ndarray], tuple[np.ndarray, np.ndarray]]
KNOWN: dict[str, Baseline] = imdb.ImdbSettings().baselines()


def task_of(frames: Frames) -> imdb.ImdbTask:
    arrays, facts = imdb.tokenise(frames, vocabulary_size=2000, minimum_count=2)
    return imdb.ImdbTask(imdb.ImdbSettings(), Source("cut", "", lambda: frames), arrays, facts)


def synthetic(count: int, seed: int) -> pd.DataFrame:
    """Return reviews of 5 to 15 words; positive ones contain more even numbers."""
    draw = np.random.default_rng(seed)
    labels = np.arange(count) % 2
    texts = []
    for label in labels:
        numbers = 2 * draw.integers(0, 8, size=draw.integers(5, 16))
        numbers += draw.random(len(numbers)) < (0.35 if label else 0.65)
        texts.append(" ".join(f"w{n}{'!' * (n == 5)}" for n in numbers.tolist()) + "<br />End")
    return pd.DataFrame({"text": texts, "label": labels, "movie": None})


@pytest.fixture(scope="module")
def frames() -> Frames:
    return {"train": synthetic(90, 1), "test": synthetic(40, 2)}


@pytest.fixture(scope="module")
def task(frames: Frames) -> imdb.ImdbTask:
    return task_of(frames)


@pytest.fixture(scope="module")
def bundled_cut() -> imdb.ImdbTask:
    """Return 1,600 + 400 of the bundled reviews, balanced."""
    read = {split: pd.read_parquet(BUNDLED / f"{split}.parquet") for split in ("train", "test")}
    sizes = {"train": 800, "test": 200}
    return task_of(
        {split: frame.groupby("label").head(sizes[split]) for split, frame in read.items()}
    )


def logits(fitted: FittedBaseline, task: imdb.ImdbTask) -> np.ndarray:
    return fitted.outputs("test", torch.arange(len(task.texts["test"]))).numpy()


# --- fits


@pytest.mark.parametrize("name", list(KNOWN)[1:])
def test_every_baseline_beats_the_majority_on_real_reviews(
    name: str, bundled_cut: imdb.ImdbTask
) -> None:
    scores = [
        evaluate(bundled_cut.fit_baseline(each, 0), bundled_cut, "test", 64)
        for each in (name, "majority_class")
    ]
    assert scores[1]["accuracy"] == 0.5
    assert scores[0]["accuracy"] > 0.74
    assert scores[0]["loss"] < scores[1]["loss"] - 0.1


@pytest.mark.parametrize(("positive", "negative"), [(3, 1), (1, 4), (2, 2)])
def test_the_majority_class_is_training_s_log_odds(positive: int, negative: int) -> None:
    fitted = reviews.majority_class(np.array([1] * positive + [0] * negative))
    outputs = fitted.outputs("test", torch.tensor([5, 0]))
    assert outputs.tolist() == pytest.approx([math.log(positive / negative)] * 2, abs=1e-6)
    assert (outputs > 0).tolist() == [positive >= negative] * 2, "a tie is positive"


def test_log_count_ratios_are_those_counted_by_hand() -> None:
    # "good film", "good good plot" are positive, "bad film" is not: bad, film, good, plot.
    held = sparse.csr_matrix([[0.0, 1, 1, 0], [0, 0, 1, 1], [1, 1, 0, 0]])
    # p = 1 + (0, 1, 2, 1), which is 8 in all; q = 1 + (1, 1, 0, 0), which is 6.
    expected = np.log([(1 / 8) / (2 / 6), (2 / 8) / (2 / 6), (3 / 8) / (1 / 6), (2 / 8) / (1 / 6)])
    np.testing.assert_allclose(reviews.log_count_ratios(held, np.array([1, 1, 0])), expected)


def test_log_count_ratios_of_pairs_come_from_the_texts() -> None:
    """A word or pair counts once per review."""
    from sklearn.feature_extraction.text import CountVectorizer

    texts = ["Good, good film", "good film<br />good film", "a bad film", "a bad plot"]
    vectoriser = CountVectorizer(**reviews.word_options(2), binary=True)
    held = vectoriser.fit_transform(texts)
    ratios = dict(
        zip(
            vectoriser.get_feature_names_out(),
            reviews.log_count_ratios(held, np.array([1, 1, 0, 0])),
            strict=True,
        )
    )
    # In two reviews at least: a, bad, film, good, "a bad", "good film".
    # p = 1 + (0, 0, 2, 2, 0, 2), 12 in all; q = 1 + (2, 2, 1, 0, 2, 0), 13 in all.
    p = {"a": 1, "bad": 1, "film": 3, "good": 3, "a bad": 1, "good film": 3}
    q = {"a": 3, "bad": 3, "film": 2, "good": 1, "a bad": 3, "good film": 1}
    assert ratios == pytest.approx({w: math.log((p[w] / 12) / (q[w] / 13)) for w in p})


# --- against dense references


def grams(text: str, longest: int) -> list[str]:
    tokens = re.findall(r"\w+|[^\w\s]+", text.replace("<br />", " ").lower())
    pairs = [f"{one} {other}" for one, other in pairwise(tokens)]
    return tokens + pairs * (longest == 2)


def counts(texts: list[str], known: list[str], longest: int) -> np.ndarray:
    found = [Counter(grams(text, longest)) for text in texts]
    return np.array([[each[gram] for gram in known] for each in found], dtype=float)


def vocabulary(texts: list[str], longest: int) -> list[str]:
    """Return the n-grams of at least two texts."""
    held = Counter(gram for text in texts for gram in set(grams(text, longest)))
    return sorted(gram for gram, number in held.items() if number >= 2)


def tfidf_features(longest: int) -> Features:
    def features(
        train: list[str], test: list[str], labels: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray]:
        known = vocabulary(train, longest)
        idf = 1 + np.log((1 + len(train)) / (1 + (counts(train, known, longest) > 0).sum(0)))
        scaled = []
        for texts in (train, test):
            x = counts(texts, known, longest)
            x = np.where(x > 0, 1 + np.log(np.maximum(x, 1)), 0) * idf
            scaled.append(x / np.linalg.norm(x, axis=1, keepdims=True))
        return scaled[0], scaled[1]

    return features


def naive_bayes_features(
    train: list[str], test: list[str], labels: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    known = vocabulary(train, 2)
    x, other = ((counts(texts, known, 2) > 0).astype(float) for texts in (train, test))
    p, q = 1 + x[labels == 1].sum(0), 1 + x[labels == 0].sum(0)
    ratios = np.log((p / p.sum()) / (q / q.sum()))
    return x * ratios, other * ratios


@pytest.mark.parametrize(
    ("name", "features", "c"),
    [
        ("tfidf_unigram_lr", tfidf_features(1), 10.0),
        ("tfidf_bigram_lr", tfidf_features(2), 10.0),
        ("nb_bigram_lr", naive_bayes_features, 0.1),
    ],
)
def test_logits_are_those_of_a_dense_reference(
    name: str, features: Features, c: float, task: imdb.ImdbTask
) -> None:
    labels = task.documents["train"].labels.numpy()
    train, test = (task.texts[split].read() for split in ("train", "test"))  # type: ignore[index]
    x, held_out = features(train, test, labels)
    x, held_out = (np.column_stack([each, np.ones(len(each))]) for each in (x, held_out))
    signs = 2.0 * labels - 1

    def penalised(w: np.ndarray) -> float:
        return float(w @ w / 2 + c * np.logaddexp(0, -signs * (x @ w)).sum())

    def slope(w: np.ndarray) -> np.ndarray:
        return w - c * x.T @ (signs / (1 + np.exp(signs * (x @ w))))

    w = optimize.minimize(penalised, np.zeros(x.shape[1]), jac=slope, options={"gtol": 1e-6}).x
    fitted = task.fit_baseline(name, 0)
    # The solver has a tolerance.
    np.testing.assert_allclose(logits(fitted, task), held_out @ w, atol=0.02)
    assert np.abs(held_out @ w).mean() > 0.2
    learnt = x.shape[1] - 1
    assert fitted.parameters == (learnt if name == "nb_bigram_lr" else 2 * learnt) + 1


def test_a_mean_embedding_is_the_mean_over_a_review_s_words() -> None:
    generator = torch.Generator().manual_seed(0)
    shapes = ((3, reviews.EMBEDDING_WIDTH), (reviews.EMBEDDING_WIDTH,), ())
    embeddings, head, bias = (torch.randn(shape, generator=generator) for shape in shapes)
    # Words 0, 0, 2 and 1; and a review without words of the vocabulary.
    shares = sparse.csr_matrix([[0.5, 0.25, 0.25], [0, 0, 0]])
    mean = embeddings[[0, 0, 2, 1]].mean(0)
    expected = torch.stack([mean @ head + bias, bias])
    torch.testing.assert_close(reviews.mean_logits(shares, embeddings, head, bias), expected)


def test_weights_per_word_equal_the_trained_embeddings(
    task: imdb.ImdbTask, monkeypatch: pytest.MonkeyPatch
) -> None:
    trained = []

    def train(*arguments: object) -> tuple[torch.Tensor, ...]:
        trained.append(original(*arguments))  # type: ignore[arg-type]
        return trained[-1]

    original = reviews.train_embeddings
    monkeypatch.setattr(reviews, "train_embeddings", train)
    fitted = task.fit_baseline("mean_embedding", 0)
    assert isinstance(fitted, reviews.Linear)
    texts = task.texts["test"].read()
    known = vocabulary(task.texts["train"].read(), 1)
    x = counts(texts, known, 1)
    shares = sparse.csr_matrix(x / x.sum(1, keepdims=True))
    expected = reviews.mean_logits(shares, *trained[0]).numpy()
    np.testing.assert_allclose(logits(fitted, task), expected, rtol=1e-4, atol=1e-5)
    assert fitted.parameters == (len(known) + 1) * reviews.EMBEDDING_WIDTH + 1


def test_the_epoch_best_on_validation_is_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    """Validation labels that contradict training select an early epoch."""
    monkeypatch.setattr(reviews, "EMBEDDING_EPOCHS", 30)
    monkeypatch.setattr(reviews, "EMBEDDING_BATCH_SIZE", 2)
    shares = sparse.csr_matrix(np.eye(2)[[0, 1] * 10])
    labels = np.array([1, 0] * 10)

    def certainty(held_out: np.ndarray) -> float:
        splits = {"train": shares, "validation": shares}
        targets = {"train": labels, "validation": held_out}
        weights = reviews.train_embeddings(splits, targets, seed=0)  # type: ignore[arg-type]
        return float(reviews.mean_logits(shares, *weights).abs().mean())

    assert certainty(1 - labels) < 0.2 * certainty(labels)


# --- dependence on seeds and splits


@pytest.mark.parametrize("name", KNOWN)
def test_only_seeded_baselines_depend_on_the_seed(name: str, task: imdb.ImdbTask) -> None:
    torch.manual_seed(1)
    first = logits(task.fit_baseline(name, 0), task)
    torch.manual_seed(2)
    assert np.array_equal(logits(task.fit_baseline(name, 0), task), first)
    other = logits(task.fit_baseline(name, 1), task)
    assert np.array_equal(other, first) != KNOWN[name].is_seeded


@pytest.mark.parametrize("name", KNOWN)
def test_the_test_split_has_no_effect_on_a_fit(name: str, frames: Frames) -> None:
    other = frames | {"test": synthetic(60, 5).assign(label=1).replace({"label": {1: 0}})}
    other["test"].loc[0, "label"] = 1
    outputs = [
        task.fit_baseline(name, 0).outputs("validation", torch.arange(8))
        for task in (task_of(frames), task_of(other))
    ]
    assert torch.equal(outputs[0], outputs[1])


@pytest.mark.parametrize("name", [name for name in KNOWN if name != "mean_embedding"])
def test_validation_has_no_effect_on_linear_models(name: str, task: imdb.ImdbTask) -> None:
    labels = {split: each.labels.numpy() for split, each in task.documents.items()}
    turned = labels | {"validation": 1 - labels["validation"]}
    first, second = (
        reviews.fit(name, reviews.Corpus(task.texts, each), 0) for each in (labels, turned)
    )
    assert np.array_equal(logits(first, task), logits(second, task))


# --- predictions and excerpts


def test_predictions_are_log_odds_and_truth(task: imdb.ImdbTask) -> None:
    predictions = Predictions()
    fitted = task.fit_baseline("tfidf_unigram_lr", 0)
    scores = evaluate(fitted, task, "test", 7, predictions=predictions)
    items, columns = predictions.in_order()
    assert list(columns) == ["logit", "positive"]
    assert (columns["logit"].dtype, columns["positive"].dtype) == (torch.float32, torch.bool)
    assert torch.equal(columns["positive"], task.documents["test"].labels == 1)
    right = (columns["logit"] > 0) == columns["positive"]
    assert float(right.float().mean()) == pytest.approx(scores["accuracy"])
    np.testing.assert_allclose(columns["logit"], logits(fitted, task), rtol=1e-6)
    assert items.tolist() == list(range(40))


@pytest.mark.parametrize("first", [0, 12])
def test_excerpts_are_the_reviews_of_the_largest_loss(
    task: imdb.ImdbTask, frames: Frames, first: int
) -> None:
    """Of all reviews, or of the few that a smoke test predicts."""
    items = torch.arange(first, 40)
    positive = task.documents["test"].labels[items] == 1
    given = torch.from_numpy(np.random.default_rng(0).normal(size=len(items))).float() * 50
    excerpts = task.excerpts("test", items, {"logit": given, "positive": positive})
    signs = np.where(positive, 1.0, -1.0)
    losses = np.logaddexp(0, -signs * given.double().numpy())
    worst = np.argsort(-losses, kind="stable")[:20]
    assert losses[worst[-1]] > 0
    texts = imdb_preparation.in_canonical_order(frames["test"])["text"].tolist()
    assert excerpts == [
        {
            "item": int(items[i]),
            "logit": pytest.approx(float(given[i])),
            "positive": bool(positive[i]),
            "label": "positive" if positive[i] else "negative",
            "predicted_label": "positive" if given[i] > 0 else "negative",
            "text": texts[int(items[i])].replace("<br />", "\n"),
        }
        for i in worst
    ]


def test_excerpts_of_few_predictions_are_all(task: imdb.ImdbTask) -> None:
    logit, positive = torch.tensor([300.0, 200.0, -1.0]), torch.tensor([True, True, True])
    columns = {"logit": logit, "positive": positive}
    excerpts = task.excerpts("test", torch.tensor([3, 7, 9]), columns)
    assert [excerpt["item"] for excerpt in excerpts] == [9, 7, 3]
