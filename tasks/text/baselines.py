"""Baselines for reviews: the majority class, and linear models of words and of pairs of words.

All read the raw text and take it apart as the nets' tokeniser does, but know every word that two
reviews of training hold. Their settings are the usual ones; validation chooses nothing but the
epoch of the mean embeddings.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from tasks.base import Baseline, FittedBaseline, Split
from tasks.text.tokenizer import Texts

if TYPE_CHECKING:
    import numpy as np
    from torch import Tensor

    Numbers = np.ndarray[Any, Any]

BASELINES = {
    "majority_class": Baseline(
        "naive", "the more frequent label of training, positive in a tie, as its log-odds"
    ),
    "tfidf_unigram_lr": Baseline("classical", "TF-IDF of words, logistic regression"),
    "tfidf_bigram_lr": Baseline(
        "classical", "TF-IDF of words and pairs of words, logistic regression"
    ),
    "nb_bigram_lr": Baseline(
        "classical",
        "words and pairs of words weighted by naive Bayes, logistic regression "
        "(Wang and Manning 2012)",
    ),
    "mean_embedding": Baseline(
        "classical",
        "mean of learnt word embeddings, linear output (fastText, Joulin et al. 2016)",
        is_seeded=True,
    ),
}

TOKEN = r"\w+|[^\w\s]+"
LEAST_REVIEWS = 2
"""Words and pairs that fewer training reviews hold are left out."""

TFIDF_C = 10.0
NB_C = 0.1
"""Inverse strengths of the L2 penalty, as scikit-learn has them."""

SMOOTHING = 1.0
"""Added to the count of every feature in either label: alpha in Wang and Manning (2012)."""

MOST_PASSES = 1000


class Constant(FittedBaseline):
    """One logit for every review."""

    parameters = 1

    def __init__(self, logit: float) -> None:
        self.logit = logit

    def outputs(self, split: Split, items: Tensor) -> Tensor:
        """See `FittedBaseline.outputs`."""
        import torch

        return torch.full((len(items),), self.logit, device=items.device)


class Linear(FittedBaseline):
    """A logit that is linear in what a vectoriser makes of a review's text.

    Args:
        texts: the reviews of each split.
        vectoriser: fitted, with `transform`.
        weights: (features,).
        intercept: added to their sum.
        parameters: see `FittedBaseline`.
    """

    def __init__(
        self,
        texts: Mapping[Split, Texts],
        vectoriser: Any,
        weights: Numbers,
        intercept: float,
        parameters: int,
    ) -> None:
        self.texts = texts
        self.vectoriser = vectoriser
        self.weights = weights
        self.intercept = intercept
        self.parameters = parameters

    def outputs(self, split: Split, items: Tensor) -> Tensor:
        """Read the reviews, so that a latency counts what it takes to find their words."""
        import torch

        features = self.vectoriser.transform(self.texts[split].read(items.tolist()))
        logits = features @ self.weights + self.intercept
        return torch.from_numpy(logits).to(items.device, torch.float32)


def fit(
    name: str, texts: Mapping[Split, Texts], labels: Mapping[Split, Numbers], seed: int
) -> FittedBaseline:
    """Fit a baseline to the training split.

    Args:
        name: one of `BASELINES`.
        texts: the reviews of each split.
        labels: (reviews,) 0 or 1, of each split.
        seed: of the mean embeddings.
    """
    fits: dict[str, Callable[[], FittedBaseline]] = {
        "majority_class": lambda: majority_class(labels["train"]),
        "tfidf_unigram_lr": lambda: tfidf(texts, labels["train"], longest=1),
        "tfidf_bigram_lr": lambda: tfidf(texts, labels["train"], longest=2),
        "nb_bigram_lr": lambda: naive_bayes_weighted(texts, labels["train"]),
        "mean_embedding": lambda: mean_embedding(texts, labels, seed),
    }
    return fits[name]()


def majority_class(labels: Numbers) -> Constant:
    """Give every review the log-odds of training."""
    import torch

    positive = int((labels > 0).sum())
    log_odds = math.log(positive / (len(labels) - positive))
    # A tie, as in the balanced data, is positive: just above 0, where the line is drawn.
    return Constant(log_odds or torch.finfo(torch.float32).eps)


def tfidf(texts: Mapping[Split, Texts], labels: Numbers, longest: int) -> Linear:
    """Fit a logistic regression to 1 + log counts, weighted by idf, each review's of length 1.

    Args:
        texts: the reviews of each split.
        labels: (reviews,) 0 or 1, of the training split.
        longest: words in a row that are a feature, at most.
    """
    from sklearn.feature_extraction.text import TfidfVectorizer

    vectoriser = TfidfVectorizer(**words(longest), sublinear_tf=True)
    features = vectoriser.fit_transform(everything(texts["train"]))
    weights, intercept = logistic_regression(features, labels, TFIDF_C)
    return Linear(texts, vectoriser, weights, intercept, 2 * len(weights) + 1)


def naive_bayes_weighted(texts: Mapping[Split, Texts], labels: Numbers) -> Linear:
    """Fit a logistic regression to words and pairs that occur, scaled by their log-count ratios.

    Wang and Manning (2012) fit a support vector machine and draw its weights towards their mean;
    logistic regression alone, as in Mesnil et al. (2015), reaches the same.
    """
    from sklearn.feature_extraction.text import CountVectorizer

    vectoriser = CountVectorizer(**words(2), binary=True)
    features = vectoriser.fit_transform(everything(texts["train"])).astype(float)
    ratios = log_count_ratios(features, labels)
    weights, intercept = logistic_regression(features.multiply(ratios).tocsr(), labels, NB_C)
    return Linear(texts, vectoriser, ratios * weights, intercept, len(weights) + 1)


def log_count_ratios(features: Any, labels: Numbers) -> Numbers:
    """Return how much more often each feature occurs in positive reviews, as naive Bayes has it.

    Args:
        features: (reviews, features) sparse, 1 where a review holds a feature.
        labels: (reviews,) 0 or 1.

    Returns:
        (features,) log of the ratio of the feature's smoothed shares of either label's counts.
    """
    import numpy as np

    positive, negative = (SMOOTHING + features[labels == label].sum(0).A1 for label in (1, 0))
    ratios: Numbers = np.log(positive / positive.sum()) - np.log(negative / negative.sum())
    return ratios


def mean_embedding(
    texts: Mapping[Split, Texts], labels: Mapping[Split, Numbers], seed: int
) -> Linear:
    """Fit word embeddings whose mean is classified, and fold them into a weight per word.

    The mean of embeddings times the head's weights is the mean of each embedding times them.
    """
    from sklearn.feature_extraction.text import TfidfVectorizer

    from tasks.text.mean_embedding import train

    vectoriser = TfidfVectorizer(**words(1), use_idf=False, norm="l1")
    shares = vectoriser.fit_transform(everything(texts["train"]))
    held_out_shares = vectoriser.transform(everything(texts["validation"]))
    net = train(shares, labels["train"], held_out_shares, labels["validation"], seed)
    weights = (net.embeddings @ net.head).detach().numpy()
    parameters = sum(parameter.numel() for parameter in net.parameters())
    return Linear(texts, vectoriser, weights, net.bias.item(), parameters)


def words(longest: int) -> dict[str, Any]:
    """Return a vectoriser's settings: what a word is, and how many in a row are a feature."""
    return {
        "preprocessor": without_breaks,
        "token_pattern": TOKEN,
        "ngram_range": (1, longest),
        "min_df": LEAST_REVIEWS,
    }


def without_breaks(text: str) -> str:
    """Lower case, without the line breaks of web reviews."""
    return text.replace("<br />", " ").lower()


def everything(texts: Texts) -> list[str]:
    """Read all texts."""
    return texts.read(range(len(texts)))


def logistic_regression(features: Any, labels: Numbers, c: float) -> tuple[Numbers, float]:
    """Fit weights and intercept under an L2 penalty, to the optimum.

    In the dual, which is fast where features outnumber reviews.
    """
    from sklearn.linear_model import LogisticRegression

    model = LogisticRegression(
        C=c, solver="liblinear", dual=True, max_iter=MOST_PASSES, random_state=0
    ).fit(features, labels)
    return model.coef_[0], float(model.intercept_[0])
