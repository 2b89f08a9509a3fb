"""Character language modelling: tiny Shakespeare, or any UTF-8 text."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from tasks.base import (
    Baseline,
    Batch,
    Cache,
    DataDescription,
    DataError,
    FittedBaseline,
    Metric,
    SequenceEncoder,
    Split,
    Task,
    TaskSettings,
    exact_dtype,
    setting,
)

if TYPE_CHECKING:
    import numpy as np
    import torch
    from torch import Tensor, nn

BUNDLED = Path(__file__).parents[1] / "data" / "tinyshakespeare.txt"
BOUNDARIES = {"90/5/5": (0.90, 0.95), "nanogpt": (0.90, 0.90)}  # train's end, test's start
EVALUATION_CHUNK = 4096  # limits memory and changes no number


@dataclass
class ShakespeareSettings(TaskSettings):
    """Next-character prediction in one long text."""

    name: ClassVar[str] = "shakespeare"
    primary_metric: ClassVar[Metric] = Metric(
        "perplexity", "per character", higher_is_better=False, perfect=1.0, margin="2%"
    )
    causal: ClassVar[bool] = True

    corpus: str | None = setting(
        None,
        "path of a UTF-8 text file; null for the bundled tiny Shakespeare",
        identity=False,
        is_path=True,
    )
    split: str = setting(
        "90/5/5",
        "in order; nanogpt is the usual 90/10 split, in which validation = test",
        choices=tuple(BOUNDARIES),
    )
    chunk_length: int = setting(128, "steps of truncated backpropagation through time", minimum=1)
    embedding_size: int = setting(64, "per character", minimum=1)
    sample_chars: int = setting(
        400, "characters to generate after training", minimum=0, identity=False
    )
    temperature: float = setting(0.8, "of the sample", above=0.0, identity=False)

    def baselines(self) -> dict[str, Baseline]:
        """See `TaskSettings.baselines`."""
        from tasks.language import kneser_ney

        return kneser_ney.baselines()

    def check(self) -> None:
        """Check the path of the corpus."""
        if self.corpus is not None and not Path(self.corpus).is_file():
            raise DataError(f"task.corpus={self.corpus}: no such file")

    def load(self, cache: Cache) -> Task:
        """Read and split the text; it is too small to need the cache."""
        return ShakespeareTask(self, *read_text(self.corpus))


def read_text(corpus: str | None) -> tuple[str, str]:
    """Return the text, without byte-order mark and Windows line ends, and a title for it."""
    path = BUNDLED if corpus is None else Path(corpus)
    try:
        text = path.read_bytes().decode("utf-8-sig").replace("\r\n", "\n")
    except UnicodeDecodeError as error:
        raise DataError(
            f"task.corpus={corpus}: not UTF-8 text (byte {error.start} cannot be decoded); "
            f"convert it, for example with iconv -t UTF-8"
        ) from error
    except OSError as error:
        raise DataError(f"task.corpus={corpus}: cannot be read ({error.strerror})") from error
    if not text.strip():
        raise DataError(f"task.corpus={corpus}: the text is empty")
    return text, "tiny Shakespeare (bundled)" if corpus is None else f"text {path.name}"


class ShakespeareTask(Task):
    """One text in three splits; training reads it in parallel streams."""

    def __init__(self, settings: ShakespeareSettings, text: str, title: str) -> None:
        import numpy as np
        import torch

        self.settings = settings
        self.input_size = settings.embedding_size
        # The alphabet is that of the whole text, as in the literature: every character needs a
        # probability.
        codes = np.frombuffer(text.encode("utf-32-le"), dtype="<u4")
        alphabet = np.flatnonzero(np.bincount(codes))
        self.characters = [chr(code) for code in alphabet]
        numbers = np.zeros(alphabet[-1] + 1, dtype=np.int64)
        numbers[alphabet] = np.arange(len(alphabet))
        encoded = torch.from_numpy(numbers[codes])
        train_end, test_start = (int(end * len(text)) for end in BOUNDARIES[settings.split])
        same = settings.split == "nanogpt"
        self.splits: dict[Split, Tensor] = {
            "train": encoded[:train_end],
            "validation": encoded[train_end:] if same else encoded[train_end:test_start],
            "test": encoded[test_start:],
        }
        for split, ids in self.splits.items():
            if len(ids) < 2:
                raise DataError(
                    f"task.corpus={settings.corpus}: the text has {len(text)} characters, "
                    f"{len(ids)} of them for {split}; give one of 60 characters or more"
                )
        self.data = DataDescription(
            name=title,
            sha256=hashlib.sha256(text.encode()).hexdigest(),
            split="90/10 in order, validation = test" if same else "90/5/5 in order",
            train_size=len(self.splits["train"]),
            validation_size=len(self.splits["validation"]),
            test_size=len(self.splits["test"]),
            unit="characters",
            notices=(
                "validation = test in this split, so the test score is that of model selection",
            )
            if same
            else (),
        )

    def to(self, device: torch.device, dtype: torch.dtype) -> None:
        """See `Task.to`."""
        self.splits = {split: ids.to(device) for split, ids in self.splits.items()}

    def network(self, encoder: SequenceEncoder) -> nn.Module:
        """See `Task.network`."""
        from tasks.modules.network import SequenceNetwork

        count = len(self.characters)
        return SequenceNetwork(encoder, count, vocabulary_size=count)

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
        import torch

        text = self.splits[split]
        items = torch.arange(len(text) - 1, device=text.device)
        if order is None:
            yield from chunks(text, items.unsqueeze(0), EVALUATION_CHUNK)
            return
        count, length = self.streams(batch_size), self.settings.chunk_length
        spare = min(length, len(text) - 1 - count)
        items = items[int(order.integers(spare)) if spare > 0 else 0 :]
        steps = len(items) // count
        # The last target of a stream is the first input of the next one.
        yield from chunks(text, items.unfold(0, steps, steps)[:count], length)

    def loss(self, outputs: Tensor, batch: Batch) -> Tensor:
        """Return the mean cross-entropy per character, in nats."""
        return self._nats(outputs, batch) / batch.tokens

    def sums(self, outputs: Tensor, batch: Batch) -> dict[str, Tensor]:
        """Return total nats and characters."""
        nats = self._nats(exact(outputs), batch)
        return {"nats": nats, "characters": nats.new_tensor(batch.tokens)}

    def metrics(self, sums: dict[str, float]) -> dict[str, float]:
        """Compute nats and bits per character, and perplexity."""
        nats = sums["nats"] / sums["characters"]
        return {
            "loss": nats,
            "perplexity": math.exp(min(nats, 700.0)),  # larger values overflow
            "bits_per_character": nats / math.log(2),
        }

    def single_sequences(self, count: int) -> Iterator[Batch]:
        """Yield single chunks that are spread over the validation split."""
        import torch

        text = self.splits["validation"]
        length = min(self.settings.chunk_length, len(text) - 1)
        for i in range(count):
            start = (i * length) % (len(text) - length)
            items = torch.arange(start, start + length, device=text.device).unsqueeze(0)
            yield next(chunks(text, items, length))

    def predictions(self, outputs: Tensor, batch: Batch) -> dict[str, Tensor]:
        """Return nats per character."""
        return {"nats": self._nats(exact(outputs), batch, "none").float()}

    def fit_baseline(self, name: str, seed: int) -> FittedBaseline:
        """See `Task.fit_baseline`."""
        from tasks.language import kneser_ney

        return kneser_ney.fit(name, self.splits, len(self.characters))

    def preprocessing(self) -> tuple[dict[str, Any], dict[str, str]]:
        """See `Task.preprocessing`."""
        return {
            "inputs": "character ids: the position of a character in `characters`, from 0",
            "outputs": "logits of the next character; their softmax gives its probabilities",
            "state": "zeros at first, then the state returned by the previous call",
            "characters": self.characters,
        }, {}

    def showcase(self, network: nn.Module, seed: int) -> str | None:
        """Generate text after a newline (or the first character) with the run's seed."""
        if not self.settings.sample_chars:
            return None
        from tasks.language.sampling import generate

        start = self.characters.index("\n") if "\n" in self.characters else 0
        prompt = self.splits["train"].new_tensor([start])
        ids = generate(network, prompt, self.settings.sample_chars, self.settings.temperature, seed)
        return "".join(self.characters[i] for i in ids)

    def _nats(self, outputs: Tensor, batch: Batch, reduction: str = "sum") -> Tensor:
        from torch.nn import functional as F

        return F.cross_entropy(outputs.flatten(0, 1), batch.targets.flatten(), reduction=reduction)


def exact(outputs: Tensor) -> Tensor:
    """Convert outputs to float64 if the device supports it."""
    return outputs.to(exact_dtype(outputs.device))


def chunks(text: Tensor, streams: Tensor, length: int) -> Iterator[Batch]:
    """Yield chunks of streams (count, steps) of items; item i predicts character i + 1."""
    for start in range(0, streams.shape[1], length):
        items = streams[:, start : start + length]
        yield Batch(
            inputs=text[items],
            targets=text[items + 1],
            tokens=items.numel(),
            items=items,
            continues=start > 0,
        )
