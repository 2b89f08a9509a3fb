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
from tasks.imdb_preparation import FORM, tokenise
from tasks.imdb_sources import Source, find_source
from tasks.text import PADDING, UNKNOWN

if TYPE_CHECKING:
    import numpy as np
    import torch
    from torch import Tensor, nn

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
        default=0.5,
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
            f"v{self.version} form {FORM} tokenizers {tokenizers.__version__}"
        )
        key = f"imdb-{hashlib.sha256(question.encode()).hexdigest()[:32]}"
        arrays, facts = cache(
            key, lambda: tokenise(source.read(), self.vocabulary_size, self.minimum_count)
        )
        return ImdbTask(self, source, arrays, facts)


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
                torch.from_numpy(arrays[f"{split}_tokens"]),
                torch.from_numpy(arrays[f"{split}_offsets"]),
                torch.from_numpy(arrays[f"{split}_labels"]),
                settings.max_length,
            )
            for split in ("train", "validation", "test")
        }
        trained = len(self.reviews["train"]) + len(self.reviews["validation"])
        known = facts["films_known"]
        films = {trained: "no film or text shared", 0: "no text shared (films unknown)"}.get(
            known, f"no text shared, no film where known ({known:,} of {trained:,})"
        )
        self.data = DataDescription(
            name=source.name,
            sha256=facts["sha256"],
            split=f"official test; validation 10% of train, {films}, "
            f"sha256 {facts['validation_sha256'][:8]}",
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
    """Reviews as one flat tensor of token ids, shortened as they are batched.

    A review of more than `max_length` tokens keeps its first quarter of them and its last three: it
    says what it thinks in its opening and, more often, in its last lines.

    Args:
        tokens: (total,) ids of the whole reviews.
        offsets: (reviews + 1,) where each begins and ends.
        labels: (reviews,) 0 or 1.
        max_length: tokens a batch may hold of one review.
    """

    def __init__(self, tokens: Tensor, offsets: Tensor, labels: Tensor, max_length: int) -> None:
        self.tokens = tokens
        self.offsets = offsets
        self.labels = labels
        self.max_length = max_length
        # Kept on the CPU as well: what a batch looks like is decided there, without waiting.
        self.lengths = offsets.diff().clamp(max=max_length).cpu().numpy()

    def __len__(self) -> int:
        return len(self.lengths)

    def to(self, device: torch.device) -> Reviews:
        """Return the reviews on a device."""
        return Reviews(
            self.tokens.to(device),
            self.offsets.to(device),
            self.labels.to(device),
            self.max_length,
        )

    def batch(self, group: np.ndarray[Any, Any]) -> Batch:
        """Pad some reviews, given by number, to the longest of them."""
        import torch

        lengths = self.lengths[group]
        members = torch.from_numpy(group).to(self.tokens.device)
        begins = self.offsets[members].unsqueeze(1)
        whole = self.offsets[members + 1].unsqueeze(1) - begins
        valid = whole.clamp(max=self.max_length)
        steps = torch.arange(int(lengths.max()), device=self.tokens.device)
        left_out = (whole - valid) * (steps >= self.max_length // 4)
        # Places beyond a review's end point into the next one, or past the last; both are masked.
        places = (begins + steps + left_out).clamp_(max=len(self.tokens) - 1)
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
