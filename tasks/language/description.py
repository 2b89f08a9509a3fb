"""What a row says of a text: its split, its tokens, and doubts about them."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator

import numpy as np

from tasks.base import DataDescription
from tasks.language.levels import UNITS
from tasks.language.settings import LanguageSettings
from tasks.language.sources import Corpus
from tasks.language.vocabulary import Tokenised

LARGE_COPIED_SHARE = 0.01  # of the test text, from which a notice says it
LARGE_UNKNOWN_SHARE = 0.10


def description(
    settings: LanguageSettings, corpus: Corpus, tokenised: Tokenised
) -> DataDescription:
    """Describe a text, its split and its tokens."""
    same = settings.split == "nanogpt"
    sizes = {split: len(text.ids) for split, text in tokenised.texts.items()}
    notices = list(corpus.notices)
    if same:
        notices.append(
            "validation = test in this split, so the test score is that of model selection"
        )
    return DataDescription(
        name=corpus.title,
        sha256=hashlib.sha256(corpus.text.encode()).hexdigest(),
        split="90/10 in order, validation = test" if same else "90/5/5 in order",
        train_size=sizes["train"],
        validation_size=sizes["validation"],
        test_size=sizes["test"],
        unit=UNITS[settings.level_name][1],
        notices=(*notices, *doubts(tokenised)),
        tokenization=tokenization(tokenised),
        vocabulary=len(tokenised.vocabulary.tokens),
        test_in_train=tokenised.copied,
    )


def tokenization(tokenised: Tokenised) -> str:
    """Return tokeniser, vocabulary, and the rule and share of unknown tokens in one sentence."""
    vocabulary, share = tokenised.vocabulary, f"{tokenised.foreign_share:.3%}"
    size = f"{len(vocabulary.tokens):,}"
    if vocabulary.level == "char":
        return f"{size} characters of the whole text, {share} of test not in training"
    if vocabulary.level == "bpe":
        return f"byte-level BPE of training, {size} tokens, none unknown"
    rarest = int(np.delete(tokenised.counts, vocabulary.unknown or 0).min())
    return (
        f"words with the space before them, case kept; vocabulary {size}: [UNK] and the words that "
        f"occur {rarest} times or more in training; [UNK] is {share} of test, and is not spelt, so "
        f"bits_per_character is a lower bound"
    )


def doubts(tokenised: Tokenised) -> Iterator[str]:
    """Yield notices on copied lines and unknown tokens."""
    if tokenised.copied_share > LARGE_COPIED_SHARE:
        yield (
            f"{tokenised.copied_share:.1%} of the test text are lines that training or validation "
            f"contain too, so a part of the score is memory"
        )
    if tokenised.vocabulary.unknown is not None and (tokenised.foreign_share > LARGE_UNKNOWN_SHARE):
        yield (
            f"{tokenised.foreign_share:.1%} of the test words are not in the vocabulary and count "
            f"as one word, [UNK]; task.level=bpe has no unknown tokens"
        )
