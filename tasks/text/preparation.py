"""From documents to token ids: canonical order, splits, vocabulary and arrays."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Literal

from tasks.base import SPLITS, Arrays, DataError, Split
from tasks.common.splits import content_hash, count_shared
from tasks.text.tokenizer import (
    SPECIAL_TOKENS,
    UNKNOWN,
    encode,
    flatten,
    suitable_tokenizer,
    train_tokenizer,
)

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd

FORM = 5  # of the result of `encoded`; a new one invalidates older caches
LARGE_SHARE = 0.2  # of unknown tokens


def in_canonical_order(frame: pd.DataFrame) -> pd.DataFrame:
    """Sort documents by a hash of their text, so that the order in a file has no effect."""
    hashed = frame.assign(hash=frame["text"].map(content_hash))
    return hashed.sort_values(["hash", "label"], kind="stable")


def digest_of(frames: Mapping[Any, pd.DataFrame], names: Sequence[str] | None = None) -> str:
    """Hash the splits, texts and labels of frames in canonical order.

    Args:
        frames: by the name of their split.
        names: of the labels; None if their numbers have a fixed meaning.
    """
    digest = hashlib.sha256()
    for split, frame in frames.items():
        for text_hash, label in zip(frame["hash"], frame["label"], strict=True):
            written = label if names is None else names[label]
            digest.update(f"{split} {text_hash} {written}\n".encode())
    return digest.hexdigest()


def digest_of_hashes(hashes: Iterable[str]) -> str:
    """Hash the choice of documents."""
    return hashlib.sha256("".join(hashes).encode()).hexdigest()


def encoded(
    parts: Mapping[Split, pd.DataFrame],
    vocabulary_size: int,
    minimum_count: int,
    kind: Literal["auto", "word", "bpe", "char"] = "word",
) -> tuple[Arrays, dict[str, Any]]:
    """Build the vocabulary of the training split, and encode all splits, in canonical order.

    Raises:
        DataError: no token occurs often enough.
    """
    import numpy as np

    train = parts["train"]["text"].tolist()
    chosen, reason = suitable_tokenizer(train) if kind == "auto" else (kind, "")
    tokenizer = train_tokenizer(train, vocabulary_size, minimum_count, chosen)
    if tokenizer.get_vocab_size() == len(SPECIAL_TOKENS):
        raise DataError(
            f"no {'character' if chosen == 'char' else 'word'} occurs {minimum_count} times in the "
            f"{len(train)} training documents; set task.minimum_count=1, or give more documents"
        )
    arrays: Arrays = {"tokenizer": np.frombuffer(tokenizer.to_str().encode(), dtype=np.uint8)}
    without_token = 0
    for split, frame in parts.items():
        texts = frame["text"].tolist()
        tokens, offsets = encode(tokenizer, texts)
        without_token += int((~np.logical_or.reduceat(tokens != UNKNOWN, offsets[:-1])).sum())
        arrays[f"{split}_tokens"], arrays[f"{split}_offsets"] = tokens, offsets
        arrays[f"{split}_content"], arrays[f"{split}_content_offsets"] = flatten(texts)
        is_small = frame["label"].max() < 128
        arrays[f"{split}_labels"] = frame["label"].to_numpy("int8" if is_small else "int32")
    seen = [*parts["train"]["hash"], *parts["validation"]["hash"]]
    return arrays, {
        "vocabulary_size": tokenizer.get_vocab_size(),
        "tokenizer": chosen,
        "tokenizer_reason": reason,
        "unknown_share": float(np.mean(arrays["test_tokens"] == UNKNOWN)),
        "without_known_token": without_token,
        "test_in_train": count_shared(parts["test"]["hash"], seen),
    }


def tokenization_of(metadata: Mapping[str, Any]) -> str:
    """Return how text became tokens, from the metadata of `encoded`."""
    return (
        f"{metadata['tokenizer']}, {metadata['vocabulary_size']:,} tokens, lower case, "
        f"{metadata['unknown_share']:.1%} of test tokens unknown"
    )


def notices_of(
    metadata: Mapping[str, Any], sizes: Mapping[str, int], unit: str, remedy: str = ""
) -> list[str]:
    """Return notices on unknown tokens and on shared texts, from the metadata of `encoded`."""
    notices = []
    share, shared = metadata["unknown_share"], metadata["test_in_train"]
    if share > LARGE_SHARE:
        notices.append(
            f"{share:.0%} of the test tokens are unknown: they do not occur often enough in "
            f"training (task.minimum_count, task.vocabulary_size){remedy}"
        )
    if metadata["without_known_token"]:
        total = sum(sizes[split] for split in SPLITS)
        notices.append(
            f"{metadata['without_known_token']:,} of {total:,} {unit} have no known token at all"
        )
    if shared:
        notices.append(
            f"{shared:,} of {sizes['test']:,} test {unit} are in training or validation too, with "
            f"equal text: the test score is not that of new {unit} alone"
        )
    return notices


def lengths_of(arrays: Arrays) -> np.ndarray[Any, Any]:
    """Return the numbers of tokens of all documents."""
    import numpy as np

    return np.concatenate([np.diff(arrays[f"{split}_offsets"]) for split in SPLITS])
