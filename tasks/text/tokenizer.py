"""Tokens of documents: tokenizer, vocabulary, and ragged arrays of token ids and texts."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    import numpy as np

PADDING, UNKNOWN = 0, 1
SPECIAL_TOKENS = ["[PAD]", "[UNK]"]
MOST_SINGLE_WORDS = 0.5  # share of running words that occur once; above it, words do not repeat
LONGEST_WORD = 10  # mean characters between spaces; above it, a language is written without them

TokenizerKind = Literal["word", "bpe", "char"]


def train_tokenizer(
    texts: Sequence[str],
    vocabulary_size: int,
    minimum_count: int,
    kind: TokenizerKind = "word",
) -> Any:
    """Build a tokenizer of lower-case text, without the line breaks of web reviews.

    Args:
        texts: of the training split.
        vocabulary_size: at most, with the two special tokens.
        minimum_count: of a word or character in the texts, or of a pair that BPE merges.
        kind: words and runs of punctuation, byte-pair encoding within these, or characters.
    """
    from tokenizers import Regex, Tokenizer, models, normalizers, pre_tokenizers, trainers

    options: dict[str, Any] = {
        "vocab_size": vocabulary_size,
        "min_frequency": minimum_count,
        "special_tokens": SPECIAL_TOKENS,
        "show_progress": False,
    }
    unknown = SPECIAL_TOKENS[UNKNOWN]
    if kind == "bpe":
        tokenizer = Tokenizer(models.BPE(unk_token=unknown))
        alphabet = vocabulary_size - len(SPECIAL_TOKENS)
        trainer: Any = trainers.BpeTrainer(limit_alphabet=alphabet, **options)
    else:
        tokenizer = Tokenizer(models.WordLevel(unk_token=unknown))
        trainer = trainers.WordLevelTrainer(**options)
    tokenizer.normalizer = normalizers.Sequence(
        [normalizers.Replace("<br />", " "), normalizers.Lowercase()]
    )
    tokenizer.pre_tokenizer = (
        pre_tokenizers.Split(Regex(r"[\s\S]"), behavior="isolated")
        if kind == "char"
        else pre_tokenizers.Whitespace()
    )
    tokenizer.train_from_iterator(texts, trainer)
    # A document that contains "[PAD]" means five characters, not our padding.
    tokenizer.encode_special_tokens = True
    return tokenizer


def stored_tokenizer(content: bytes) -> Any:
    """Return the tokenizer of its JSON, as `Tokenizer.to_str` returns it."""
    from tokenizers import Tokenizer

    tokenizer = Tokenizer.from_str(content.decode())
    tokenizer.encode_special_tokens = True  # is not part of the JSON
    return tokenizer


def suitable_tokenizer(texts: Iterable[str]) -> tuple[TokenizerKind, str]:
    """Return the tokenizer for texts, and why it is not `word`; empty if it is.

    Words that do not repeat give no vocabulary: languages without spaces, or very few texts.
    """
    words: Counter[str] = Counter()
    pieces = characters = 0
    for text in texts:
        words.update(re.findall(r"\w+", text.lower()))
        spaced = text.split()
        pieces, characters = pieces + len(spaced), characters + sum(map(len, spaced))
    single = sum(count == 1 for count in words.values()) / max(1, words.total())
    if single <= MOST_SINGLE_WORDS and words:
        return "word", ""
    kind: TokenizerKind = "char" if characters > LONGEST_WORD * pieces else "bpe"
    reason = f"{single:.0%} of the words of training occur once" if words else "there are no words"
    return kind, reason


def encode(tokenizer: Any, texts: Sequence[str]) -> tuple[np.ndarray[Any, Any], ...]:
    """Encode texts as token ids (total,) and `offsets_of` them; no token becomes one `UNKNOWN`."""
    import numpy as np

    # The fast variant omits character offsets, which are not needed.
    ids = [encoding.ids or [UNKNOWN] for encoding in tokenizer.encode_batch_fast(list(texts))]
    offsets = offsets_of(ids)
    tokens = np.fromiter((i for each in ids for i in each), dtype=np.int32, count=offsets[-1])
    return tokens, offsets


def offsets_of(items: Sequence[Sequence[int]]) -> np.ndarray[Any, Any]:
    """Return the start of each item in a flat array of all, and the end of the last."""
    import numpy as np

    return np.cumsum([0, *(len(each) for each in items)], dtype=np.int64)


@dataclass
class Texts:
    """Texts as a flat array of UTF-8 bytes and the offsets of `offsets_of`, decoded when read."""

    content: np.ndarray[Any, Any]
    offsets: np.ndarray[Any, Any]

    def __len__(self) -> int:
        return len(self.offsets) - 1

    def read(self, numbers: Iterable[int] | None = None) -> list[str]:
        """Return the texts with the given indices; all by default."""
        return [
            self.content[self.offsets[n] : self.offsets[n + 1]].tobytes().decode()
            for n in (range(len(self)) if numbers is None else numbers)
        ]


def flatten(texts: Sequence[str]) -> tuple[np.ndarray[Any, Any], np.ndarray[Any, Any]]:
    """Return the arguments of `Texts`."""
    import numpy as np

    encoded = [text.encode() for text in texts]
    return np.frombuffer(b"".join(encoded), dtype=np.uint8), offsets_of(encoded)
