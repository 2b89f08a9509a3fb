"""Words from reviews: tokenizer, vocabulary and ragged arrays of token ids."""

from __future__ import annotations

from collections.abc import Sequence
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
