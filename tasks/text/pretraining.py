"""Self-pretraining: a language model of the training documents around embedding and encoder."""

from __future__ import annotations

import dataclasses
import hashlib
import math
from collections.abc import Iterator
from itertools import pairwise
from typing import TYPE_CHECKING, Any

from tasks.base import Batch, DataDescription, SequenceEncoder, Split, Task
from tasks.text.batches import Documents, shuffled_by_length

if TYPE_CHECKING:
    import numpy as np
    import torch
    from torch import Tensor, nn

PIECE = 128  # tokens; longer documents are cut, and every piece starts with a new state


class DocumentPretraining(Task):
    """Prediction of the next token, and of the previous one by a backward direction.

    There is no evaluation: the text of validation and test is not used.

    Args:
        documents: of the training split.
        network: the classifier, whose embedding and encoder are trained.
        is_bidirectional: the second half of the encoder's outputs reads backwards.
        data: description of the classification task.
    """

    def __init__(
        self,
        documents: Documents,
        network: nn.Module,
        is_bidirectional: bool,
        data: DataDescription,
    ) -> None:
        self.pieces = pieces_of(documents)
        self.data = dataclasses.replace(data, sha256=content_sha256(self.pieces))
        self.classifier, self.is_bidirectional = network, is_bidirectional

    def to(self, device: torch.device, dtype: torch.dtype) -> None:
        """See `Task.to`; the documents are on the device already."""

    def network(self, encoder: SequenceEncoder) -> nn.Module:
        """Return a network of the classifier's embedding and encoder, and a new output layer."""
        from tasks.modules.language_model import LanguageModel

        return LanguageModel(self.classifier, self.is_bidirectional)

    def steps_per_epoch(self, batch_size: int) -> int:
        """See `Task.steps_per_epoch`."""
        return math.ceil(len(self.pieces) / batch_size)

    def batches(
        self, split: Split, batch_size: int, order: np.random.Generator | None = None
    ) -> Iterator[Batch]:
        """Yield shuffled batches of pieces of similar length, of training alone."""
        assert split == "train"
        assert order is not None
        for group in shuffled_by_length(self.pieces.lengths, batch_size, order):
            yield self.pieces.batch(group)

    def loss(self, outputs: Tensor, batch: Batch) -> Tensor:
        """Return the mean nats per predicted token, which the network computes."""
        return outputs

    def sums(self, outputs: Tensor, batch: Batch) -> dict[str, Tensor]:
        """See `Task.sums`."""
        raise NotImplementedError

    def metrics(self, sums: dict[str, Any]) -> dict[str, float]:
        """See `Task.metrics`."""
        raise NotImplementedError

    def single_sequences(self, count: int) -> Iterator[Batch]:
        """See `Task.single_sequences`."""
        raise NotImplementedError

    def predictions(self, outputs: Tensor, batch: Batch) -> dict[str, Tensor]:
        """See `Task.predictions`."""
        raise NotImplementedError


def content_sha256(documents: Documents) -> str:
    """Hash the token ids of all documents, in the order of the split."""
    tokens, offsets = (x.cpu().numpy() for x in (documents.tokens, documents.offsets))
    return hashlib.sha256(tokens.tobytes() + offsets.tobytes()).hexdigest()


def pieces_of(documents: Documents) -> Documents:
    """Cut documents, of any length, into pieces of at most `PIECE` tokens."""
    import numpy as np
    import torch

    offsets = documents.offsets.cpu().numpy()
    cuts = [np.arange(begin, end, PIECE) for begin, end in pairwise(offsets)]
    starts = torch.from_numpy(np.concatenate([*cuts, offsets[-1:]])).to(documents.offsets.device)
    labels = documents.labels.new_zeros(len(starts) - 1)
    return Documents(documents.tokens, starts, labels, PIECE)
