"""From raw documents to token ids: the validation split, the vocabulary and the arrays."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, Any

from tasks.base import Arrays, DataError
from tasks.text.tokenizer import encode, flatten, train_tokenizer

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd

FORM = 3  # of the result of `tokenise`; a new one invalidates older caches
VALIDATION_PART = 0.1
VALIDATION_SEED = 20110619  # the default: all runs and models validate on the same documents


def tokenise(
    frames: dict[str, pd.DataFrame],
    vocabulary_size: int,
    minimum_count: int,
    split_seed: int = VALIDATION_SEED,
) -> tuple[Arrays, dict[str, Any]]:
    """Split the training documents, build the vocabulary of the training split, encode texts."""
    ordered = {split: in_canonical_order(frame) for split, frame in frames.items()}
    digest = hashlib.sha256()
    for split, frame in ordered.items():
        for text_hash, label in zip(frame["hash"], frame["label"], strict=True):
            digest.update(f"{split} {text_hash} {label}\n".encode())
    train = ordered["train"]
    held_out = choose_validation(train, split_seed)
    parts = {"train": train[~held_out], "validation": train[held_out], "test": ordered["test"]}
    tokenizer = train_tokenizer(parts["train"]["text"].tolist(), vocabulary_size, minimum_count)
    arrays: Arrays = {}
    for split, frame in parts.items():
        texts = frame["text"].tolist()
        arrays[f"{split}_tokens"], arrays[f"{split}_offsets"] = encode(tokenizer, texts)
        arrays[f"{split}_content"], arrays[f"{split}_content_offsets"] = flatten(texts)
        arrays[f"{split}_labels"] = frame["label"].to_numpy("int8")
    held_out_hashes = "".join(parts["validation"]["hash"])
    return arrays, {
        "sha256": digest.hexdigest(),
        "vocabulary_size": tokenizer.get_vocab_size(),
        "films_known": int(train["movie"].notna().sum()),
        "validation_sha256": hashlib.sha256(held_out_hashes.encode()).hexdigest(),
    }


def in_canonical_order(frame: pd.DataFrame) -> pd.DataFrame:
    """Sort documents by a hash of their text, so that the order in a file has no effect."""
    hashes = frame["text"].map(lambda text: hashlib.sha256(text.encode()).hexdigest())
    return frame.assign(hash=hashes).sort_values(["hash", "label"], kind="stable")


def choose_validation(
    train: pd.DataFrame, split_seed: int = VALIDATION_SEED
) -> np.ndarray[Any, Any]:
    """Select (documents,) a tenth of each label that shares no film or text with the rest.

    Reviews of one film often agree: a random split would reward its recognition. Groups are taken
    in the random order of the seed while they fit the quota of both labels.
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
    for candidate in np.random.default_rng(split_seed).permutation(len(sizes)):
        if (taken + sizes[candidate] <= quota).all():
            chosen[candidate] = True
            taken += sizes[candidate]
    if not taken.all() or (taken == sizes.sum(0)).any():
        raise DataError(
            f"imdb: {len(train)} training reviews of {len(sizes)} films or texts cannot be split "
            f"into training and validation with both labels in each"
        )
    mask: np.ndarray[Any, Any] = chosen[group]
    return mask


def groups_sharing(train: pd.DataFrame) -> np.ndarray[Any, Any]:
    """Return the group (documents,) of each document; a group shares films or texts."""
    import numpy as np
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import connected_components

    texts = train["hash"].factorize()[0]
    # Each unknown film is different from all others.
    films = train["movie"].factorize()[0].astype(np.int64)
    unknown = films < 0
    films[unknown] = films.max() + 1 + np.arange(unknown.sum())
    nodes = texts.max() + 1 + films.max() + 1
    links = coo_array((np.ones(len(texts)), (texts, texts.max() + 1 + films)), shape=(nodes, nodes))
    component = connected_components(links, directed=False)[1][texts]
    groups: np.ndarray[Any, Any] = np.unique(component, return_inverse=True)[1]
    return groups
