"""Sentiment of IMDB reviews (Maas et al. 2011) in two classes; the metric is accuracy."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

from tasks.base import (
    SPLITS,
    Arrays,
    Baseline,
    Batch,
    Cache,
    DataDescription,
    FittedBaseline,
    Metric,
    SequenceEncoder,
    Split,
    Task,
    TaskSettings,
    setting,
)
from tasks.text.baselines import BASELINES, fit
from tasks.text.batches import Reviews, shuffled_by_length
from tasks.text.preparation import FORM, VALIDATION_SEED, tokenise
from tasks.text.sources import Source, check_source, find_source
from tasks.text.tokenizer import PADDING, UNKNOWN, Texts, train_tokenizer

if TYPE_CHECKING:
    import numpy as np
    import torch
    from torch import Tensor, nn

EXCERPTS = 20


@dataclass
class ImdbSettings(TaskSettings):
    """Classification of film reviews as positive or negative."""

    name: ClassVar[str] = "imdb"
    primary_metric: ClassVar[Metric] = Metric(
        "accuracy", "share of reviews", higher_is_better=True, perfect=1.0, margin="0.005"
    )

    source: str = setting(
        "auto",
        "auto (the hub's copy if available, else the bundled subset), hub, bundled, or "
        "a folder with train/test parquet files or the aclImdb tree",
        identity=False,
        is_path=True,
        words=("auto", "hub", "bundled"),
    )
    vocabulary_size: int = setting(20_000, "number of the most frequent tokens", minimum=3)
    minimum_count: int = setting(
        2, "occurrences in training of a token of the vocabulary", minimum=1
    )
    split_seed: int | None = setting(
        None,
        "seed of the choice of the validation reviews, which sets the reviews and the vocabulary "
        "of training too; null for the choice that runs share by default",
        minimum=0,
        below=2**32,
        identity=False,  # the fingerprint contains a hash of the validation reviews
    )
    max_length: int = setting(400, "tokens per review; longer ones keep head and tail", minimum=2)
    embedding_size: int = setting(128, "per token", minimum=1)
    embedding_dropout: float = setting(
        0.5,
        "probability of dropping an embedding dimension for a whole review",
        minimum=0.0,
        below=1.0,
    )
    word_dropout: float = setting(
        0.1,
        "probability of replacing a token by the unknown token in training",
        minimum=0.0,
        below=1.0,
    )
    pooling: str = setting(
        "mean_max",
        "reduction of the outputs of all steps to one",
        choices=("last", "mean", "max", "mean_max"),
    )

    def baselines(self) -> dict[str, Baseline]:
        """See `TaskSettings.baselines`."""
        return BASELINES

    def check(self) -> None:
        """See `TaskSettings.check`."""
        check_source(self.source)

    def load(self, cache: Cache) -> Task:
        """Read the reviews, or their token ids from the cache."""
        import tokenizers

        source = find_source(self.source)
        content = (
            f"{source.content_key} {self.vocabulary_size} {self.minimum_count} "
            f"v{self.version} form {FORM} tokenizers {tokenizers.__version__}"
        )
        if self.split_seed is not None:
            content += f" split {self.split_seed}"
        seed = VALIDATION_SEED if self.split_seed is None else self.split_seed
        key = f"imdb-{hashlib.sha256(content.encode()).hexdigest()[:32]}"
        arrays, metadata = cache(
            key, lambda: tokenise(source.read(), self.vocabulary_size, self.minimum_count, seed)
        )
        return ImdbTask(self, source, arrays, metadata)


class ImdbTask(Task):
    """Reviews as ragged token ids, in batches of similar length."""

    def __init__(
        self, settings: ImdbSettings, source: Source, arrays: Arrays, metadata: dict[str, Any]
    ) -> None:
        import torch

        self.settings = settings
        self.vocabulary_size: int = metadata["vocabulary_size"]
        self.input_size = settings.embedding_size
        self.reviews: dict[Split, Reviews] = {
            split: Reviews(
                torch.from_numpy(arrays[f"{split}_tokens"]),
                torch.from_numpy(arrays[f"{split}_offsets"]),
                torch.from_numpy(arrays[f"{split}_labels"]),
                settings.max_length,
            )
            for split in SPLITS
        }
        self.texts = {
            split: Texts(arrays[f"{split}_content"], arrays[f"{split}_content_offsets"])
            for split in SPLITS
        }
        trained = len(self.reviews["train"]) + len(self.reviews["validation"])
        known = metadata["films_known"]
        films = {trained: "no film or text shared", 0: "no text shared (films unknown)"}.get(
            known, f"no text shared, no film where known ({known:,} of {trained:,})"
        )
        self.data = DataDescription(
            name=source.name,
            sha256=metadata["sha256"],
            split=f"official test; validation 10% of train, {films}, "
            f"sha256 {metadata['validation_sha256'][:8]}",
            train_size=len(self.reviews["train"]),
            validation_size=len(self.reviews["validation"]),
            test_size=len(self.reviews["test"]),
            unit="reviews",
            notices=(source.notice,) if source.notice else (),
            split_seed=settings.split_seed,
        )

    def to(self, device: torch.device, dtype: torch.dtype) -> None:
        """See `Task.to`."""
        self.reviews = {split: reviews.to(device) for split, reviews in self.reviews.items()}

    def network(self, encoder: SequenceEncoder) -> nn.Module:
        """See `Task.network`."""
        from tasks.modules.network import SequenceNetwork

        return SequenceNetwork(
            encoder,
            None,
            self.settings.pooling,
            vocabulary_size=self.vocabulary_size,
            embedding_dropout=self.settings.embedding_dropout,
            word_dropout=self.settings.word_dropout,
            unknown=UNKNOWN,
        )

    def steps_per_epoch(self, batch_size: int) -> int:
        """See `Task.steps_per_epoch`."""
        return math.ceil(len(self.reviews["train"]) / batch_size)

    def batches(
        self, split: Split, batch_size: int, order: np.random.Generator | None = None
    ) -> Iterator[Batch]:
        """Yield batches of reviews of similar length; an evaluation starts with the shortest."""
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
        """Return the mean binary cross-entropy, in nats."""
        from torch.nn import functional as F

        return F.binary_cross_entropy_with_logits(outputs, batch.targets.to(outputs.dtype))

    def sums(self, outputs: Tensor, batch: Batch) -> dict[str, Tensor]:
        """Return the total cross-entropy, correct predictions and reviews."""
        from torch.nn import functional as F

        targets = batch.targets.to(outputs.dtype)
        nats = F.binary_cross_entropy_with_logits(outputs, targets, reduction="sum")
        right = ((outputs > 0) == (batch.targets > 0)).sum()
        return {"nats": nats, "right": right, "reviews": right.new_tensor(len(outputs))}

    def metrics(self, sums: dict[str, float]) -> dict[str, float]:
        """Compute accuracy and mean cross-entropy."""
        return {
            "loss": sums["nats"] / sums["reviews"],
            "accuracy": sums["right"] / sums["reviews"],
        }

    def single_sequences(self, count: int) -> Iterator[Batch]:
        """Yield single validation reviews in a fixed order that is independent of their length."""
        import numpy as np

        reviews = self.reviews["validation"]
        for i in range(count):
            yield reviews.batch(np.array([i % len(reviews)]))

    def predictions(self, outputs: Tensor, batch: Batch) -> dict[str, Tensor]:
        """Return the log-odds of a positive review, and the true label."""
        return {"logit": outputs.float(), "positive": batch.targets > 0}

    def excerpts(
        self, split: Split, items: Tensor, predictions: dict[str, Tensor]
    ) -> list[dict[str, Any]]:
        """Return the reviews of the largest loss with their complete text."""
        logits, positive = predictions["logit"], predictions["positive"]
        # A small margin is a large loss; margins differ even if losses are rounded to 0.
        margins = logits.where(positive, -logits)
        worst = margins.argsort(stable=True)[:EXCERPTS]
        texts = self.texts[split].read(items[worst].tolist())
        return [
            {
                "item": int(items[i]),
                "logit": float(logits[i]),
                "positive": bool(positive[i]),
                "text": text.replace("<br />", "\n"),
            }
            for i, text in zip(worst.tolist(), texts, strict=True)
        ]

    def preprocessing(self) -> tuple[dict[str, Any], dict[str, str]]:
        """See `Task.preprocessing`; the tokenizer is trained again on the same texts."""
        texts = self.texts["train"].read()
        tokenizer = train_tokenizer(
            texts, self.settings.vocabulary_size, self.settings.minimum_count
        )
        assert tokenizer.get_vocab_size() == self.vocabulary_size
        longest = self.settings.max_length
        return {
            "inputs": "token ids from tokenizer.json with encode_special_tokens = true; [no_token] "
            "for a text without any token; the first `first` and last `last` tokens of a text of "
            "more than max_length; padded to the longest of a batch with `padding`",
            "no_token": UNKNOWN,
            "max_length": longest,
            "first": longest // 4,
            "last": longest - longest // 4,
            "padding": PADDING,
            "lengths": "tokens of each text, without padding",
            "outputs": "log-odds of a positive review; positive if above 0",
        }, {"tokenizer.json": tokenizer.to_str(pretty=True)}

    def fit_baseline(self, name: str, seed: int) -> FittedBaseline:
        """See `Task.fit_baseline`."""
        labels = {split: reviews.labels.cpu().numpy() for split, reviews in self.reviews.items()}
        return fit(name, self.texts, labels, seed)
