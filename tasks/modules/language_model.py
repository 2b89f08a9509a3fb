"""A language model around the embedding and the encoder of another network."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

NEGATIVES = 2000
"""Sampled tokens per step; a vocabulary of up to twice as many uses the whole softmax."""


class LanguageModel(nn.Module):
    """Predict the next token; with a backward direction also the previous token.

    Both directions share the output layer. The two halves of the encoder's outputs read one
    direction each, so no direction sees the token that it predicts.

    Args:
        network: a `SequenceNetwork` with an embedding; its encoder has one layer if bidirectional.
        is_bidirectional: of the encoder.
    """

    def __init__(self, network: Any, is_bidirectional: bool) -> None:
        super().__init__()
        self.network = network  # its own head receives no gradient
        self.is_bidirectional = is_bidirectional
        width = network.encoder.output_size // (2 if is_bidirectional else 1)
        self.head = nn.Linear(width, network.embedding.num_embeddings)

    def forward(self, ids: Tensor, lengths: Tensor, state: None = None) -> tuple[Tensor, None]:
        """Return the mean nats per prediction over both directions."""
        features = self.network.features(ids)  # with the dropout of the inputs
        outputs = self.network.encoder(features, lengths, need_state=False)[0]
        outputs = self.network.output_dropout(outputs)
        width = self.head.in_features
        hidden, targets = [outputs[:, :-1, :width]], [ids[:, 1:]]
        if self.is_bidirectional:
            hidden.append(outputs[:, 1:, width:])
            targets.append(ids[:, :-1])
        steps = torch.arange(1, ids.shape[1], device=ids.device)
        valid = (steps < lengths.unsqueeze(1)).repeat(len(targets), 1).flatten()
        nats = self.nats(torch.cat(hidden).flatten(0, 1), torch.cat(targets).flatten().long())
        return (nats * valid).sum() / valid.sum().clamp(min=1), None

    def nats(self, hidden: Tensor, targets: Tensor) -> Tensor:
        """Return the cross-entropy of each prediction; that of samples for a large vocabulary."""
        size = self.head.out_features
        if size <= 2 * NEGATIVES:
            return F.cross_entropy(self.head(hidden), targets, reduction="none")
        # Log-uniform by rank: ids are in the order of their frequency.
        uniform = torch.rand(NEGATIVES, device=hidden.device)
        sampled = ((uniform * math.log(size + 1)).exp() - 1).long().clamp(0, size - 1)
        weight, bias = self.head.weight, self.head.bias
        negative = F.linear(hidden, weight[sampled], bias[sampled] - log_rate(sampled, size))
        negative = negative.masked_fill(targets.unsqueeze(1) == sampled, -torch.inf)
        positive = (hidden * weight[targets]).sum(1) + bias[targets] - log_rate(targets, size)
        return torch.cat([positive.unsqueeze(1), negative], dim=1).logsumexp(1) - positive


def log_rate(ids: Tensor, size: int) -> Tensor:
    """Return the logarithm of the expected number of samples of each id (Bengio & Senecal 2008)."""
    share = (1 / (ids + 1.0)).log1p() / math.log(size + 1)
    return (NEGATIVES * share).log()
