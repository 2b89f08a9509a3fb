"""Word embeddings whose mean is classified: fastText (Joulin et al. 2016) on words alone."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

WIDTH = 10
EPOCHS = 5
BATCH_SIZE = 32
LEARNING_RATE = 1e-2
"""Falls to 0 in a straight line. Width and epochs are those of the paper, which goes by one review
and plain gradients instead of small batches and Adam."""

Numbers = np.ndarray[Any, Any]


class MeanEmbedding(nn.Module):
    """The mean of a review's word embeddings in, one logit out."""

    def __init__(self, words: int) -> None:
        super().__init__()
        self.embeddings = nn.Parameter(torch.zeros(words, WIDTH))
        self.head = nn.Parameter(torch.zeros(WIDTH))
        self.bias = nn.Parameter(torch.zeros(()))

    def forward(self, shares: Any) -> Tensor:
        """Map (reviews, words), sparse, each word by its share of the review, to (reviews,)."""
        means = F.embedding_bag(
            torch.from_numpy(shares.indices).long(),
            self.embeddings,
            torch.from_numpy(shares.indptr[:-1]).long(),
            mode="sum",
            per_sample_weights=torch.from_numpy(shares.data).float(),
        )
        return means @ self.head + self.bias


def train(
    shares: Any, labels: Numbers, held_out_shares: Any, held_out_labels: Numbers, seed: int
) -> MeanEmbedding:
    """Train by Adam on the cross-entropy and return the epoch best on what was held out.

    On few reviews it needs all epochs, on many it has seen too much after two: so it is chosen,
    as it is for the nets.

    Args:
        shares: (reviews, words) of the training split, as `MeanEmbedding` takes them.
        labels: (reviews,) 0 or 1.
        held_out_shares, held_out_labels: of the validation split.
        seed: of the embeddings and of the order of reviews.
    """
    reviews, words = shares.shape
    draws = torch.Generator().manual_seed(seed)
    net = MeanEmbedding(words)
    nn.init.uniform_(net.embeddings, -1 / WIDTH, 1 / WIDTH, generator=draws)
    targets, held_out_targets = (torch.from_numpy(y).float() for y in (labels, held_out_labels))
    optimiser = torch.optim.Adam(net.parameters(), LEARNING_RATE)
    steps = EPOCHS * -(-reviews // BATCH_SIZE)
    decay = torch.optim.lr_scheduler.LinearLR(optimiser, 1.0, 0.0, steps)
    least, best = float("inf"), {}
    for _ in range(EPOCHS):
        order = torch.randperm(reviews, generator=draws)
        for start in range(0, reviews, BATCH_SIZE):
            group = order[start : start + BATCH_SIZE]
            loss = F.binary_cross_entropy_with_logits(net(shares[group.numpy()]), targets[group])
            optimiser.zero_grad()
            loss.backward()  # type: ignore[no-untyped-call]
            optimiser.step()
            decay.step()
        with torch.no_grad():
            loss = F.binary_cross_entropy_with_logits(net(held_out_shares), held_out_targets)
        if loss.item() < least:
            least, best = loss.item(), {k: v.clone() for k, v in net.state_dict().items()}
    net.load_state_dict(best)
    return net
