"""The settings that all classifications of documents share."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from tasks.base import TaskSettings, setting


@dataclass
class DocumentSettings(TaskSettings):
    """Vocabulary, cut and network of a classification of documents."""

    has_tokens: ClassVar[bool] = True
    can_pretrain: ClassVar[bool] = True

    vocabulary_size: int = setting(20_000, "number of the most frequent tokens", minimum=3)
    minimum_count: int = setting(
        2, "occurrences in training of a token of the vocabulary", minimum=1
    )
    split_seed: int | None = setting(
        None,
        "seed of the choice of the validation documents, which sets the documents and the "
        "vocabulary of training too; null for the choice that runs share by default",
        minimum=0,
        below=2**32,
        identity=False,  # the fingerprint contains a hash of the validation documents
    )
    max_length: int = setting(400, "tokens per document; longer ones keep head and tail", minimum=2)
    embedding_size: int = setting(128, "per token", minimum=1)
    embedding_dropout: float = setting(
        0.5,
        "probability of dropping an embedding dimension for a whole document",
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
        "reduction of the outputs of all steps to one: attention weights steps by a small network, "
        "max_attention by their product with the maximum",
        choices=("last", "mean", "max", "mean_max", "attention", "max_attention"),
    )
    chop: int | None = setting(
        None,
        "tokens after which the state of the encoder is reset; pooling still runs over all tokens "
        "of a document; null for never",
        minimum=1,
        identity="unless default",
    )

    def check(self) -> None:
        """See `TaskSettings.check`."""
        if self.chop is not None and self.pooling == "last":
            raise ValueError(
                f"task.chop={self.chop}: task.pooling=last would read the last chunk alone; "
                f"choose mean, max, mean_max, attention or max_attention"
            )
