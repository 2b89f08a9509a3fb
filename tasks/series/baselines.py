"""Baselines for labelled series: majority, summary features, 1-NN, MiniRocket."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from tasks.base import Baseline, FittedBaseline, Split

if TYPE_CHECKING:
    import numpy as np
    from torch import Tensor

    Numbers = np.ndarray[Any, Any]
    Series = Sequence[Numbers]  # (steps, channels) each, scaled, without missing values
    Scores = Callable[[Series], Numbers]  # (series, classes) of series

BASELINES = {
    "majority_class": Baseline("naive", "shares of the classes in training"),
    "summary_forest": Baseline(
        "simple",
        "random forest of 500 trees on ten summaries of each channel and the length",
        is_seeded=True,
        needs=("sklearn.ensemble",),
    ),
    "dtw_1nn": Baseline(
        "classical",
        "1-NN by dynamic time warping, without a window (aeon)",
        needs=("aeon", "tasks.series.aeon_methods"),
        extra="series",
    ),
    "minirocket_ridge": Baseline(
        "classical",
        "ridge classifier of 10,000 MiniRocket features (Dempster et al. 2021; aeon); series are "
        "padded with the mean, or cut, to the longest of training",
        is_seeded=True,
        needs=("aeon", "tasks.series.aeon_methods", "sklearn.linear_model", "sklearn.pipeline"),
        extra="series",
    ),
}

TREES = 500
ALPHAS = (-3, 3, 10)  # decades and number of the ridge penalties, as in aeon's classifier
TEMPERATURES = (-2, 2, 81)  # decades and number


@dataclass
class Scored(FittedBaseline):
    """Scores of classes that a fitted method computes from series, times a factor."""

    series: Mapping[Split, Series]
    scores: Scores
    parameters: int
    factor: float = 1.0

    def outputs(self, split: Split, items: Tensor) -> Tensor:
        """Return log-odds (items,) of two classes, or logits (items, classes)."""
        import torch

        series = self.series[split]
        scores = self.factor * self.scores([series[i] for i in items.tolist()])
        logits = torch.from_numpy(scores).to(items.device, torch.float32)
        return logits if logits.shape[1] > 2 else (logits[:, 1] - logits[:, 0])


def fit(
    name: str,
    series: Mapping[Split, Series],
    labels: Mapping[Split, Numbers],
    classes: int,
    seed: int,
) -> FittedBaseline:
    """Fit one of `BASELINES` to scaled series and their labels of the training split."""
    known, right = series["train"], labels["train"]
    if name == "majority_class":
        return Scored(series, majority_class(right, classes), classes)
    if name == "summary_forest":
        return Scored(series, *summary_forest(known, right, classes, seed))
    if name == "dtw_1nn":
        return calibrated(series, labels, *nearest_neighbour(known, right, classes))
    assert name == "minirocket_ridge"
    return calibrated(series, labels, *minirocket_ridge(known, right, classes, seed))


def calibrated(
    series: Mapping[Split, Series], labels: Mapping[Split, Numbers], scores: Scores, parameters: int
) -> Scored:
    """Return scores times the factor of the lowest cross-entropy on validation.

    The labels are smoothed as if one series of unknown class were added, which keeps the factor
    finite if all are right. Predicted classes do not depend on the factor (Guo et al. 2017).
    """
    import numpy as np
    import torch
    from torch.nn import functional as F

    validation = torch.from_numpy(scores(series["validation"]))
    right = torch.from_numpy(labels["validation"])
    smoothing = 1 / (len(right) + 1)

    def loss(factor: float) -> float:
        return float(F.cross_entropy(factor * validation, right, label_smoothing=smoothing))

    factor = min(np.logspace(*TEMPERATURES).tolist(), key=loss)
    return Scored(series, scores, parameters + 1, factor)


def majority_class(labels: Numbers, classes: int) -> Scores:
    """Score every series by the log shares of the classes in training."""
    import numpy as np

    shares = np.log(np.bincount(labels, minlength=classes) / len(labels))
    return lambda series: np.tile(shares, (len(series), 1))


def summary_forest(series: Series, labels: Numbers, classes: int, seed: int) -> tuple[Scores, int]:
    """Fit a random forest to summaries of series; its parameters are the nodes of its trees."""
    import numpy as np
    from sklearn.ensemble import RandomForestClassifier

    forest = RandomForestClassifier(TREES, random_state=seed).fit(summaries(series), labels)

    def scores(series: Series) -> Numbers:
        shares = forest.predict_proba(summaries(series))
        # As if one more tree had no preference: no share is 0.
        smoothed: Numbers = np.log((TREES * shares + 1 / classes) / (TREES + 1))
        return smoothed

    return scores, sum(tree.tree_.node_count for tree in forest.estimators_)


def summaries(series: Series) -> Numbers:
    """Return features (series, 10 · channels + 1): ten summaries of each channel, and the length.

    They are mean, deviation, least, median, greatest, first and last value, slope over the series,
    mean absolute change, and autocorrelation at lag 1 (0 of a constant channel).
    """
    import numpy as np

    rows = []
    for values in series:
        steps = len(values)
        centred = values - values.mean(0)
        time = np.linspace(-0.5, 0.5, steps)[:, None] if steps > 1 else np.zeros((1, 1))
        power = (centred**2).sum(0)
        changes = np.abs(np.diff(values, axis=0)).sum(0) / max(steps - 1, 1)
        parts = [
            *(values.mean(0), values.std(0), values.min(0), np.median(values, 0), values.max(0)),
            *(values[0], values[-1], (time * centred).sum(0) / max(float((time**2).sum()), 1e-12)),
            changes,
            (centred[1:] * centred[:-1]).sum(0) / np.where(power > 0, power, 1.0),
        ]
        rows.append(np.concatenate([*parts, [steps]]))
    return np.stack(rows)


def nearest_neighbour(series: Series, labels: Numbers, classes: int) -> tuple[Scores, int]:
    """Score the class of the nearest training series 1; it stores all training values."""
    import numpy as np

    from tasks.series.aeon_methods import dtw_distances

    def scores(queries: Series) -> Numbers:
        nearest = dtw_distances(queries, series).argmin(1)
        votes: Numbers = np.eye(classes)[labels[nearest]]
        return votes

    return scores, sum(values.size for values in series)


def minirocket_ridge(
    series: Series, labels: Numbers, classes: int, seed: int
) -> tuple[Scores, int]:
    """Fit a ridge classifier, its penalty by leave-one-out, to standardised MiniRocket features."""
    import numpy as np
    from sklearn.linear_model import RidgeClassifierCV
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    from tasks.series.aeon_methods import MINIMUM_STEPS, new_minirocket

    steps = max(MINIMUM_STEPS, *(len(values) for values in series))
    rocket = new_minirocket(seed)
    features = rocket.fit_transform(padded(series, steps))
    ridge = RidgeClassifierCV(np.logspace(*ALPHAS))
    classifier = make_pipeline(StandardScaler(), ridge).fit(features, labels)

    def scores(queries: Series) -> Numbers:
        decisions: Numbers = classifier.decision_function(rocket.transform(padded(queries, steps)))
        return decisions if classes > 2 else np.stack([-decisions, decisions], axis=1)

    return scores, ridge.coef_.size + ridge.intercept_.size + 2 * features.shape[1]


def padded(series: Series, steps: int) -> Numbers:
    """Return series (series, channels, steps), padded with 0, the mean of training, or cut."""
    import numpy as np

    result = np.zeros((len(series), series[0].shape[1], steps))
    for row, values in zip(result, series, strict=True):
        row[:, : len(values)] = values[:steps].T
    return result
