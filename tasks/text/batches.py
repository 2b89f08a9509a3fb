"""Documents as token ids, truncated and padded into batches."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from tasks.base import Batch
from tasks.text.tokenizer import PADDING

if TYPE_CHECKING:
    import numpy as np
    import torch
    from torch import Tensor

BATCHES_PER_BUCKET = 50  # sorted by length together after a shuffle


@dataclass
class Documents:
    """Documents as one flat tensor of token ids, truncated as they are batched.

    A document of more than `max_length` tokens keeps its head, a quarter of them, and its tail.
    """

    tokens: Tensor
    offsets: Tensor
    labels: Tensor
    max_length: int

    def __post_init__(self) -> None:
        # A copy on the CPU, so that the shape of a batch is available without synchronisation.
        self.lengths = self.offsets.diff().clamp(max=self.max_length).cpu().numpy()

    def __len__(self) -> int:
        return len(self.lengths)

    def to(self, device: torch.device) -> Documents:
        """Return the documents on a device."""
        tokens, offsets, labels = (x.to(device) for x in (self.tokens, self.offsets, self.labels))
        return Documents(tokens, offsets, labels, self.max_length)

    def batch(self, group: np.ndarray[Any, Any]) -> Batch:
        """Pad the documents with the given indices to the longest of them."""
        import torch

        lengths = self.lengths[group]
        members = torch.from_numpy(group).to(self.tokens.device)
        begins = self.offsets[members].unsqueeze(1)
        whole = self.offsets[members + 1].unsqueeze(1) - begins
        valid = whole.clamp(max=self.max_length)
        steps = torch.arange(int(lengths.max()), device=self.tokens.device)
        left_out = (whole - valid) * (steps >= self.max_length // 4)
        # Positions beyond a document's end are in the next one, or past the last; both are masked.
        places = (begins + steps + left_out).clamp_(max=len(self.tokens) - 1)
        inputs = self.tokens[places].masked_fill_(steps >= valid, PADDING)
        return Batch(
            inputs=inputs,
            targets=self.labels[members],
            lengths=valid.squeeze(1),
            tokens=int(lengths.sum()),
            items=members,
        )


def shuffled_by_length(
    lengths: np.ndarray[Any, Any], batch_size: int, order: np.random.Generator
) -> list[np.ndarray[Any, Any]]:
    """Return the indices of shuffled batches of similar length."""
    import numpy as np

    shuffled = order.permutation(len(lengths))
    bucket = batch_size * BATCHES_PER_BUCKET
    batches = []
    for start in range(0, len(shuffled), bucket):
        members = shuffled[start : start + bucket]
        members = members[np.argsort(lengths[members], kind="stable")]
        batches += np.split(members, range(batch_size, len(members), batch_size))
    return [batches[i] for i in order.permutation(len(batches))]
