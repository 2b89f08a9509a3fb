"""Sentiment of IMDB reviews (Maas et al. 2011) in two classes; the metric is accuracy."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

from tasks.base import Arrays, Baseline, Cache, DataDescription, DataError, Metric, Task, setting
from tasks.common.splits import groups_of, held_out
from tasks.text.baselines import IMDB_BASELINES
from tasks.text.documents import DocumentTask
from tasks.text.imdb_sources import Source, check_source, find_source
from tasks.text.preparation import (
    FORM,
    digest_of,
    digest_of_hashes,
    encoded,
    in_canonical_order,
    notices_of,
    tokenization_of,
)
from tasks.text.settings import DocumentSettings

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd

VALIDATION_PART = 0.1
VALIDATION_SEED = 20110619  # the default: all runs and models validate on the same reviews


@dataclass
class ImdbSettings(DocumentSettings):
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

    def baselines(self) -> dict[str, Baseline]:
        """See `TaskSettings.baselines`."""
        return IMDB_BASELINES

    def check(self) -> None:
        """See `TaskSettings.check`."""
        super().check()
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


class ImdbTask(DocumentTask):
    """Reviews in two classes."""

    def __init__(
        self, settings: ImdbSettings, source: Source, arrays: Arrays, metadata: dict[str, Any]
    ) -> None:
        super().__init__(settings, ("negative", "positive"), arrays, metadata)
        train, validation, test = (len(documents) for documents in self.documents.values())
        known, shared = metadata["films_known"], metadata["test_in_train"]
        films = {train + validation: "no film or text shared"}.get(
            known, f"no text shared, no film where known ({known:,} of {train + validation:,})"
        )
        films = films if known else "no text shared (films unknown)"
        official = f"official test, {shared:,} of its texts in train too" * bool(shared)
        sizes = {"train": train, "validation": validation, "test": test}
        notices = notices_of(metadata, sizes, "reviews")
        self.data = DataDescription(
            name=source.name,
            sha256=metadata["sha256"],
            split=f"{official or 'official test'}; validation 10% of train, {films}, "
            f"sha256 {metadata['validation_sha256'][:8]}",
            train_size=train,
            validation_size=validation,
            test_size=test,
            unit="reviews",
            notices=tuple([source.notice] * bool(source.notice) + notices),
            split_seed=settings.split_seed,
            tokenization=tokenization_of(metadata),
            test_in_train=shared,
        )


def tokenise(
    frames: dict[str, pd.DataFrame],
    vocabulary_size: int,
    minimum_count: int,
    split_seed: int = VALIDATION_SEED,
) -> tuple[Arrays, dict[str, Any]]:
    """Split the training reviews, build the vocabulary of the training split, encode texts."""
    ordered = {split: in_canonical_order(frame) for split, frame in frames.items()}
    train = ordered["train"]
    is_held_out = choose_validation(train, split_seed)
    held_out_reviews = train[is_held_out]
    arrays, metadata = encoded(
        {"train": train[~is_held_out], "validation": held_out_reviews, "test": ordered["test"]},
        vocabulary_size,
        minimum_count,
    )
    return arrays, metadata | {
        "sha256": digest_of(ordered),
        "films_known": int(train["movie"].notna().sum()),
        "validation_sha256": digest_of_hashes(held_out_reviews["hash"]),
    }


def choose_validation(
    train: pd.DataFrame, split_seed: int = VALIDATION_SEED
) -> np.ndarray[Any, Any]:
    """Select (reviews,) a tenth of each label that shares no film or text with the rest.

    Reviews of one film often agree: a random split would reward its recognition. Groups are taken
    in the random order of the seed while they fit the quota of both labels.
    """
    import numpy as np

    groups = groups_of(train["hash"], train["movie"])
    count = int(groups.max()) + 1
    order = np.random.default_rng(split_seed).permutation(count)
    chosen = held_out(groups, train["label"].to_numpy(), VALIDATION_PART, order)
    if chosen is None:
        raise DataError(
            f"imdb: {len(train)} training reviews of {count} films or texts cannot be split "
            f"into training and validation with both labels in each"
        )
    return chosen
