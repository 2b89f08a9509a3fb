"""Documents in two or more classes, as ragged token ids in batches of similar length."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tasks.base import SPLITS, Arrays, Batch, FittedBaseline, SequenceEncoder, Split, Task
from tasks.common.classification import ClassificationTask
from tasks.text.baselines import Corpus, fit
from tasks.text.batches import Documents, shuffled_by_length
from tasks.text.preparation import lengths_of
from tasks.text.pretraining import DocumentPretraining
from tasks.text.settings import DocumentSettings
from tasks.text.tokenizer import PADDING, UNKNOWN, Texts, encode, stored_tokenizer

if TYPE_CHECKING:
    import numpy as np
    import torch
    from torch import Tensor, nn

EXCERPTS = 20


class DocumentTask(ClassificationTask):
    """A classification of documents; a subclass sets `data`.

    Args:
        settings: of the vocabulary, the cut and the network.
        classes: names of the labels.
        arrays: of `tasks.text.preparation.encoded`.
        metadata: of the same.
    """

    def __init__(
        self,
        settings: DocumentSettings,
        classes: Sequence[str],
        arrays: Arrays,
        metadata: dict[str, Any],
    ) -> None:
        import torch

        self.settings = settings
        self.classes = tuple(classes)
        self.vocabulary_size: int = metadata["vocabulary_size"]
        self.tokenizer_kind: str = metadata["tokenizer"]
        self.tokenizer_content = arrays["tokenizer"].tobytes()
        self.input_size = settings.embedding_size
        self.documents: dict[Split, Documents] = {
            split: Documents(
                torch.from_numpy(arrays[f"{split}_tokens"]),
                torch.from_numpy(arrays[f"{split}_offsets"]),
                torch.from_numpy(arrays[f"{split}_labels"]),
                settings.max_length,
            )
            for split in SPLITS
        }
        self.texts = {
            split: Texts(arrays[f"{split}_content"], arrays[f"{split}_content_offsets"])
            for split in SPLITS
        }
        self.lengths = lengths_of(arrays)

    def to(self, device: torch.device, dtype: torch.dtype) -> None:
        """See `Task.to`."""
        self.documents = {split: each.to(device) for split, each in self.documents.items()}

    def network(self, encoder: SequenceEncoder) -> nn.Module:
        """See `Task.network`."""
        from tasks.modules.network import SequenceNetwork

        return SequenceNetwork(
            encoder,
            self.output_size,
            self.settings.pooling,
            vocabulary_size=self.vocabulary_size,
            embedding_dropout=self.settings.embedding_dropout,
            word_dropout=self.settings.word_dropout,
            unknown=UNKNOWN,
            chop=self.settings.chop,
        )

    def pretraining(self, network: nn.Module, is_bidirectional: bool) -> Task:
        """See `Task.pretraining`; a language model of the training documents."""
        return DocumentPretraining(self.documents["train"], network, is_bidirectional, self.data)

    def steps_per_epoch(self, batch_size: int) -> int:
        """See `Task.steps_per_epoch`."""
        return math.ceil(len(self.documents["train"]) / batch_size)

    def batches(
        self, split: Split, batch_size: int, order: np.random.Generator | None = None
    ) -> Iterator[Batch]:
        """Yield batches of documents of similar length; an evaluation starts with the shortest."""
        import numpy as np

        documents = self.documents[split]
        if order is None:
            groups = np.split(
                np.argsort(documents.lengths, kind="stable"),
                range(batch_size, len(documents), batch_size),
            )
        else:
            groups = shuffled_by_length(documents.lengths, batch_size, order)
        for group in groups:
            yield documents.batch(group)

    def single_sequences(self, count: int) -> Iterator[Batch]:
        """Yield validation documents in a fixed order that is independent of their length."""
        import numpy as np

        documents = self.documents["validation"]
        for i in range(count):
            yield documents.batch(np.array([i % len(documents)]))

    def excerpts(
        self, split: Split, items: Tensor, predictions: dict[str, Tensor]
    ) -> list[dict[str, Any]]:
        """Return the documents of the largest loss with their complete text."""
        if len(self.classes) == 2:
            logits, positive = predictions["logit"], predictions["positive"]
            # A small margin is a large loss; margins differ even if losses are rounded to 0.
            worst = logits.where(positive, -logits).argsort(stable=True)[:EXCERPTS].tolist()
            labels, predicted = positive.int(), (logits > 0).int()
            losses = [{"logit": float(logits[i]), "positive": bool(positive[i])} for i in worst]
        else:
            labels, predicted = predictions["label"], predictions["predicted_label"]
            nats = predictions["nats"]
            worst = nats.argsort(descending=True, stable=True)[:EXCERPTS].tolist()
            losses = [{"nats": float(nats[i])} for i in worst]
        numbers = items[worst].tolist()
        texts = [text.replace("<br />", "\n") for text in self.texts[split].read(numbers)]
        return [
            {
                "item": item,
                **loss,
                "label": self.classes[labels[i]],
                "predicted_label": self.classes[predicted[i]],
                "text": text,
            }
            for i, item, loss, text in zip(worst, numbers, losses, texts, strict=True)
        ]

    def fit_baseline(self, name: str, seed: int) -> FittedBaseline:
        """See `Task.fit_baseline`."""
        labels = {split: each.labels.cpu().numpy() for split, each in self.documents.items()}
        corpus = Corpus(self.texts, labels, len(self.classes), self.tokenizer_kind == "word")
        return fit(name, corpus, seed)

    def summary(self) -> dict[str, str]:
        """See `Task.summary`."""
        import numpy as np

        labels = np.concatenate([each.labels.cpu().numpy() for each in self.documents.values()])
        counts = np.bincount(labels, minlength=len(self.classes))
        listed = (f"{name} ({n:,})" for name, n in zip(self.classes, counts, strict=True))
        middle, most, longest = np.percentile(self.lengths, [50, 95, 100]).astype(int)
        cut = np.mean(self.lengths > self.settings.max_length)
        return super().summary() | {
            "classes": f"{len(self.classes)}: {', '.join(listed)}",
            "tokens": self.data.tokenization,
            "lengths": f"median {middle:,} tokens, 95% at most {most:,}, longest {longest:,}; "
            f"{cut:.1%} are cut to task.max_length={self.settings.max_length}",
        }

    def new_batches(self, file: str, batch_size: int) -> Iterator[Batch]:
        """See `Task.new_batches`; a .txt file has a text per line, a table a column of texts."""
        import torch

        from tasks.text.reading import new_texts

        texts = new_texts(Path(file), getattr(self.settings, "text", None))
        tokenizer = stored_tokenizer(self.tokenizer_content)
        for start in range(0, len(texts), batch_size):
            tokens, offsets = encode(tokenizer, texts[start : start + batch_size])
            count = len(offsets) - 1
            documents = Documents(
                torch.from_numpy(tokens),
                torch.from_numpy(offsets),
                torch.zeros(count, dtype=torch.int8),
                self.settings.max_length,
            ).to(self.documents["test"].tokens.device)
            batch = documents.batch(torch.arange(count).numpy())
            batch.items = batch.items + start
            yield batch

    def answers(self, outputs: Tensor, batch: Batch) -> dict[str, list[Any]]:
        """Return the number from 1, the predicted class and the probabilities of each new text."""
        rows = [item + 1 for item in batch.items.tolist()]
        return {"row": rows} | super().answers(outputs, batch)

    def preprocessing(self) -> tuple[dict[str, Any], dict[str, str]]:
        """See `Task.preprocessing`."""
        tokenizer = stored_tokenizer(self.tokenizer_content)
        longest = self.settings.max_length
        second = self.classes[-1]
        outputs = (
            f"log-odds of class {second}; {second} if above 0"
            if len(self.classes) == 2
            else "logits, one per class in the order of `classes`"
        )
        return {
            "inputs": "token ids from tokenizer.json with encode_special_tokens = true; [no_token] "
            "for a text without any token; the first `first` and last `last` tokens of a text of "
            "more than max_length; padded to the longest of a batch with `padding`",
            "no_token": UNKNOWN,
            "max_length": longest,
            "first": longest // 4,
            "last": longest - longest // 4,
            "padding": PADDING,
            "lengths": "tokens of each text, without padding",
            "outputs": outputs,
            "classes": list(self.classes),
        }, {"tokenizer.json": tokenizer.to_str(pretty=True)}
