"""Reviews as token ids, cut and padded as they are batched, and the batches of an epoch."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from tasks.base import Batch
from tasks.text.tokenizer import PADDING

if TYPE_CHECKING:
    import numpy as np
    import torch
    from torch import Tensor

BATCHES_PER_BUCKET = 50
"""Training shuffles, then sorts this many batches by length at a time, so that batches hold reviews
of similar length and are still drawn anew each epoch."""


class Reviews:
    """Reviews as one flat tensor of token ids, shortened as they are batched.

    A review of more than `max_length` tokens keeps its first quarter of them and its last three: it
    says what it thinks in its opening and, more often, in its last lines.

    Args:
        tokens: (total,) ids of the whole reviews.
        offsets: (reviews + 1,) where each begins and ends.
        labels: (reviews,) 0 or 1.
        max_length: tokens a batch may hold of one review.
    """

    def __init__(self, tokens: Tensor, offsets: Tensor, labels: Tensor, max_length: int) -> None:
        self.tokens = tokens
        self.offsets = offsets
        self.labels = labels
        self.max_length = max_length
        # Kept on the CPU as well: what a batch looks like is decided there, without waiting.
        self.lengths = offsets.diff().clamp(max=max_length).cpu().numpy()

    def __len__(self) -> int:
        return len(self.lengths)

    def to(self, device: torch.device) -> Reviews:
        """Return the reviews on a device."""
        return Reviews(
            self.tokens.to(device),
            self.offsets.to(device),
            self.labels.to(device),
            self.max_length,
        )

    def batch(self, group: np.ndarray[Any, Any]) -> Batch:
        """Pad some reviews, given by number, to the longest of them."""
        import torch

        lengths = self.lengths[group]
        members = torch.from_numpy(group).to(self.tokens.device)
        begins = self.offsets[members].unsqueeze(1)
        whole = self.offsets[members + 1].unsqueeze(1) - begins
        valid = whole.clamp(max=self.max_length)
        steps = torch.arange(int(lengths.max()), device=self.tokens.device)
        left_out = (whole - valid) * (steps >= self.max_length // 4)
        # Places beyond a review's end point into the next one, or past the last; both are masked.
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
    """Cut a shuffle of all reviews into batches of similar length, in random order."""
    import numpy as np

    shuffled = order.permutation(len(lengths))
    bucket = batch_size * BATCHES_PER_BUCKET
    batches = []
    for start in range(0, len(shuffled), bucket):
        members = shuffled[start : start + bucket]
        members = members[np.argsort(lengths[members], kind="stable")]
        batches += np.split(members, range(batch_size, len(members), batch_size))
    return [batches[i] for i in order.permutation(len(batches))]
