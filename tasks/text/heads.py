"""The network of a text classifier: embedding, encoder, pooling over valid steps, linear head."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

from tasks.base import SequenceEncoder


class SequenceClassifier(nn.Module):
    """Classify sequences of token ids; word dropout replaces a token by the id `unknown`."""

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
        self.head = nn.Linear((2 if pooling == "mean_max" else 1) * encoder.output_size, 1)

    def forward(self, inputs: Tensor, lengths: Tensor, state: None = None) -> tuple[Tensor, None]:
        """Map token ids (batch, time) to logits (batch,); no state is carried over."""
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
        """Pool (batch, time, width), zero beyond the lengths, over valid steps."""
        if self.pooling == "last":
            last: Tensor = self.encoder.last_outputs(outputs, lengths)
            return last
        parts = []
        if self.pooling in ("mean", "mean_max"):
            parts.append(mean_over_steps(outputs, lengths))
        if self.pooling in ("max", "mean_max"):
            parts.append(max_over_steps(outputs, lengths))
        return torch.cat(parts, dim=-1)


def mean_over_steps(outputs: Tensor, lengths: Tensor) -> Tensor:
    """Average (batch, time, width), zero beyond the lengths, over valid steps: (batch, width)."""
    return outputs.sum(1) / lengths.unsqueeze(1).to(outputs.dtype)


def max_over_steps(outputs: Tensor, lengths: Tensor) -> Tensor:
    """Return the maximum of (batch, time, width) over valid steps: (batch, width)."""
    steps = torch.arange(outputs.shape[1], device=outputs.device)
    beyond = (steps >= lengths.unsqueeze(1)).unsqueeze(-1)
    # An addition is several times as fast as masked_fill, which copies first.
    penalty = outputs.new_zeros(beyond.shape).masked_fill_(beyond, -torch.inf)
    # `Function.apply` has no annotations.
    maximum: Tensor = _Max.apply(outputs + penalty)  # type: ignore[no-untyped-call]
    return maximum


class _Max(torch.autograd.Function):
    """`outputs.amax(1)` with a faster gradient, without tensors of booleans."""

    @staticmethod
    def forward(ctx: Any, outputs: Tensor) -> Tensor:
        maximum = outputs.amax(1)
        ctx.save_for_backward(outputs, maximum)
        return maximum

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> Tensor:
        outputs, maximum = ctx.saved_tensors
        # 1 for a maximum, 0 for other steps; equal maxima share the gradient.
        is_maximum: Tensor = (outputs - maximum.unsqueeze(1)).sign_().add_(1)
        share = gradient / is_maximum.sum(1)
        return is_maximum.mul_(share.unsqueeze(1))
