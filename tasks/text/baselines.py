"""Baselines for documents: the majority class, linear models of n-grams, mean word embeddings."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from tasks.base import Baseline, FittedBaseline, Split
from tasks.text.tokenizer import Texts

if TYPE_CHECKING:
    import numpy as np
    from torch import Tensor

    Numbers = np.ndarray[Any, Any]

BASELINES = {
    "majority_class": Baseline(
        "naive", "log-odds of the more frequent label of training, positive in a tie"
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
        "mean of trained word embeddings, linear output (fastText, Joulin et al. 2016)",
        is_seeded=True,
    ),
}

TFIDF_C = 10.0
NB_C = 0.1
SMOOTHING = 1.0  # of the counts: alpha in Wang and Manning (2012)

# Width and epochs of the paper, which uses gradient steps on single documents instead of Adam.
EMBEDDING_WIDTH = 10
EMBEDDING_EPOCHS = 5
EMBEDDING_BATCH_SIZE = 32


@dataclass
class Constant(FittedBaseline):
    """The same logit for every document."""

    logit: float
    parameters: int = 1

    def outputs(self, split: Split, items: Tensor) -> Tensor:
        """See `FittedBaseline.outputs`."""
        import torch

        return torch.full((len(items),), self.logit, device=items.device)


@dataclass
class Linear(FittedBaseline):
    """A logit that is linear in the features of a text, extracted by a fitted vectoriser."""

    texts: Mapping[Split, Texts]
    vectoriser: Any
    weights: Numbers
    intercept: float
    parameters: int

    def outputs(self, split: Split, items: Tensor) -> Tensor:
        """See `FittedBaseline.outputs`; a latency includes the extraction of the features."""
        import torch

        features = self.vectoriser.transform(self.texts[split].read(items.tolist()))
        logits = features @ self.weights + self.intercept
        return torch.from_numpy(logits).to(items.device, torch.float32)


def fit(
    name: str, texts: Mapping[Split, Texts], labels: Mapping[Split, Numbers], seed: int
) -> FittedBaseline:
    """Fit one of `BASELINES` to texts and labels (documents,), 0 or 1, of the training split."""
    fits: dict[str, Callable[[], FittedBaseline]] = {
        "majority_class": lambda: majority_class(labels["train"]),
        "tfidf_unigram_lr": lambda: tfidf(texts, labels["train"], longest=1),
        "tfidf_bigram_lr": lambda: tfidf(texts, labels["train"], longest=2),
        "nb_bigram_lr": lambda: naive_bayes_weighted(texts, labels["train"]),
        "mean_embedding": lambda: mean_embedding(texts, labels, seed),
    }
    return fits[name]()


def majority_class(labels: Numbers) -> Constant:
    """Predict the log-odds of training for every document."""
    import torch

    positive = int((labels > 0).sum())
    log_odds = math.log(positive / (len(labels) - positive))
    # A tie, as in the balanced data, counts as positive: just above 0, the decision threshold.
    return Constant(log_odds or torch.finfo(torch.float32).eps)


def tfidf(texts: Mapping[Split, Texts], labels: Numbers, longest: int) -> Linear:
    """Fit a logistic regression to TF-IDF features with 1 + log counts, normalised per document."""
    from sklearn.feature_extraction.text import TfidfVectorizer

    vectoriser = TfidfVectorizer(**word_options(longest), sublinear_tf=True)
    features = vectoriser.fit_transform(texts["train"].read())
    weights, intercept = logistic_regression(features, labels, TFIDF_C)
    return Linear(texts, vectoriser, weights, intercept, 2 * len(weights) + 1)


def naive_bayes_weighted(texts: Mapping[Split, Texts], labels: Numbers) -> Linear:
    """Fit a logistic regression to n-grams scaled by log-count ratios (Mesnil et al. 2015)."""
    from sklearn.feature_extraction.text import CountVectorizer

    vectoriser = CountVectorizer(**word_options(2), binary=True)
    features = vectoriser.fit_transform(texts["train"].read()).astype(float)
    ratios = log_count_ratios(features, labels)
    weights, intercept = logistic_regression(features.multiply(ratios).tocsr(), labels, NB_C)
    return Linear(texts, vectoriser, ratios * weights, intercept, len(weights) + 1)


def log_count_ratios(features: Any, labels: Numbers) -> Numbers:
    """Compute the log ratios (features,) of the smoothed shares of each label's counts."""
    import numpy as np

    positive, negative = (SMOOTHING + features[labels == label].sum(0).A1 for label in (1, 0))
    ratios: Numbers = np.log(positive / positive.sum()) - np.log(negative / negative.sum())
    return ratios


