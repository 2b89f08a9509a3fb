"""Binary sentiment of IMDB reviews (Maas et al. 2011); the metric is accuracy."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from tasks.base import (
    Arrays,
    Batch,
    Cache,
    DataDescription,
    DataError,
    Metric,
    SequenceEncoder,
    Split,
    Task,
    TaskSettings,
)
from tasks.imdb_sources import Source, find_source
from tasks.text import PADDING, UNKNOWN, cut_to_length, encode, train_tokenizer

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd
    import torch
    from torch import Tensor, nn

VALIDATION_PART = 0.1
VALIDATION_SEED = 20110619  # chosen by the task: every run and model validates on the same reviews

BATCHES_PER_BUCKET = 50
"""Training shuffles, then sorts this many batches by length at a time, so that batches hold reviews
of similar length and are still drawn anew each epoch."""


@dataclass
class ImdbSettings(TaskSettings):
    """Whether a film review is positive or negative."""

    name: ClassVar[str] = "imdb"
    metric: ClassVar[Metric] = Metric("accuracy", "share of reviews", higher_is_better=True)

    source: str = field(
        default="auto",
        metadata={
            "identity": False,
            "help": "auto (the hub's copy if it can be had, else the bundled subset), hub, "
            "bundled, or a folder with train/test parquet or the aclImdb tree",
        },
    )
    vocabulary_size: int = field(
        default=20_000, metadata={"minimum": 3, "help": "tokens kept, the most frequent first"}
    )
    minimum_count: int = field(
        default=2, metadata={"minimum": 1, "help": "times a token must occur in training"}
    )
    max_length: int = field(
        default=400,
        metadata={"minimum": 2, "help": "tokens per review; longer ones keep head and tail"},
    )
    embedding_size: int = field(default=128, metadata={"minimum": 1, "help": "per token"})
    embedding_dropout: float = field(
        default=0.3,
        metadata={
            "minimum": 0.0,
            "below": 1.0,
            "help": "probability of dropping an embedding dimension for a whole review",
        },
    )
    word_dropout: float = field(
        default=0.1,
        metadata={
            "minimum": 0.0,
            "below": 1.0,
            "help": "probability of hiding a token in training",
        },
    )
    pooling: str = field(
        default="mean_max",
        metadata={
            "choices": ("last", "mean", "max", "mean_max"),
            "help": "how the outputs of a review's steps become one",
        },
    )

    def check(self) -> None:
        """Refuse a source that is neither a known word nor a folder."""
        if self.source not in ("auto", "hub", "bundled") and not Path(self.source).is_dir():
            raise DataError(
                f"task.source={self.source}: there is no such folder "
                f"(allowed: auto, hub, bundled or a folder)"
            )

    def load(self, cache: Cache) -> Task:
        """Read the reviews, or their token ids where an earlier run left them."""
        import tokenizers

        source = find_source(self.source)
        question = (
            f"{source.content_key} {self.vocabulary_size} {self.minimum_count} "
            f"v{self.version} tokenizers {tokenizers.__version__}"
        )
        key = f"imdb-{hashlib.sha256(question.encode()).hexdigest()[:32]}"
        arrays, facts = cache(
            key, lambda: tokenise(source.read(), self.vocabulary_size, self.minimum_count)
        )
        return ImdbTask(self, source, arrays, facts)


def tokenise(
    frames: dict[str, pd.DataFrame], vocabulary_size: int, minimum_count: int
) -> tuple[Arrays, dict[str, Any]]:
    """Split the training reviews, build the vocabulary on what stays, encode everything.

    Returns:
        Arrays `SPLIT_tokens`, `SPLIT_offsets` and `SPLIT_labels`, and facts about the data.
    """
    ordered = {split: in_canonical_order(frame) for split, frame in frames.items()}
    digest = hashlib.sha256()
    for split, frame in ordered.items():
        for text_hash, label in zip(frame["hash"], frame["label"], strict=True):
            digest.update(f"{split} {text_hash} {label}\n".encode())
    train = ordered["train"]
    held_out = choose_validation(train)
    parts = {
        "train": train[~held_out],
        "validation": train[held_out],
        "test": ordered["test"],
    }
    tokenizer = train_tokenizer(parts["train"]["text"].tolist(), vocabulary_size, minimum_count)
    arrays: Arrays = {}
    for split, frame in parts.items():
        tokens, offsets = encode(tokenizer, frame["text"].tolist())
        arrays[f"{split}_tokens"] = tokens
        arrays[f"{split}_offsets"] = offsets
        arrays[f"{split}_labels"] = frame["label"].to_numpy("int8")
    facts = {
        "sha256": digest.hexdigest(),
        "vocabulary_size": tokenizer.get_vocab_size(),
        "films_known": bool(train["movie"].notna().all()),
    }
    return arrays, facts


def in_canonical_order(frame: pd.DataFrame) -> pd.DataFrame:
    """Order reviews by a hash of their text, so that no run depends on the order in a file."""
    hashes = frame["text"].map(lambda text: hashlib.sha256(text.encode()).hexdigest())
    return frame.assign(hash=hashes).sort_values(["hash", "label"], kind="stable")


def choose_validation(train: pd.DataFrame) -> np.ndarray[Any, Any]:
    """Mark a tenth of each label's reviews, no film and no text being on both sides.

    Reviews of one film agree far more often than not, and a random split would share the film of
    almost every review: it would reward knowing films. Reviews are joined into groups that share a
    film or a text, and groups are taken in a fixed random order while they fit both labels' quota.

    Returns:
        A mask (reviews,).

    Raises:
        DataError: no group fits, for example because there is one film only.
    """
    import numpy as np

    group = groups_sharing(train)
    labels = train["label"].to_numpy()
    sizes = np.stack(
        [np.bincount(group[labels == label], minlength=group.max() + 1) for label in (0, 1)], axis=1
    )
    quota = np.maximum(1, np.round(VALIDATION_PART * sizes.sum(0)))
    taken = np.zeros(2)
    chosen = np.zeros(len(sizes), dtype=bool)
    for candidate in np.random.default_rng(VALIDATION_SEED).permutation(len(sizes)):
        if (taken + sizes[candidate] <= quota).all():
            chosen[candidate] = True
            taken += sizes[candidate]
    if not taken.all() or chosen.all():
        raise DataError(
            f"imdb: {len(train)} training reviews of {len(sizes)} films or texts cannot be split "
            f"into training and validation with both labels in each"
        )
    mask: np.ndarray[Any, Any] = chosen[group]
    return mask


def groups_sharing(train: pd.DataFrame) -> np.ndarray[Any, Any]:
    """Number the groups (reviews,) of reviews linked by a shared film or a shared text."""
    import numpy as np
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import connected_components

    texts = train["hash"].factorize()[0]
    # A review of an unknown film shares it with none.
    films = train["movie"].factorize()[0].astype(np.int64)
    unknown = films < 0
    films[unknown] = films.max() + 1 + np.arange(unknown.sum())
    nodes = texts.max() + 1 + films.max() + 1
    links = coo_array((np.ones(len(texts)), (texts, texts.max() + 1 + films)), shape=(nodes, nodes))
    component = connected_components(links, directed=False)[1][texts]
    groups: np.ndarray[Any, Any] = np.unique(component, return_inverse=True)[1]
    return groups


class ImdbTask(Task):
    """Reviews as ragged token ids, batched by length."""

    def __init__(
        self, settings: ImdbSettings, source: Source, arrays: Arrays, facts: dict[str, Any]
    ) -> None:
        import torch

        self.settings = settings
        self.vocabulary_size: int = facts["vocabulary_size"]
        self.input_size = settings.embedding_size
        self.reviews = {
            split: Reviews(
                *(
                    torch.from_numpy(array.copy())
                    for array in (
                        *cut_to_length(
                            arrays[f"{split}_tokens"],
                            arrays[f"{split}_offsets"],
                            settings.max_length,
                        ),
                        arrays[f"{split}_labels"],
                    )
                )
            )
            for split in ("train", "validation", "test")
        }
        shared = "film or text" if facts["films_known"] else "text (films unknown)"
        self.data = DataDescription(
            name=source.name,
            sha256=facts["sha256"],
            split=f"official test; validation 10% of train, no {shared} shared",
            train_size=len(self.reviews["train"]),
            validation_size=len(self.reviews["validation"]),
            test_size=len(self.reviews["test"]),
            unit="reviews",
            notice=source.notice,
        )

    def to(self, device: torch.device, dtype: torch.dtype) -> None:
        """See `Task.to`."""
        self.reviews = {split: reviews.to(device) for split, reviews in self.reviews.items()}

    def network(self, encoder: SequenceEncoder) -> nn.Module:
        """See `Task.network`."""
        from tasks.modules.classifier import SequenceClassifier

        return SequenceClassifier(
            encoder,
            self.vocabulary_size,
            self.settings.embedding_size,
            self.settings.pooling,
            self.settings.embedding_dropout,
            self.settings.word_dropout,
            UNKNOWN,
        )

    def steps_per_epoch(self, batch_size: int) -> int:
        """See `Task.steps_per_epoch`."""
        return math.ceil(len(self.reviews["train"]) / batch_size)

    def batches(
        self, split: Split, batch_size: int, order: np.random.Generator | None = None
    ) -> Iterator[Batch]:
        """Give reviews in batches of similar length; an evaluation goes from short to long."""
        import numpy as np

        reviews = self.reviews[split]
        if order is None:
            groups = np.split(
                np.argsort(reviews.lengths, kind="stable"),
                range(batch_size, len(reviews), batch_size),
            )
        else:
            groups = shuffled_by_length(reviews.lengths, batch_size, order)
        for group in groups:
            yield reviews.batch(group)

    def loss(self, outputs: Tensor, batch: Batch) -> Tensor:
        """Mean binary cross-entropy, in nats."""
        from torch.nn import functional as F

        return F.binary_cross_entropy_with_logits(outputs, batch.targets.to(outputs.dtype))

    def sums(self, outputs: Tensor, batch: Batch) -> dict[str, Tensor]:
        """Total cross-entropy, right answers and reviews."""
        from torch.nn import functional as F

        targets = batch.targets.to(outputs.dtype)
        nats = F.binary_cross_entropy_with_logits(outputs, targets, reduction="sum")
        right = ((outputs > 0) == (batch.targets > 0)).sum()
        return {"nats": nats, "right": right, "reviews": right.new_tensor(len(outputs))}

    def metrics(self, sums: dict[str, float]) -> dict[str, float]:
        """Accuracy and mean cross-entropy."""
        return {
            "loss": sums["nats"] / sums["reviews"],
            "accuracy": sums["right"] / sums["reviews"],
        }

    def single_sequences(self, count: int) -> Iterator[Batch]:
        """Give single validation reviews, in a fixed order that has nothing to do with length."""
        import numpy as np

        reviews = self.reviews["validation"]
        for i in range(count):
            yield reviews.batch(np.array([i % len(reviews)]))


class Reviews:
    """Reviews as one flat tensor of token ids.

    Args:
        tokens: (total,) ids.
        offsets: (reviews + 1,) where each begins and ends.
        labels: (reviews,) 0 or 1.
    """

    def __init__(self, tokens: Tensor, offsets: Tensor, labels: Tensor) -> None:
        self.tokens = tokens
        self.offsets = offsets
        self.labels = labels
        # Kept on the CPU as well: what a batch looks like is decided there, without waiting.
        self.lengths = offsets.diff().cpu().numpy()

    def __len__(self) -> int:
        return len(self.lengths)

    def to(self, device: torch.device) -> Reviews:
        """Return the reviews on a device."""
        return Reviews(self.tokens.to(device), self.offsets.to(device), self.labels.to(device))

    def batch(self, group: np.ndarray[Any, Any]) -> Batch:
        """Pad some reviews, given by number, to the longest of them."""
        import torch

        lengths = self.lengths[group]
        members = torch.from_numpy(group).to(self.tokens.device)
        begins = self.offsets[members].unsqueeze(1)
        valid = self.offsets[members + 1].unsqueeze(1) - begins
        steps = torch.arange(int(lengths.max()), device=self.tokens.device)
        # Places beyond a review's end point into the next one, or past the last; both are masked.
        places = (begins + steps).clamp_(max=len(self.tokens) - 1)
        inputs = self.tokens[places].masked_fill_(steps >= valid, PADDING)
        return Batch(
            inputs=inputs,
            targets=self.labels[members],
            lengths=valid.squeeze(1),
            tokens=int(lengths.sum()),
        )


def shuffled_by_length(
    lengths: np.ndarray[Any, Any], batch_size: int, order: np.random.Generator
) -> list[np.ndarray[Any, Any]]:
    """Cut a shuffle of all reviews into batches of similar length, in random order."""
    import numpy as np

    shuffled = order.permutation(len(lengths))
    bucket = batch_size * BATCHES_PER_BUCKET
    batches = []
    for start in range(0, len(shuffled), bucket):
        members = shuffled[start : start + bucket]
        members = members[np.argsort(lengths[members], kind="stable")]
        batches += np.split(members, range(batch_size, len(members), batch_size))
    return [batches[i] for i in order.permutation(len(batches))]
