"""Tokens of the levels char, word and bpe: vocabularies and encoded texts."""

from __future__ import annotations

import hashlib
from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from tasks.base import Arrays, Cache, DataError, Split
from tasks.language.levels import UNITS, LevelName
from tasks.language.sources import Corpus, lines_of, repeated

Floats = np.ndarray[Any, np.dtype[np.float64]]
Integers = np.ndarray[Any, np.dtype[np.int64]]

UNKNOWN = "[UNK]"
WORD = r"\n| ?\w+| ?[^\w\s]+|[^\S\n]+(?!\S)|\s"
"""A line end, a word or punctuation with the space before it, or other white space.

Joined tokens are the text.
"""
BYTES = 256
BLOCK = 10_000  # lines that are encoded at once, which limits memory
FORM = 1  # of the cached arrays; a new one invalidates older caches


class Vocabulary(ABC):
    """The tokens of a level; an id is a position in `tokens`."""

    level: LevelName
    tokens: Sequence[str]
    unknown: int | None = None  # id of tokens that are not in the vocabulary

    @property
    def line_end(self) -> int | None:
        """Id of the line end, after which a text begins; None if it is not in the vocabulary."""
        try:
            found = int(self.encode("\n")[0][0])
        except DataError:
            return None
        return None if found == self.unknown else found

    @abstractmethod
    def encode(self, text: str) -> tuple[Integers, Integers]:
        """Return ids (tokens,), and the number of characters up to the end of each token.

        Raises:
            DataError: a character is not in the alphabet.
        """

    @abstractmethod
    def decode(self, ids: Sequence[int]) -> str:
        """Return tokens as text."""


class Alphabet(Vocabulary):
    """The characters of a text in the order of their code points."""

    level = "char"

    def __init__(self, text: str) -> None:
        self._codes = np.flatnonzero(np.bincount(code_points(text)))
        self.tokens = [chr(code) for code in self._codes]

    def encode(self, text: str) -> tuple[Integers, Integers]:
        """See `Vocabulary.encode`."""
        codes = code_points(text)
        ids = np.minimum(self._codes.searchsorted(codes), len(self._codes) - 1)
        foreign = np.flatnonzero(self._codes[ids] != codes)
        if len(foreign):
            place = int(foreign[0])
            line = text.count("\n", 0, place) + 1
            raise DataError(
                f"line {line}: the character {text[place]!r} (U+{ord(text[place]):04X}) is not in "
                f"the alphabet of the model's text"
            )
        return ids.astype(np.int64), np.arange(1, len(ids) + 1)

    def decode(self, ids: Sequence[int]) -> str:
        """See `Vocabulary.decode`."""
        return "".join(self.tokens[i] for i in ids)


class TrainedVocabulary(Vocabulary):
    """The tokens of a tokenizer of the library `tokenizers`, given as JSON."""

    def __init__(self, level: LevelName, tokenizer_json: str) -> None:
        from tokenizers import Tokenizer

        self.level = level
        self.tokenizer: Any = Tokenizer.from_str(tokenizer_json)
        # A text that contains "[UNK]" means five characters.
        self.tokenizer.encode_special_tokens = True
        self.unknown = self.tokenizer.token_to_id(UNKNOWN) if level == "word" else None
        ids = self.tokenizer.get_vocab()
        self.tokens = sorted(ids, key=ids.__getitem__)

    def encode(self, text: str) -> tuple[Integers, Integers]:
        """See `Vocabulary.encode`."""
        ids: list[int] = []
        ends: list[int] = []
        begin, lines = 0, list(lines_of(text))
        for first in range(0, len(lines), BLOCK):
            block = lines[first : first + BLOCK]
            for line, encoding in zip(block, self.tokenizer.encode_batch(block), strict=True):
                ids += encoding.ids
                ends += (begin + end for _, end in encoding.offsets)
                begin += len(line)
        return np.array(ids, dtype=np.int64), np.array(ends, dtype=np.int64)

    def decode(self, ids: Sequence[int]) -> str:
        """See `Vocabulary.decode`."""
        if self.level == "bpe":
            return str(self.tokenizer.decode(list(ids), skip_special_tokens=False))
        return "".join(f" {UNKNOWN}" if i == self.unknown else self.tokens[i] for i in ids)


def code_points(text: str) -> np.ndarray[Any, np.dtype[np.uint32]]:
    """Return the code points (characters,) of a text."""
    return np.frombuffer(text.encode("utf-32-le"), dtype="<u4")


def train_tokenizer(text: str, level: LevelName, size: int, minimum_count: int) -> str:
    """Train a tokenizer of words, or of byte pairs, on a text; return it as JSON."""
    from tokenizers import Regex, Tokenizer, decoders, models, pre_tokenizers, trainers

    if level == "word":
        tokenizer = Tokenizer(models.WordLevel(unk_token=UNKNOWN))
        tokenizer.pre_tokenizer = pre_tokenizers.Split(Regex(WORD), "isolated")
        trainer: Any = trainers.WordLevelTrainer(
            vocab_size=size,
            min_frequency=minimum_count,
            special_tokens=[UNKNOWN],
            show_progress=False,
        )
    else:
        tokenizer = Tokenizer(models.BPE())
        tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
        tokenizer.decoder = decoders.ByteLevel()
        trainer = trainers.BpeTrainer(
            vocab_size=size,
            min_frequency=minimum_count,
            initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()),
            show_progress=False,
        )
    tokenizer.train_from_iterator(lines_of(text), trainer)
    return str(tokenizer.to_str(pretty=True))


