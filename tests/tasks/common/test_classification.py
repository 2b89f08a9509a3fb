"""Metrics of classification against scikit-learn and small cases by hand."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
import torch
from sklearn import metrics as reference
from torch import Tensor

from tasks.base import Batch
from tasks.common.classification import (
    ClassificationTask,
    auroc,
    calibration_error,
    log_probabilities,
    macro_f1,
)

RNG = np.random.default_rng(5)


class Labelled(ClassificationTask):
    """Only the objective of a task of some classes."""

    def __init__(self, *classes: str) -> None:
        self.classes = classes


# Data and network are not needed.
Labelled.__abstractmethods__ = frozenset()  # type: ignore[attr-defined]


def batch(labels: Any) -> Batch:
    targets = torch.tensor(labels)
    return Batch(torch.zeros(len(targets), 1), targets, len(targets), torch.arange(len(targets)))


def metrics_of(task: ClassificationTask, outputs: Tensor, labels: Any) -> dict[str, float]:
    sums = task.sums(outputs, batch(labels))
    return task.metrics({k: v if v.dim() else float(v) for k, v in sums.items()})


@pytest.mark.parametrize("classes", [2, 5])
def test_metrics_equal_those_of_scikit_learn(classes: int) -> None:
    labels = RNG.integers(0, classes, 200)
    outputs = torch.from_numpy(RNG.normal(size=(200,) if classes == 2 else (200, classes)))
    found = metrics_of(Labelled(*map(str, range(classes))), outputs, labels)
    probabilities = log_probabilities(outputs).exp().numpy()
    predicted = probabilities.argmax(1)
    assert found["accuracy"] == pytest.approx(reference.accuracy_score(labels, predicted))
    macro = reference.f1_score(labels, predicted, average="macro")
    assert found["macro_f1"] == pytest.approx(macro)
    assert found["log_loss"] == pytest.approx(reference.log_loss(labels, probabilities))
    assert found["loss"] == found["log_loss"]
    if classes == 2:
        assert found["auroc"] == pytest.approx(reference.roc_auc_score(labels, outputs.numpy()))
    else:
        assert "auroc" not in found


def test_auroc_shares_the_ranks_of_ties() -> None:
    scores, labels = torch.tensor([0.0, 0.0, 1.0, 1.0, 1.0]), torch.tensor([0, 1, 0, 1, 1])
    assert auroc(scores, labels) == pytest.approx(reference.roc_auc_score(labels, scores))


def test_auroc_needs_both_classes() -> None:
    assert "auroc" not in metrics_of(Labelled("a", "b"), torch.tensor([0.3, -1.0]), [1, 1])


def test_macro_f1_ignores_a_class_that_does_not_occur() -> None:
    labels, predicted = torch.tensor([0, 0, 1]), torch.tensor([0, 1, 1])
    expected = reference.f1_score(labels, predicted, average="macro")
    assert macro_f1(predicted, labels, 4) == pytest.approx(expected)


def test_calibration_error_by_hand() -> None:
    # Two bins: confidence 0.9 with half right, confidence 0.6 with all right.
    confidence = torch.tensor([0.9, 0.9, 0.6, 0.6], dtype=torch.float64)
    probabilities = torch.stack([1 - confidence, confidence], dim=1)
    labels = torch.tensor([1, 0, 1, 1])
    expected = (2 * abs(0.5 - 0.9) + 2 * abs(1.0 - 0.6)) / 4
    assert calibration_error(probabilities, labels) == pytest.approx(expected)


def test_extreme_outputs_stay_finite() -> None:
    for outputs in (torch.tensor([1e4, -1e4]), torch.tensor([[1e4, -1e4], [0.0, 3e4]])):
        found = metrics_of(Labelled("a", "b"), outputs, [0, 1])
        assert all(map(math.isfinite, found.values()))


def test_predictions_of_two_and_of_more_classes() -> None:
    two = Labelled("no", "yes").predictions(torch.tensor([0.5, -0.5]), batch([1, 1]))
    assert two["positive"].tolist() == [True, True]
    outputs = torch.tensor([[0.0, 2.0, 1.0], [3.0, 0.0, 0.0]])
    three = Labelled("a", "b", "c").predictions(outputs, batch([2, 0]))
    assert (three["label"].tolist(), three["predicted_label"].tolist()) == ([2, 0], [1, 0])
    assert not three["label"].is_floating_point()


def test_answers_name_classes_and_probabilities() -> None:
    found = Labelled("no", "yes").answers(torch.tensor([0.0, 2.0]), batch([0, 0]))
    assert found["label"] == ["no", "yes"]
    assert found["probability of yes"] == pytest.approx([0.5, 1 / (1 + math.exp(-2))])
    assert found["probability of no"][0] == pytest.approx(0.5)
