"""Baselines for three classes: against scikit-learn, by hand, and on texts without words."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegression
from sklearn.multiclass import OneVsRestClassifier

from benchmarks.training.evaluation import evaluate
from tasks.base import DataError
from tasks.common.classification import log_probabilities
from tasks.text import baselines
from tasks.text.task import TextSettings, TextTask
from tests.helpers.labelled_texts import EXAMPLE, load, write

KNOWN = TextSettings().baselines()


@pytest.fixture(scope="module")
def task(tmp_path_factory: pytest.TempPathFactory) -> TextTask:
    return load(write(tmp_path_factory.mktemp("docs") / "docs.csv", EXAMPLE))


def outputs_of(task: TextTask, name: str, seed: int = 0) -> torch.Tensor:
    items = torch.arange(len(task.texts["test"]))
    return task.fit_baseline(name, seed).outputs("test", items)


@pytest.mark.parametrize("tokenizer", ["word", "char"])
@pytest.mark.parametrize("name", list(KNOWN)[1:])
def test_every_baseline_beats_the_majority(name: str, tokenizer: str, tmp_path: Path) -> None:
    task = load(write(tmp_path / "docs.csv", EXAMPLE), tokenizer=tokenizer)
    scores = [
        evaluate(task.fit_baseline(each, 0), task, "test", 64) for each in (name, "majority_class")
    ]
    assert scores[0]["accuracy"] > scores[1]["accuracy"] + 0.15
    assert scores[0]["loss"] < scores[1]["loss"]


def test_the_majority_has_the_frequencies_of_training() -> None:
    fitted = baselines.majority_class(np.array([0, 2, 2, 1, 2, 0, 2, 2]), 3)
    outputs = fitted.outputs("test", torch.tensor([4, 0]))
    assert outputs.softmax(1).tolist() == [pytest.approx([2 / 8, 1 / 8, 5 / 8])] * 2
    assert fitted.parameters == 3


def test_tfidf_is_scikit_learn_s_one_versus_rest(task: TextTask) -> None:
    vectoriser = TfidfVectorizer(**baselines.word_options(2), sublinear_tf=True)
    features = vectoriser.fit_transform(task.texts["train"].read())
    binary = LogisticRegression(C=10, solver="liblinear", dual=True, max_iter=1000, random_state=0)
    model = OneVsRestClassifier(binary).fit(features, task.documents["train"].labels.numpy())
    expected = model.predict_proba(vectoriser.transform(task.texts["test"].read()))
    found = log_probabilities(outputs_of(task, "tfidf_lr").double()).exp().numpy()
    np.testing.assert_allclose(found, expected, atol=1e-5)


def test_naive_bayes_of_a_class_is_that_of_two_classes(task: TextTask, tmp_path: Path) -> None:
    """A class against the rest equals the fit to these two classes."""
    labels = {split: each.labels.numpy() for split, each in task.documents.items()}
    whole = baselines.fit("nb_lr", baselines.Corpus(task.texts, labels, 3), 0)
    assert isinstance(whole, baselines.Linear)
    for label in range(3):
        two = {split: (each == label).astype("int8") for split, each in labels.items()}
        fitted = baselines.fit("nb_lr", baselines.Corpus(task.texts, two), 0)
        assert isinstance(fitted, baselines.Linear)
        np.testing.assert_allclose(whole.weights[:, label], fitted.weights)
        assert whole.intercept[label] == pytest.approx(float(fitted.intercept))


def test_only_the_mean_embedding_depends_on_the_seed(task: TextTask) -> None:
    for name, known in KNOWN.items():
        assert torch.equal(outputs_of(task, name, 0), outputs_of(task, name, 0))
        assert torch.equal(outputs_of(task, name, 0), outputs_of(task, name, 1)) != known.is_seeded


def test_words_of_one_document_each_are_one_line(tmp_path: Path) -> None:
    """Each word occurs twice, in one document: networks have a vocabulary, baselines none."""
    frame = EXAMPLE.assign(text=[f"a{n}q a{n}q" for n in range(120)])
    task = load(write(tmp_path / "docs.csv", frame), tokenizer="word")
    with pytest.raises(DataError, match="no word occurs in two of the 87 training documents"):
        task.fit_baseline("tfidf_lr", 0)
