"""Baselines for series: against independent references, seeds, and missing packages."""

from __future__ import annotations

import math
import os
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pytest
import torch

from benchmarks.config import validation
from benchmarks.config.compose import hydra_at
from benchmarks.config.registry import register_schemas
from benchmarks.sweeps.plan import compose_cells
from tasks.series.baselines import calibrated, fit, padded, summaries
from tests.helpers.definitions import EXAMPLES
from tests.helpers.labelled_series import draw
from tests.helpers.paths import ROOT

SPLITS = ("train", "validation", "test")
needs_aeon = pytest.mark.skipif(find_spec("aeon") is None, reason="requires aeon: extra series")


def data(classes: tuple[str, ...] = ("a", "b", "c"), count: int = 30) -> tuple[Any, Any]:
    """Return series and labels of each split."""
    items = {split: draw(count, classes=classes, seed=n) for n, split in enumerate(SPLITS)}
    series = {split: [item.values for item in part] for split, part in items.items()}
    labels = {
        split: np.array([classes.index(item.label) for item in part])
        for split, part in items.items()
    }
    return series, labels


def test_the_majority_has_the_shares_of_training() -> None:
    series, labels = data()
    labels["train"] = np.array([0] * 6 + [1] * 15 + [2] * 9)
    found = fit("majority_class", series, labels, 3, 0).outputs("test", torch.arange(4))
    np.testing.assert_allclose(found.exp().numpy(), [[0.2, 0.5, 0.3]] * 4, rtol=1e-6)
    two = fit("majority_class", *data(("a", "b")), 2, 0).outputs("test", torch.arange(4))
    assert two.tolist() == [0.0] * 4


def test_summaries_by_hand() -> None:
    values = np.array([[1.0], [4.0], [2.0], [5.0]])
    centred = values[:, 0] - 3
    slope = np.polyfit(np.linspace(-0.5, 0.5, 4), values[:, 0], 1)[0]
    expected = [3, math.sqrt(2.5), 1, 3, 5, 1, 5, slope, 8 / 3]
    expected += [(centred[1:] * centred[:-1]).sum() / 10, 4]
    np.testing.assert_allclose(summaries([values])[0], expected)
    constant = summaries([np.ones((1, 2)), np.ones((5, 2))])
    assert constant.shape == (2, 21)
    assert np.isfinite(constant).all()


def test_the_forest_is_seeded_and_better_than_chance() -> None:
    series, labels = data()
    first, same, other = (
        fit("summary_forest", series, labels, 3, seed).outputs("test", torch.arange(30))
        for seed in (0, 0, 1)
    )
    assert first.equal(same)
    assert not first.equal(other)
    assert first.isfinite().all()
    assert (first.argmax(1).numpy() == labels["test"]).mean() > 0.6
    np.testing.assert_allclose(first.exp().sum(1).numpy(), 1.0, rtol=1e-5)


def test_the_factor_minimises_the_smoothed_cross_entropy() -> None:
    series, labels = data(("a", "b"))
    right = labels["validation"]

    def scores(chosen: Any) -> Any:
        predicted = right.copy()
        predicted[:6] = 1 - predicted[:6]
        return np.eye(2)[predicted][: len(chosen)]

    found = calibrated(series, labels, scores, 7)
    # A share e of wrong answers, smoothed, has its optimum at log odds (1 - e) / e.
    smoothing = 1 / 31
    wrong = 6 / 30 * (1 - smoothing) + smoothing / 2
    assert found.factor == pytest.approx(math.log((1 - wrong) / wrong), rel=0.06)
    assert found.parameters == 8


def test_padding_and_cutting() -> None:
    found = padded([np.array([[1.0, 2.0], [3.0, 4.0]]), np.ones((5, 2))], 3)
    np.testing.assert_array_equal(found[0], [[1, 3, 0], [2, 4, 0]])
    np.testing.assert_array_equal(found[1], np.ones((2, 3)))


