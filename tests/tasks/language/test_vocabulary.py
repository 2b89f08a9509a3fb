"""Vocabularies: tokens that are the text again, unknown words, and characters outside."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from tasks.base import DataError
from tasks.language import vocabulary
from tasks.language.settings import LevelName
from tasks.language.vocabulary import UNKNOWN, Alphabet, TrainedVocabulary, train_tokenizer
from tasks.shakespeare import BUNDLED
from tests.helpers.texts import lm

SHAKESPEARE = BUNDLED.read_text(encoding="utf-8")[:40_000]
ODD = (
    "  two spaces,\ttab\x0b\x1b[31m and  [UNK] [PAD]…\n\n\n   indented\n"
    "naïve café\u0301 日本語。 🙂👍🏽 don't — 3.14\u2028end \n \nlast line without end"
)


def trained(level: LevelName, text: str = SHAKESPEARE, size: int = 600) -> TrainedVocabulary:
    return TrainedVocabulary(level, train_tokenizer(text, level, size, 2))


@pytest.mark.parametrize("text", [SHAKESPEARE[-5000:], ODD], ids=["plain", "odd"])
@pytest.mark.parametrize("level", ["word", "bpe"])
def test_tokens_cover_the_text_without_gap_or_overlap(level: LevelName, text: str) -> None:
    ids, ends = trained(level).encode(text)
    assert len(ids) == len(ends)
    assert (np.diff(ends, prepend=0) >= 0).all()
    assert ends[-1] == len(text)


def test_byte_pairs_are_any_text_again() -> None:
    for text in (SHAKESPEARE[-5000:], ODD):
        found = trained("bpe")
        ids, _ = found.encode(text)
        assert found.decode(ids.tolist()) == text
        assert found.unknown is None


def test_words_are_the_text_again_except_unknown_ones() -> None:
    found = trained("word", ODD * 2)
    ids, ends = found.encode(ODD)
    assert found.unknown is not None
    assert found.unknown not in ids
    assert found.decode(ids.tolist()) == ODD
    assert [ODD[a:b] for a, b in zip([0, *ends[:-1]], ends, strict=True)] == [
        found.tokens[i] for i in ids
    ]
    ids, ends = found.encode("naïve stranger\n")
    assert [found.tokens[i] for i in ids] == ["naïve", UNKNOWN, "\n"]
    assert ends.tolist() == [5, 14, 15]


def test_words_keep_their_space_and_line_ends_are_tokens() -> None:
    text = "The cat, don't!\n  the  cat\n" * 3
    found = trained("word", text)
    ids, _ = found.encode(text[:27])
    assert [found.tokens[i] for i in ids] == [
        *("The", " cat", ",", " don", "'", "t", "!", "\n"),
        *(" ", " the", " ", " cat", "\n"),
    ]


def test_the_most_frequent_words_above_the_count_are_the_vocabulary() -> None:
    text = "b b b b a a a c c d\n" * 2
    everything = TrainedVocabulary("word", train_tokenizer(text, "word", 100, 1))
    assert set(everything.tokens) == {UNKNOWN, "b", " b", " a", " c", " d", "\n"}
    frequent = TrainedVocabulary("word", train_tokenizer(text, "word", 100, 4))
    assert set(frequent.tokens) == {UNKNOWN, " b", " a", " c"}
    few = TrainedVocabulary("word", train_tokenizer(text, "word", 3, 1))
    assert few.tokens == [UNKNOWN, " a", " b"]  # of equal counts, in alphabetical order


def test_a_byte_level_vocabulary_has_all_bytes_and_its_size() -> None:
    assert len(trained("bpe", size=300).tokens) == 300
    assert len(trained("bpe", "ab", size=300).tokens) == 256  # no pair occurs twice


@pytest.mark.parametrize("level", ["word", "bpe"])
def test_training_is_deterministic(level: LevelName) -> None:
    assert trained(level).tokens == trained(level).tokens


def test_blocks_of_lines_change_no_token(monkeypatch: pytest.MonkeyPatch) -> None:
    found = trained("bpe")
    ids, ends = found.encode(SHAKESPEARE)
    monkeypatch.setattr(vocabulary, "BLOCK", 7)
    other_ids, other_ends = found.encode(SHAKESPEARE)
    assert np.array_equal(ids, other_ids)
    assert np.array_equal(ends, other_ends)


def test_the_alphabet_is_in_the_order_of_code_points() -> None:
    found = Alphabet("hello 🙂\n")
    assert found.tokens == sorted(set("hello 🙂\n"))
    ids, ends = found.encode("🙂 he")
    assert found.decode(ids.tolist()) == "🙂 he"
    assert ends.tolist() == [1, 2, 3, 4]
    assert found.line_end == 0


@pytest.mark.parametrize("character", ["€", "\x1b", "\uffff", " "])
def test_a_character_outside_the_alphabet_is_named(character: str) -> None:
    with pytest.raises(DataError) as caught:
        Alphabet("abc\n").encode(f"a\nb{character}c")
    text = str(caught.value)
    assert text.startswith("line 2: the character ")
    assert f"U+{ord(character):04X}" in text
    assert text.isprintable()


@pytest.mark.parametrize("level", ["char", "word", "bpe"])
def test_only_a_known_line_end_begins_a_text(level: str, tmp_path: Path) -> None:
    for text, has_line_end in (("one two one two\n" * 40, True), ("one two " * 80, level == "bpe")):
        (tmp_path / "book.txt").write_text(text)
        assert (lm(tmp_path / "book.txt", level).vocabulary.line_end is not None) == has_line_end
