"""Words from reviews: the tokenizer against a regular expression, ids and offsets."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
import pytest

from tasks.text.tokenizer import (
    PADDING,
    SPECIAL_TOKENS,
    UNKNOWN,
    Texts,
    encode,
    flatten,
    train_tokenizer,
)
from tests.helpers.paths import ROOT


def words(text: str) -> list[str]:
    return re.findall(r"\w+|[^\w\s]+", text.replace("<br />", " ").lower())


def read_back(tokenizer: Any, texts: Sequence[str]) -> list[list[str]]:
    """Encode texts and return the token of every id."""
    tokens, offsets = encode(tokenizer, texts)
    return [
        [tokenizer.id_to_token(int(i)) for i in part] for part in np.split(tokens, offsets[1:-1])
    ]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("A FILM", ["a", "film"]),
        ("one<br /><br />two", ["one", "two"]),
        ("It's good... really!?", ["it", "'", "s", "good", "...", "really", "!?"]),
        ("10/10 naïve", ["10", "/", "10", "naïve"]),
        ("  spaces\tand\nlines  ", ["spaces", "and", "lines"]),
    ],
)
def test_tokens_are_lower_case_words_and_runs_of_punctuation(
    text: str, expected: list[str]
) -> None:
    tokenizer = train_tokenizer([text], vocabulary_size=100, minimum_count=1)
    assert read_back(tokenizer, [text]) == [expected]


def test_real_reviews_are_split_as_by_a_regular_expression() -> None:
    frame = pd.read_parquet(ROOT / "tasks/data/imdb/train.parquet").iloc[::10]
    texts = frame["text"].tolist()
    tokenizer = train_tokenizer(texts, vocabulary_size=1_000_000, minimum_count=2)
    counts = Counter(word for text in texts for word in words(text))
    kept = {word for word, count in counts.items() if count >= 2}
    assert set(tokenizer.get_vocab()) == kept | set(SPECIAL_TOKENS)
    assert read_back(tokenizer, texts) == [
        [word if word in kept else SPECIAL_TOKENS[UNKNOWN] for word in words(text)]
        for text in texts
    ]


def test_padding_and_unknown_have_the_first_two_ids() -> None:
    tokenizer = train_tokenizer(["b a"], vocabulary_size=100, minimum_count=1)
    assert (PADDING, UNKNOWN) == (0, 1)
    assert [tokenizer.id_to_token(i) for i in (0, 1)] == ["[PAD]", "[UNK]"]
    assert sorted(tokenizer.get_vocab().values()) == [0, 1, 2, 3]


@pytest.mark.parametrize(("minimum_count", "kept"), [(1, "abcd"), (2, "abc"), (4, "a"), (5, "")])
def test_a_word_rarer_than_the_minimum_count_is_unknown(minimum_count: int, kept: str) -> None:
    tokenizer = train_tokenizer(["a b c", "a b c", "a b", "a d"], 100, minimum_count)
    assert set(tokenizer.get_vocab()) == {*kept, *SPECIAL_TOKENS}


@pytest.mark.parametrize(("size", "kept"), [(3, "a"), (4, "ab"), (5, "abc"), (6, "abcd")])
def test_the_vocabulary_keeps_the_most_frequent_words(size: int, kept: str) -> None:
    tokenizer = train_tokenizer(["a b c d", "a b c", "a b", "a"], size, 1)
    assert set(tokenizer.get_vocab()) == {*kept, *SPECIAL_TOKENS}


def test_the_order_of_texts_does_not_change_the_order_of_words_of_equal_count() -> None:
    texts = [f"word{i} other{i}" for i in range(200)]
    vocabularies = [
        train_tokenizer(order, 50, 1).get_vocab() for order in (texts, texts[::-1], texts)
    ]
    assert vocabularies[0] == vocabularies[1] == vocabularies[2]


def test_only_the_given_texts_make_the_vocabulary() -> None:
    tokenizer = train_tokenizer(["seen before"], 100, 1)
    before = tokenizer.get_vocab()
    assert read_back(tokenizer, ["seen never"]) == [["seen", "[UNK]"]]
    assert tokenizer.get_vocab() == before


@pytest.mark.parametrize("text", ["", "   ", "<br />"])
def test_a_text_without_tokens_becomes_one_unknown(text: str) -> None:
    tokens, offsets = encode(train_tokenizer(["a b"], 100, 1), ["a", text, "b"])
    assert offsets.tolist() == [0, 1, 2, 3]
    assert tokens[1] == UNKNOWN


def test_a_text_with_a_special_token_has_no_padding_id() -> None:
    texts = ["the [PAD] actor", "the [UNK] actor"]
    tokens, _ = encode(train_tokenizer(texts, 100, 1), texts)
    assert PADDING not in tokens


def test_offsets_separate_the_texts() -> None:
    texts = ["a b c", "d", "", "e f"]
    tokenizer = train_tokenizer(texts, 100, 1)
    tokens, offsets = encode(tokenizer, texts)
    assert tokens.dtype == np.int32
    assert offsets.tolist() == [0, 3, 4, 5, 7]
    assert read_back(tokenizer, texts) == [["a", "b", "c"], ["d"], ["[UNK]"], ["e", "f"]]


def test_texts_are_read_back_unchanged() -> None:
    given = ["naïve", "", "two\nlines<br />", "", "日本 🎬", " "]
    texts = Texts(*flatten(given))
    assert len(texts) == len(given)
    assert texts.read(range(len(given))) == given
    assert texts.read([4, 0, 4]) == [given[4], given[0], given[4]]
    assert texts.read([]) == []
