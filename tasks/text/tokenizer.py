"""Words from reviews: tokenizer, vocabulary and ragged arrays of token ids, and of the texts."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import numpy as np

PADDING, UNKNOWN = 0, 1
SPECIAL_TOKENS = ["[PAD]", "[UNK]"]


def train_tokenizer(texts: Sequence[str], vocabulary_size: int, minimum_count: int) -> Any:
    """Build a word-level tokenizer whose vocabulary is the most frequent tokens of `texts`.

    Lower case; a token is a run of letters and digits or a run of punctuation; `<br />`, the line
    break of web reviews, is removed.

    Returns:
        A `tokenizers.Tokenizer` with `PADDING` and `UNKNOWN` as its first two ids.
    """
    from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, trainers

    tokenizer = Tokenizer(models.WordLevel(unk_token=SPECIAL_TOKENS[UNKNOWN]))
    tokenizer.normalizer = normalizers.Sequence(
        [normalizers.Replace("<br />", " "), normalizers.Lowercase()]
    )
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    trainer = trainers.WordLevelTrainer(
        vocab_size=vocabulary_size,
        min_frequency=minimum_count,
        special_tokens=SPECIAL_TOKENS,
        show_progress=False,
    )
    tokenizer.train_from_iterator(texts, trainer)
    # A review that spells "[PAD]" means five characters, not our padding.
    tokenizer.encode_special_tokens = True
    return tokenizer


def encode(tokenizer: Any, texts: Sequence[str]) -> tuple[np.ndarray[Any, Any], ...]:
    """Encode texts as one flat array.

    Returns:
        Token ids (total,) int32, and offsets (texts + 1,) int64: text i is
        `tokens[offsets[i]:offsets[i + 1]]`. A text without any token becomes one `UNKNOWN`.
    """
    import numpy as np

    # The fast form leaves out the character offsets, which nobody here reads.
    ids = [encoding.ids or [UNKNOWN] for encoding in tokenizer.encode_batch_fast(list(texts))]
    offsets = np.zeros(len(ids) + 1, dtype=np.int64)
    np.cumsum([len(each) for each in ids], out=offsets[1:])
    tokens = np.fromiter((i for each in ids for i in each), dtype=np.int32, count=offsets[-1])
    return tokens, offsets


class Texts:
    """Texts as one flat array of UTF-8 bytes, of which only what is asked for is read.

    Args:
        content: (total,) uint8.
        offsets: (texts + 1,) where each begins and ends.
    """

    def __init__(self, content: np.ndarray[Any, Any], offsets: np.ndarray[Any, Any]) -> None:
        self.content = content
        self.offsets = offsets

    def __len__(self) -> int:
        return len(self.offsets) - 1

    def read(self, numbers: Iterable[int]) -> list[str]:
        """Return some of the texts, given by number."""
        return [
            self.content[self.offsets[n] : self.offsets[n + 1]].tobytes().decode() for n in numbers
        ]


def flatten(texts: Sequence[str]) -> tuple[np.ndarray[Any, Any], np.ndarray[Any, Any]]:
    """Return what `Texts` is made of."""
    import numpy as np

    encoded = [text.encode() for text in texts]
    offsets = np.zeros(len(encoded) + 1, dtype=np.int64)
    np.cumsum([len(each) for each in encoded], out=offsets[1:])
    return np.frombuffer(b"".join(encoded), dtype=np.uint8), offsets
