"""Words of documents: tokenizer, vocabulary, and ragged arrays of token ids and texts."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import numpy as np

PADDING, UNKNOWN = 0, 1
SPECIAL_TOKENS = ["[PAD]", "[UNK]"]


def train_tokenizer(texts: Sequence[str], vocabulary_size: int, minimum_count: int) -> Any:
    """Build a word-level tokenizer of lower-case text, without the line breaks of web reviews."""
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
    # A document that contains "[PAD]" means five characters, not our padding.
    tokenizer.encode_special_tokens = True
    return tokenizer


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
