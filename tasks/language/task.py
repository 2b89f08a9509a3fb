"""Language modelling of any text in characters, words or byte pairs."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, cast

from tasks.base import (
    Batch,
    Cache,
    DataError,
    FittedBaseline,
    Metric,
    SequenceEncoder,
    Split,
    Task,
    exact_dtype,
    setting,
)
from tasks.language.levels import UNITS, LevelName
from tasks.language.settings import LanguageSettings

if TYPE_CHECKING:
    import numpy as np
    import torch
    from torch import Tensor, nn

    from tasks.language.sources import Corpus
    from tasks.language.vocabulary import Floats, Integers, Tokenised

EVALUATION_CHUNK = 4096  # steps; limits memory and changes scores by rounding at most
EVALUATION_OUTPUTS = 2**24  # of a chunk: steps times vocabulary
MOST_NATS = 700.0  # larger values overflow
VOCABULARY_SIZES = {"word": 10_000, "bpe": 1_000}
MINIMUM_COUNT = 2


@dataclass
class LmSettings(LanguageSettings):
    """Prediction of the next character, word or byte pair of your own text."""

    name: ClassVar[str] = "lm"
    data_needs: ClassVar[str] = "a language model needs a .txt file that is not a table"
    data_endings: ClassVar[tuple[str, ...]] = (".text", ".md")

    data: str | None = setting(
        None,
        "a UTF-8 text file, or a folder whose *.txt files are joined in the order of their names",
        identity=False,
        is_path=True,
    )
    chunk_length: int = setting(64, "steps of truncated backpropagation through time", minimum=1)
    level: str = setting(
        "char",
        "unit of prediction; word: words and punctuation with the space before them, and line "
        "ends; bpe: byte-level byte-pair encoding, without unknown tokens",
        choices=("char", "word", "bpe"),
    )
    vocabulary_size: int | None = setting(
        None,
        "number of tokens, chosen by their count in training; null for 10,000 words or 1,000 byte "
        "pairs; not for char, whose alphabet is that of the text",
        minimum=3,
    )
    minimum_count: int = setting(
        MINIMUM_COUNT,
        "occurrences in training of a word of the vocabulary, or of a byte pair",
        minimum=1,
    )
    sample_tokens: int = setting(
        200, "tokens to generate after training", minimum=0, identity=False
    )

    @property
    # Depends on the level; in the base class it is a ClassVar.
    def primary_metric(self) -> Metric:  # type: ignore[override]
        """Perplexity per token of the level."""
        return Metric("perplexity", f"per {UNITS[self.level_name][0]}", False, 1.0, margin="2%")

    @property
    def level_name(self) -> LevelName:
        """See `LanguageSettings.level_name`."""
        return cast(LevelName, self.level)

    @property
    def sample_length(self) -> int:
        """See `LanguageSettings.sample_length`."""
        return self.sample_tokens

    @staticmethod
    def recognises(path: Path) -> str:
        """See `TaskSettings.recognises`."""
        from tasks.language.sources import recognise

        return recognise(path)

    def check(self) -> None:
        """Check the path of the text, and settings that another one makes meaningless."""
        if self.data is None:
            raise ValueError(
                "task.data: is required; give a UTF-8 text file, or a folder of .txt files"
            )
        if not Path(self.data).exists():
            raise DataError(f"task.data={self.data}: no such file or folder")
        if self.level == "char" and (self.vocabulary_size, self.minimum_count) != (
            None,
            MINIMUM_COUNT,
        ):
            raise ValueError(
                "task.level=char: the alphabet is that of the text; task.vocabulary_size and "
                "task.minimum_count apply to task.level=word and bpe"
            )
        if self.level == "bpe" and (self.vocabulary_size or 1000) <= 256:
            raise ValueError(
                f"task.vocabulary_size={self.vocabulary_size}: a byte-level BPE has 257 or more "
                f"tokens: 256 bytes, and pairs"
            )

    def load(self, cache: Cache) -> Task:
        """Read the text and split it; encodings other than characters come from the cache."""
        from tasks.language.sources import read_corpus
        from tasks.language.vocabulary import tokenise

        corpus = read_corpus(Path(cast(str, self.data)), f"task.data={self.data}")
        size = self.vocabulary_size or VOCABULARY_SIZES.get(self.level, 0)
        tokenised = tokenise(corpus, self.split, cache, self.level_name, size, self.minimum_count)
        return LanguageTask(self, corpus, tokenised)


@dataclass
class TokenBatch(Batch):
    """A batch whose targets have `characters`, and unknown ones `spelling` nats, in total."""

    characters: float = 0
    spelling: float = 0


class LanguageTask(Task):
    """One text in three splits; training reads it in parallel streams."""

    def __init__(self, settings: LanguageSettings, corpus: Corpus, tokenised: Tokenised) -> None:
        import torch

        from tasks.language.description import description

        self.settings = settings
        self.input_size = settings.embedding_size
        self.vocabulary = tokenised.vocabulary
        self.tokenised = tokenised
        self.splits: dict[Split, Tensor] = {
            split: torch.from_numpy(text.ids) for split, text in tokenised.texts.items()
        }
        self.characters, self.lines = len(corpus.text), len(corpus.text.splitlines())
        self.data = description(settings, corpus, tokenised)

    def to(self, device: torch.device, dtype: torch.dtype) -> None:
        """See `Task.to`."""
        self.splits = {split: ids.to(device) for split, ids in self.splits.items()}

    def network(self, encoder: SequenceEncoder) -> nn.Module:
        """See `Task.network`."""
        from tasks.modules.network import SequenceNetwork

        count = len(self.vocabulary.tokens)
        return SequenceNetwork(
            encoder,
            count,
            vocabulary_size=count,
            embedding_dropout=self.settings.embedding_dropout,
            is_tied=self.settings.tied,
        )

    def streams(self, batch_size: int) -> int:
        """Count the parallel streams of training: the batch size, or fewer for a short text."""
        return max(
            1, min(batch_size, (len(self.splits["train"]) - 1) // self.settings.chunk_length)
        )

    def steps_per_epoch(self, batch_size: int) -> int:
        """See `Task.steps_per_epoch`."""
        predicted = len(self.splits["train"]) - 1
        return math.ceil(predicted // self.streams(batch_size) / self.settings.chunk_length)

    def batches(
        self, split: Split, batch_size: int, order: np.random.Generator | None = None
    ) -> Iterator[Batch]:
        """Yield consecutive chunks of one stream, or of parallel streams at a random offset."""
        if order is None:
            yield from self.chunks(split, self.evaluation_chunk)
            return
        predicted = len(self.splits[split]) - 1
        count, length = self.streams(batch_size), self.settings.chunk_length
        spare = min(length, predicted - count)
        first = int(order.integers(spare)) if spare > 0 else 0
        steps, jitter = (predicted - first) // count, self.settings.chunk_jitter
        ends = jittered_ends(steps, length, jitter, order) if jitter else chunk_ends(steps, length)
        yield from self._chunks(split, first, count, ends)

    def chunks(self, split: Split, length: int, streams: int = 1) -> Iterator[Batch]:
        """Yield consecutive chunks of parallel streams, from the first token of a split on."""
        steps = (len(self.splits[split]) - 1) // streams
        return self._chunks(split, 0, streams, chunk_ends(steps, length))

    @property
    def evaluation_chunk(self) -> int:
        """Steps of an evaluation's chunk, which bound the size of its outputs."""
        return min(EVALUATION_CHUNK, max(1, EVALUATION_OUTPUTS // len(self.vocabulary.tokens)))

    def _chunks(self, split: Split, first: int, count: int, ends: list[int]) -> Iterator[Batch]:
        """Yield chunks of adjacent streams; item i predicts token i + 1.

        Chunks end at `ends`, in steps of a stream. The last target of a stream is the first input
        of the next one.
        """
        import numpy as np
        import torch

        steps = ends[-1] if ends else 0
        text, encoded = self.splits[split], self.tokenised.texts[split]
        streams = torch.arange(first, first + count * steps, device=text.device).view(count, steps)
        starts = first + steps * np.arange(count)
        for start, end in itertools.pairwise([0, *ends]):
            items = streams[:, start:end]
            where = starts + start, items.shape[1]
            yield TokenBatch(
                inputs=text[items],
                targets=text[items + 1],
                tokens=items.numel(),
                items=items,
                continues=start > 0,
                characters=items.numel() if encoded.ends is None else total(encoded.ends, *where),
                spelling=0 if encoded.spelling is None else total(encoded.spelling, *where),
            )

    def loss(self, outputs: Tensor, batch: Batch) -> Tensor:
        """Return the mean cross-entropy per token, in nats."""
        return self._nats(outputs, batch) / batch.tokens

    def sums(self, outputs: Tensor, batch: Batch) -> dict[str, Tensor]:
        """Return total nats, tokens and characters, and nats of the spelling of unknown tokens."""
        assert isinstance(batch, TokenBatch)
        nats = self._nats(exact(outputs), batch)
        counts: dict[str, float] = {"tokens": batch.tokens, "characters": batch.characters}
        if self.vocabulary.unknown is not None:
            counts["spelling"] = batch.spelling
        return {"nats": nats} | {name: nats.new_tensor(count) for name, count in counts.items()}

    def metrics(self, sums: dict[str, float]) -> dict[str, float]:
        """Compute nats and perplexity per token, and bits per character.

        With unknown tokens, the bits per character that also spell them are an upper bound.
        """
        nats = sums["nats"] / sums["tokens"]
        found = {
            "loss": nats,
            "perplexity": math.exp(min(nats, MOST_NATS)),
            "bits_per_character": sums["nats"] / sums["characters"] / math.log(2),
        }
        if "spelling" in sums:
            nats = (sums["nats"] + sums["spelling"]) / sums["characters"]
            found["bits_per_character_with_spelling"] = nats / math.log(2)
        return found

    def single_sequences(self, count: int) -> Iterator[Batch]:
        """Yield single chunks that are spread over the validation split."""
        text = self.splits["validation"]
        length = min(self.settings.chunk_length, len(text) - 1)
        for i in range(count):
            start = (i * length) % (len(text) - length)
            yield next(self._chunks("validation", start, 1, [length]))

    def predictions(self, outputs: Tensor, batch: Batch) -> dict[str, Tensor]:
        """Return nats per token."""
        return {"nats": self._nats(exact(outputs), batch, "none").float()}

    def outputs_of(self, split: Split, items: Tensor, predictions: dict[str, Tensor]) -> Tensor:
        """See `Task.outputs_of`; tokens other than the true one share the remaining probability."""
        targets = self.splits[split][items + 1].unsqueeze(-1)
        right = -exact(predictions["nats"].clamp(min=0)).view(targets.shape)
        count = len(self.vocabulary.tokens)
        others = (-right.expm1()).log() - math.log(max(1, count - 1))
        return others.expand(*items.shape, count).scatter(-1, targets, right)

    def fit_baseline(self, name: str, seed: int) -> FittedBaseline:
        """See `Task.fit_baseline`."""
        from tasks.language import kneser_ney

        return kneser_ney.fit(name, self.splits, len(self.vocabulary.tokens))

    def summary(self) -> dict[str, str]:
        """See `Task.summary`."""
        copied = f"{self.data.test_in_train:,} test {self.data.unit}"
        return super().summary() | {
            "text": f"{self.characters:,} characters in {self.lines:,} lines",
            "level": self.vocabulary.level,
            "tokens": self.data.tokenization,
            "copied lines": f"{copied} ({self.tokenised.copied_share:.2%} of its characters) are "
            f"in long lines that training or validation contain too",
        }

    def new_batches(self, file: str, batch_size: int) -> Iterator[Batch]:
        """Yield the lines of a text file, in order, with the state carried from line to line."""
        from tasks.language.new_text import line_batches

        device = self.splits["train"].device
        return line_batches(file, self.vocabulary, self.evaluation_chunk, device)

    def answers(self, outputs: Tensor, batch: Batch) -> dict[str, list[Any]]:
        """Return tokens, nats, perplexity and bits per character of each line."""
        from tasks.language.new_text import LineBatch, line_answers

        assert isinstance(batch, LineBatch)
        nats = self._nats(exact(outputs), batch, "none")
        return line_answers(nats, batch, self.vocabulary.unknown)

    def total(self, answers: dict[str, list[Any]]) -> str:
        """See `Task.total`."""
        tokens, nats = sum(answers["tokens"]), sum(answers["nats"])
        return f"{tokens:,} tokens, perplexity {math.exp(min(nats / tokens, MOST_NATS)):.4g}"

    def preprocessing(self) -> tuple[dict[str, Any], dict[str, str]]:
        """See `Task.preprocessing`."""
        from tasks.language.vocabulary import TrainedVocabulary

        common = {
            "outputs": "logits of the next token; their softmax gives its probabilities",
            "state": "zeros at first, then the state returned by the previous call",
        }
        if isinstance(self.vocabulary, TrainedVocabulary):
            return {
                "inputs": "token ids from tokenizer.json with encode_special_tokens = true, line "
                "by line, each with its line end",
                **common,
            }, {"tokenizer.json": self.vocabulary.tokenizer.to_str(pretty=True)}
        return {
            "inputs": "character ids: the position of a character in `characters`, from 0",
            **common,
            "characters": self.vocabulary.tokens,
        }, {}

    def showcase(self, network: nn.Module, seed: int) -> str | None:
        """Generate text after a line end (or the first token) with the run's seed."""
        count = self.settings.sample_length
        if not count:
            return None
        from tasks.language.sampling import generate

        prompt = self.splits["train"].new_tensor([self.vocabulary.line_end or 0])
        ids = generate(network, prompt, count, self.settings.temperature, seed)
        return self.vocabulary.decode(ids)

    def _nats(self, outputs: Tensor, batch: Batch, reduction: str = "sum") -> Tensor:
        from torch.nn import functional as F

        return F.cross_entropy(outputs.flatten(0, 1), batch.targets.flatten(), reduction=reduction)


def chunk_ends(steps: int, length: int) -> list[int]:
    """Return the ends of consecutive chunks of a length; the last one may be shorter."""
    return [*range(length, steps, length), steps] if steps else []


def jittered_ends(steps: int, length: int, jitter: float, order: np.random.Generator) -> list[int]:
    """Return the ends of as many chunks as `chunk_ends` has, of random lengths of at least 1.

    Lengths are uniform within the share `jitter` around their mean, and scaled to `steps`.
    """
    import numpy as np

    count = math.ceil(steps / length)
    ends = np.cumsum(order.uniform(1 - jitter, 1 + jitter, count))
    spread = np.rint(ends / ends[-1:] * (steps - count)).astype(int)
    return [int(end) for end in spread + np.arange(1, count + 1)]


def exact(outputs: Tensor) -> Tensor:
    """Convert outputs to float64 if the device supports it."""
    return outputs.to(exact_dtype(outputs.device))


def total(cumulative: Integers | Floats, items: Integers, count: int) -> float:
    """Sum over the targets of `count` items from each of several first items, given sums up to."""
    return float((cumulative[items + count] - cumulative[items]).sum())