def plain_dtw(first: np.ndarray, second: np.ndarray) -> float:
    """Compute the squared distance of dynamic time warping by its recursion."""
    costs = ((first[:, None] - second[None]) ** 2).sum(-1)
    total = np.full((len(first) + 1, len(second) + 1), np.inf)
    total[0, 0] = 0
    for i, j in np.ndindex(*costs.shape):
        total[i + 1, j + 1] = costs[i, j] + min(total[i, j], total[i, j + 1], total[i + 1, j])
    return float(total[-1, -1])


@needs_aeon
def test_the_nearest_neighbour_by_an_own_recursion() -> None:
    series, labels = data()
    found = fit("dtw_1nn", series, labels, 3, 0)
    outputs = found.outputs("test", torch.arange(12))
    expected = [
        labels["train"][np.argmin([plain_dtw(query, known) for known in series["train"]])]
        for query in series["test"][:12]
    ]
    assert outputs.argmax(1).tolist() == expected
    assert found.parameters == 1 + sum(values.size for values in series["train"])


@needs_aeon
@pytest.mark.parametrize("classes", [("a", "b"), ("a", "b", "c")])
def test_minirocket_agrees_with_the_classifier_of_aeon(classes: tuple[str, ...]) -> None:
    from aeon.classification.convolution_based import MiniRocketClassifier

    series, labels = data(classes)
    found = fit("minirocket_ridge", series, labels, len(classes), 3)
    outputs = found.outputs("test", torch.arange(30))
    reference = MiniRocketClassifier(random_state=3).fit(
        padded(series["train"], 9), labels["train"]
    )
    predicted = (outputs > 0).long() if len(classes) == 2 else outputs.argmax(1)
    agreement = predicted.numpy() == reference.predict(padded(series["test"], 9))
    assert agreement.all()


COMPILED_IN_A_FIT = """
import numpy as np
from numba.core.event import install_recorder
import tasks.series.aeon_methods
from tasks.series.baselines import minirocket_ridge, nearest_neighbour
series = [np.random.default_rng(n).normal(size=(9 + n, 3)) for n in range(12)]
with install_recorder("numba:compile") as recorder:
    for scores, _ in (
        minirocket_ridge(series, np.arange(12) % 3, 3, 0),
        nearest_neighbour(series, np.arange(12) % 3, 3),
    ):
        scores(series)
print([str(event.data["dispatcher"]) for _, event in recorder.buffer])
"""


@needs_aeon
def test_nothing_is_compiled_inside_the_clock(tmp_path: Path) -> None:
    program = [sys.executable, "-W", "ignore", "-c", COMPILED_IN_A_FIT]
    empty = os.environ | {"NUMBA_CACHE_DIR": str(tmp_path)}
    found = subprocess.run(program, cwd=ROOT, env=empty, capture_output=True, text=True, check=True)
    assert found.stdout == "[]\n"


class Axes:
    """A sweep over all baselines of a task."""

    fixed: ClassVar[list[str]] = ["task=series", f"task.data='{EXAMPLES['series']}'"]

    @staticmethod
    def cells() -> list[list[str]]:
        return [["model=baseline"]]


def test_baselines_whose_package_is_missing_are_left_out_with_a_reason(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def find(name: str) -> Any:
        return None if name == "aeon" else find_spec(name)

    monkeypatch.setattr(validation, "find_spec", find)
    register_schemas()
    with hydra_at(ROOT / "conf"):
        composed, left_out = compose_cells(Axes())  # type: ignore[arg-type]
    names = [config.model.baseline for _, config in composed]  # type: ignore[attr-defined]
    assert names == ["majority_class", "summary_forest"]
    assert [cell for cell, _ in left_out] == [
        "model=baseline model.baseline=dtw_1nn",
        "model=baseline model.baseline=minirocket_ridge",
    ]
    assert left_out[0][1] == "model.baseline=dtw_1nn: requires aeon: pip install -e '.[series]'"
