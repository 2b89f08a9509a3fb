"""Baselines for documents: the majority class, linear models of n-grams, mean embeddings."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from tasks.base import Baseline, DataError, FittedBaseline, Split
from tasks.common.classification import cross_entropy
from tasks.text.tokenizer import Texts

if TYPE_CHECKING:
    import numpy as np
    from torch import Tensor

    Numbers = np.ndarray[Any, Any]

LINEAR = ("sklearn.feature_extraction.text", "sklearn.linear_model")
NB_HELP = "weighted by naive Bayes, logistic regression (Wang and Manning 2012)"
EMBEDDING = Baseline(
    "classical",
    "mean of trained word embeddings, linear output (fastText, Joulin et al. 2016)",
    is_seeded=True,
    needs=(*LINEAR[:1], "torch._dynamo"),  # the first optimiser of a process imports it
)

IMDB_BASELINES = {
    "majority_class": Baseline(
        "naive", "log-odds of the more frequent label of training, positive in a tie"
    ),
    "tfidf_unigram_lr": Baseline("classical", "TF-IDF of words, logistic regression", needs=LINEAR),
    "tfidf_bigram_lr": Baseline(
        "classical", "TF-IDF of words and pairs of words, logistic regression", needs=LINEAR
    ),
    "nb_bigram_lr": Baseline("classical", f"words and pairs of words {NB_HELP}", needs=LINEAR),
    "mean_embedding": EMBEDDING,
}

BASELINES = {
    "majority_class": Baseline("naive", "log-frequencies of the classes in training"),
    "tfidf_lr": Baseline(
        "classical",
        "TF-IDF of words and pairs of words, logistic regression; 1 to 4 characters in place of "
        "words if task.tokenizer is not word",
        needs=LINEAR,
    ),
    "nb_lr": Baseline(
        "classical", f"words and pairs of words, or 1 to 4 characters, {NB_HELP}", needs=LINEAR
    ),
    "mean_embedding": EMBEDDING,
}

TFIDF_C = 10.0
NB_C = 0.1
SMOOTHING = 1.0  # of the counts: alpha in Wang and Manning (2012)
LONGEST_CHARACTERS = 4

# Width and epochs of the paper, which uses gradient steps on single documents instead of Adam.
EMBEDDING_WIDTH = 10
EMBEDDING_EPOCHS = 5
EMBEDDING_BATCH_SIZE = 32
EMBEDDING_STEPS = 500  # at least: a small training split has more epochs


@dataclass(frozen=True)
class Corpus:
    """What a baseline is fitted to: texts and labels (documents,) of the splits."""

    texts: Mapping[Split, Texts]
    labels: Mapping[Split, Numbers]
    classes: int = 2
    has_words: bool = True  # False: n-grams of characters in place of words


@dataclass
class Constant(FittedBaseline):
    """The same outputs for every document: log-odds (), or log-frequencies (classes,)."""

    constant: Tensor
    parameters: int = 1

    def outputs(self, split: Split, items: Tensor) -> Tensor:
        """See `FittedBaseline.outputs`."""
        return self.constant.to(items.device).expand(len(items), *self.constant.shape)


@dataclass
class Linear(FittedBaseline):
    """Outputs that are linear in the features of a text, extracted by a fitted vectoriser.

    Attributes:
        weights: (features,) or (features, classes).
        intercept: a number or (classes,).
        one_versus_rest: the outputs are log-odds of each class against all others.
    """

    texts: Mapping[Split, Texts]
    vectoriser: Any
    weights: Numbers
    intercept: Any
    parameters: int
    one_versus_rest: bool = False

    def outputs(self, split: Split, items: Tensor) -> Tensor:
        """See `FittedBaseline.outputs`; a latency includes the extraction of the features."""
        import torch

        features = self.vectoriser.transform(self.texts[split].read(items.tolist()))
        outputs = torch.from_numpy(features @ self.weights + self.intercept)
        if self.one_versus_rest:
            outputs = torch.nn.functional.logsigmoid(outputs)
        return outputs.to(items.device, torch.float32)


def fit(name: str, corpus: Corpus, seed: int) -> FittedBaseline:
    """Fit one of the baselines to the training split.

    Raises:
        DataError: no n-gram occurs in two documents.
    """
    fits: dict[str, Callable[[], FittedBaseline]] = {
        "majority_class": lambda: majority_class(corpus.labels["train"], corpus.classes),
        "tfidf_unigram_lr": lambda: tfidf(corpus, longest=1),
        "tfidf_bigram_lr": lambda: tfidf(corpus, longest=2),
        "tfidf_lr": lambda: tfidf(corpus, longest=2),
        "nb_bigram_lr": lambda: naive_bayes_weighted(corpus),
        "nb_lr": lambda: naive_bayes_weighted(corpus),
        "mean_embedding": lambda: mean_embedding(corpus, seed),
    }
    return fits[name]()


def majority_class(labels: Numbers, classes: int = 2) -> Constant:
    """Predict the log-odds, or log-frequencies, of training for every document."""
    import numpy as np
    import torch

    if classes > 2:
        shares = np.bincount(labels, minlength=classes) / len(labels)
        return Constant(torch.from_numpy(np.log(shares)).float(), classes)
    positive = int((labels > 0).sum())
    log_odds = math.log(positive / (len(labels) - positive))
    # A tie, as in the balanced data, counts as positive: just above 0, the decision threshold.
    return Constant(torch.tensor(log_odds or torch.finfo(torch.float32).eps))


def tfidf(corpus: Corpus, longest: int) -> Linear:
    """Fit a logistic regression to TF-IDF features with 1 + log counts, normalised per document."""
    from sklearn.feature_extraction.text import TfidfVectorizer

    vectoriser = TfidfVectorizer(**features_of(corpus, longest), sublinear_tf=True)
    features = fitted(vectoriser, corpus)
    weights, intercept = one_per_class(
        lambda labels: logistic_regression(features, labels, TFIDF_C), corpus
    )
    parameters = features.shape[1] + weights.size + intercept.size
    return Linear(corpus.texts, vectoriser, weights, intercept, parameters, corpus.classes > 2)


def one_per_class(
    fit_one: Callable[[Numbers], tuple[Numbers, float]], corpus: Corpus
) -> tuple[Numbers, Numbers]:
    """Return weights (features,) and intercept () of two classes, else of each against the rest.

    Args:
        fit_one: returns weights and intercept for labels (documents,) of 0 and 1.
        corpus: with more than two classes, the results have a last dimension (classes,).
    """
    import numpy as np

    labels = corpus.labels["train"]
    if corpus.classes == 2:
        weights, intercept = fit_one(labels)
        return weights, np.asarray(intercept)
    fits = [fit_one((labels == label).astype("int8")) for label in range(corpus.classes)]
    return np.stack([each[0] for each in fits], axis=1), np.array([each[1] for each in fits])


def fitted(vectoriser: Any, corpus: Corpus) -> Any:
    """Fit a vectoriser to the training texts and return their features."""
    texts = corpus.texts["train"].read()
    try:
        return vectoriser.fit_transform(texts)
    except ValueError as error:  # scikit-learn's "no terms remain" and "empty vocabulary"
        what = "word" if corpus.has_words else "character"
        raise DataError(
            f"no {what} occurs in two of the {len(texts)} training documents, as baselines require"
        ) from error


def naive_bayes_weighted(corpus: Corpus) -> Linear:
    """Fit a logistic regression to n-grams scaled by log-count ratios (Mesnil et al. 2015)."""
    from sklearn.feature_extraction.text import CountVectorizer

    vectoriser = CountVectorizer(**features_of(corpus, 2), binary=True)
    features = fitted(vectoriser, corpus).astype(float)

    def fit_one(labels: Numbers) -> tuple[Numbers, float]:
        ratios = log_count_ratios(features, labels)
        scaled = features.multiply(ratios).tocsr()
        weights, intercept = logistic_regression(scaled, labels, NB_C)
        return ratios * weights, intercept

    weights, intercept = one_per_class(fit_one, corpus)
    parameters = weights.size + intercept.size
    return Linear(corpus.texts, vectoriser, weights, intercept, parameters, corpus.classes > 2)


def log_count_ratios(features: Any, labels: Numbers) -> Numbers:
    """Compute the log ratios (features,) of the smoothed shares of each label's counts."""
    import numpy as np

    positive, negative = (SMOOTHING + features[labels == label].sum(0).A1 for label in (1, 0))
    ratios: Numbers = np.log(positive / positive.sum()) - np.log(negative / negative.sum())
    return ratios