@dataclass(frozen=True)
class EncodedText:
    """Tokens of a split.

    Attributes:
        ids: (tokens,)
        ends: characters up to the end of each token (tokens,); None if tokens are characters.
        spelling: nats up to each token (tokens,) that spell unknown tokens; None without them.
    """

    ids: Integers
    ends: Integers | None = None
    spelling: Floats | None = None


@dataclass(frozen=True)
class Tokenised:
    """A text in tokens.

    Attributes:
        texts: the splits.
        copied: test tokens in long lines that training or validation contain too.
        copied_share: the characters of these lines, as a share of the test text.
    """

    vocabulary: Vocabulary
    texts: dict[Split, EncodedText]
    copied: int
    copied_share: float

    @property
    def counts(self) -> Integers:
        """The occurrences of each token in training (vocabulary,)."""
        return np.bincount(self.texts["train"].ids, minlength=len(self.vocabulary.tokens))

    @property
    def foreign_share(self) -> float:
        """The share of the test tokens that are unknown, or do not occur in training."""
        test, unknown = self.texts["test"].ids, self.vocabulary.unknown
        return float((self.counts[test] == 0 if unknown is None else test == unknown).mean())


def tokenise(
    corpus: Corpus,
    split: str,
    cache: Cache,
    level: LevelName = "char",
    vocabulary_size: int = 0,
    minimum_count: int = 0,
) -> Tokenised:
    """Split a text and encode it at a level; the vocabulary is that of the training split.

    The alphabet of the level char is that of the whole text, as in the literature.
    """
    parts = corpus.parts(split)
    others: list[Split] = ["train"] if split == "nanogpt" else ["train", "validation"]
    copied = repeated(parts["test"], [parts[name] for name in others])
    if level == "char":
        vocabulary: Vocabulary = Alphabet(corpus.text)
        texts = {name: EncodedText(vocabulary.encode(part)[0]) for name, part in parts.items()}
        return Tokenised(vocabulary, texts, int(copied.sum()), float(copied.mean()))

    def build() -> tuple[Arrays, dict[str, Any]]:
        trained = train_tokenizer(parts["train"], level, vocabulary_size, minimum_count)
        vocabulary = TrainedVocabulary(level, trained)
        arrays: Arrays = {}
        for name, part in parts.items():
            arrays[f"{name}_ids"], arrays[f"{name}_ends"] = vocabulary.encode(part)
        return arrays, {"tokenizer": trained}

    arrays, metadata = cache(cache_key(corpus, split, level, vocabulary_size, minimum_count), build)
    vocabulary = TrainedVocabulary(level, metadata["tokenizer"])
    texts = {}
    for name in parts:
        ids, ends = np.array(arrays[f"{name}_ids"]), np.array(arrays[f"{name}_ends"])
        spelling = spelling_of(ids, ends, vocabulary, len(set(corpus.text)))
        texts[name] = EncodedText(ids, ends, spelling)
    check_tokens(corpus, texts, vocabulary)
    last_characters = arrays["test_ends"] - 1
    return Tokenised(vocabulary, texts, int(copied[last_characters].sum()), float(copied.mean()))


def spelling_of(
    ids: Integers, ends: Integers, vocabulary: Vocabulary, alphabet: int
) -> Floats | None:
    """Return the nats (tokens,) up to each token that spell the unknown ones.

    Each of their characters, and an end, costs the logarithm of the size of the alphabet and end.
    """
    if vocabulary.unknown is None:
        return None
    characters = np.diff(ends, prepend=0) + 1.0
    nats = np.where(ids == vocabulary.unknown, characters * np.log(alphabet + 1), 0.0)
    return np.cumsum(nats)


def cache_key(corpus: Corpus, *settings: object) -> str:
    """Return the name of a text's encoding in the cache."""
    import tokenizers

    digest = hashlib.sha256(corpus.text.encode())
    digest.update(f"{settings} form {FORM} tokenizers {tokenizers.__version__}".encode())
    return f"lm-{digest.hexdigest()[:32]}"


def check_tokens(corpus: Corpus, texts: dict[Split, EncodedText], vocabulary: Vocabulary) -> None:
    """Raise DataError for a text that is too short, or of which no word is in the vocabulary."""
    units = UNITS[vocabulary.level][1]
    for split, text in texts.items():
        if len(text.ids) < 2:
            raise DataError(
                f"{corpus.where}: too few {units} for {split}: {len(text.ids)}; give a longer "
                f"text, or set task.level=char"
            )
    if len(vocabulary.tokens) < 2:
        raise DataError(
            f"{corpus.where}: no word occurs task.minimum_count times in training; lower it, or "
            f"set task.level=char"
        )