def mean_embedding(
    texts: Mapping[Split, Texts], labels: Mapping[Split, Numbers], seed: int
) -> Linear:
    """Fit a linear classifier of mean word embeddings, and reduce it to one weight per word."""
    from sklearn.feature_extraction.text import TfidfVectorizer

    vectoriser = TfidfVectorizer(**word_options(1), use_idf=False, norm="l1")
    shares: dict[Split, Any] = {
        "train": vectoriser.fit_transform(texts["train"].read()),
        "validation": vectoriser.transform(texts["validation"].read()),
    }
    embeddings, head, bias = train_embeddings(shares, labels, seed)
    parameters = embeddings.numel() + head.numel() + bias.numel()
    return Linear(texts, vectoriser, (embeddings @ head).numpy(), bias.item(), parameters)


def train_embeddings(
    shares: Mapping[Split, Any], labels: Mapping[Split, Numbers], seed: int
) -> tuple[Tensor, ...]:
    """Train on shares (documents, words) of words; return the weights of the best epoch.

    The weights are embeddings (words, width), head (width,) and bias ().
    """
    import torch
    from torch.nn import functional as F

    generator = torch.Generator().manual_seed(seed)
    documents, words = shares["train"].shape
    bound = 1 / EMBEDDING_WIDTH
    embeddings = torch.empty(words, EMBEDDING_WIDTH).uniform_(-bound, bound, generator=generator)
    weights = [embeddings, torch.zeros(EMBEDDING_WIDTH), torch.zeros(())]
    for weight in weights:
        weight.requires_grad_()

    def loss_of(part: Any, targets: Tensor) -> Tensor:
        return F.binary_cross_entropy_with_logits(mean_logits(part, *weights), targets)

    targets = torch.from_numpy(labels["train"]).float()
    validation_targets = torch.from_numpy(labels["validation"]).float()
    optimiser = torch.optim.Adam(weights, 1e-2)
    steps = EMBEDDING_EPOCHS * -(-documents // EMBEDDING_BATCH_SIZE)
    decay = torch.optim.lr_scheduler.LinearLR(optimiser, 1.0, 0.0, steps)
    least, best = math.inf, weights
    for _ in range(EMBEDDING_EPOCHS):
        order = torch.randperm(documents, generator=generator)
        for start in range(0, documents, EMBEDDING_BATCH_SIZE):
            group = order[start : start + EMBEDDING_BATCH_SIZE]
            loss = loss_of(shares["train"][group.numpy()], targets[group])
            optimiser.zero_grad()
            # PyTorch's `backward` has no annotations.
            loss.backward()  # type: ignore[no-untyped-call]
            optimiser.step()
            decay.step()
        with torch.no_grad():
            loss = loss_of(shares["validation"], validation_targets)
        if loss.item() < least:
            least, best = loss.item(), [weight.detach().clone() for weight in weights]
    return tuple(best)


def mean_logits(shares: Any, embeddings: Tensor, head: Tensor, bias: Tensor) -> Tensor:
    """Return logits (documents,) from the mean embedding of each document's words."""
    import torch

    means = torch.nn.functional.embedding_bag(
        torch.from_numpy(shares.indices).long(),
        embeddings,
        torch.from_numpy(shares.indptr[:-1]).long(),
        mode="sum",
        per_sample_weights=torch.from_numpy(shares.data).float(),
    )
    return means @ head + bias


def word_options(longest: int) -> dict[str, Any]:
    """Return a vectoriser's options: the networks' words, if in at least two documents."""
    return {
        "preprocessor": lambda text: text.replace("<br />", " ").lower(),
        "token_pattern": r"\w+|[^\w\s]+",
        "ngram_range": (1, longest),
        "min_df": 2,
    }


def logistic_regression(features: Any, labels: Numbers, c: float) -> tuple[Numbers, float]:
    """Return weights and intercept; the dual is faster where features outnumber documents."""
    from sklearn.linear_model import LogisticRegression

    model = LogisticRegression(
        C=c, solver="liblinear", dual=True, max_iter=1000, random_state=0
    ).fit(features, labels)
    return model.coef_[0], float(model.intercept_[0])