def mean_embedding(corpus: Corpus, seed: int) -> Linear:
    """Fit a linear classifier of mean embeddings, and reduce it to the weights of each word."""
    from sklearn.feature_extraction.text import TfidfVectorizer

    vectoriser = TfidfVectorizer(**features_of(corpus, 1), use_idf=False, norm="l1")
    shares: dict[Split, Any] = {
        "train": fitted(vectoriser, corpus),
        "validation": vectoriser.transform(corpus.texts["validation"].read()),
    }
    embeddings, head, bias = train_embeddings(shares, corpus.labels, seed, corpus.classes)
    parameters = embeddings.numel() + head.numel() + bias.numel()
    weights = (embeddings @ head).numpy()
    return Linear(corpus.texts, vectoriser, weights, bias.numpy(), parameters)


def train_embeddings(
    shares: Mapping[Split, Any], labels: Mapping[Split, Numbers], seed: int, classes: int = 2
) -> tuple[Tensor, ...]:
    """Train on shares (documents, words) of words; return the weights of the best epoch.

    The weights are embeddings (words, width), head (width,) and bias (), or head (width, classes)
    and bias (classes,).
    """
    import torch

    generator = torch.Generator().manual_seed(seed)
    documents, words = shares["train"].shape
    bound = 1 / EMBEDDING_WIDTH
    embeddings = torch.empty(words, EMBEDDING_WIDTH).uniform_(-bound, bound, generator=generator)
    shape = () if classes == 2 else (classes,)
    weights = [embeddings, torch.zeros(EMBEDDING_WIDTH, *shape), torch.zeros(shape)]
    for weight in weights:
        weight.requires_grad_()

    def loss_of(part: Any, targets: Tensor) -> Tensor:
        return cross_entropy(mean_logits(part, *weights), targets, "mean")

    targets = torch.from_numpy(labels["train"])
    validation_targets = torch.from_numpy(labels["validation"])
    optimiser = torch.optim.Adam(weights, 1e-2)
    steps_per_epoch = -(-documents // EMBEDDING_BATCH_SIZE)
    epochs = max(EMBEDDING_EPOCHS, -(-EMBEDDING_STEPS // steps_per_epoch))
    decay = torch.optim.lr_scheduler.LinearLR(optimiser, 1.0, 0.0, epochs * steps_per_epoch)
    least, best = math.inf, weights
    for _ in range(epochs):
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
    """Return outputs (documents, ...) from the mean embedding of each document's words."""
    import torch

    means = torch.nn.functional.embedding_bag(
        torch.from_numpy(shares.indices).long(),
        embeddings,
        torch.from_numpy(shares.indptr[:-1]).long(),
        mode="sum",
        per_sample_weights=torch.from_numpy(shares.data).float(),
    )
    return means @ head + bias


def features_of(corpus: Corpus, longest: int) -> dict[str, Any]:
    """Return a vectoriser's options: words, or characters of languages without words."""
    if corpus.has_words:
        return word_options(longest)
    options = {"analyzer": "char", "ngram_range": (1, LONGEST_CHARACTERS), "token_pattern": None}
    return word_options(longest) | options


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
