"""A sequence in, one logit out: embedding, encoder, pooling over valid steps, linear head."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from tasks.base import SequenceEncoder
from tasks.text.pooling import max_over_steps, mean_over_steps

POOLINGS = {"last": 1, "mean": 1, "max": 1, "mean_max": 2}
"""Ways to pool, and how many encoder outputs wide the result is."""


class SequenceClassifier(nn.Module):
    """Classify sequences of token ids.

    Args:
        encoder: the recurrent encoder.
        vocabulary_size: number of token ids.
        embedding_size: must be the encoder's input size.
        pooling: a key of `POOLINGS`.
        embedding_dropout: probability of dropping an embedding dimension for a whole sequence.
        word_dropout: probability of replacing a token by `unknown` in training.
        unknown: the id of the token for unknown words.
    """

    def __init__(
        self,
        encoder: SequenceEncoder,
        vocabulary_size: int,
        embedding_size: int,
        pooling: str,
        embedding_dropout: float,
        word_dropout: float,
        unknown: int,
    ) -> None:
        super().__init__()
        self.embedding = nn.Embedding(vocabulary_size, embedding_size)
        nn.init.normal_(self.embedding.weight, std=0.1)
        self.encoder: SequenceEncoder = encoder
        self.pooling = pooling
        self.word_dropout = word_dropout
        self.unknown = unknown
        self.embedding_dropout = nn.Dropout(embedding_dropout)
        self.output_dropout = nn.Dropout(encoder.dropout)
        self.head = nn.Linear(POOLINGS[pooling] * encoder.output_size, 1)

    def forward(self, inputs: Tensor, lengths: Tensor, state: None = None) -> tuple[Tensor, None]:
        """Token ids (batch, time) to logits (batch,); there is no state to carry."""
        if self.training and self.word_dropout > 0:
            dropped = torch.rand(inputs.shape, device=inputs.device) < self.word_dropout
            inputs = inputs.masked_fill(dropped, self.unknown)
        features = self.embedding(inputs)
        if self.training and self.embedding_dropout.p > 0:
            # One mask for all steps of a sequence (Gal & Ghahramani 2016).
            keep = features.new_ones(inputs.shape[0], 1, features.shape[-1])
            features = features * self.embedding_dropout(keep)
        outputs, _ = self.encoder(features, lengths, need_state=False)
        pooled = self.pool(outputs, lengths)
        return self.head(self.output_dropout(pooled)).squeeze(-1), None

    def pool(self, outputs: Tensor, lengths: Tensor) -> Tensor:
        """Pool (batch, time, width) over valid steps to (batch, POOLINGS[pooling] · width).

        The outputs must be zero beyond the lengths, as the encoder's contract has it.
        """
        if self.pooling == "last":
            last: Tensor = self.encoder.last_outputs(outputs, lengths)
            return last
        parts = []
        if self.pooling in ("mean", "mean_max"):
            parts.append(mean_over_steps(outputs, lengths))
        if self.pooling in ("max", "mean_max"):
            parts.append(max_over_steps(outputs, lengths))
        return torch.cat(parts, dim=-1)
