"""The network of most tasks: embedding, encoder, pooling over valid steps, linear head."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

from tasks.base import SequenceEncoder

POOLINGS = ("last", "mean", "max", "mean_max", "attention", "max_attention")
ATTENTION_SIZE = 64  # units of the additive attention


class SequenceNetwork(nn.Module):
    """Map sequences to outputs; ONNX export supports every network of this class.

    Args:
        encoder: maps features to features of every step.
        output_size: outputs (batch, output_size); None for outputs (batch,).
        pooling: one of `POOLINGS`; None for outputs of every step, and for a state that is carried
            from batch to batch.
        vocabulary_size: inputs are token ids below it; None if they are features.
        embedding_dropout: probability of dropping an embedding dimension for a whole sequence.
        word_dropout: probability of replacing a token by the id `unknown` in training.
        is_tied: the head has the weights of the embedding (Press & Wolf 2017).
        chop: steps after which the encoder's state is reset; None for never. Pooling runs over all
            steps of a sequence, so it must not be `last` or None.
    """

    def __init__(
        self,
        encoder: SequenceEncoder,
        output_size: int | None = None,
        pooling: str | None = None,
        *,
        vocabulary_size: int | None = None,
        embedding_dropout: float = 0.0,
        word_dropout: float = 0.0,
        unknown: int = 0,
        is_tied: bool = False,
        chop: int | None = None,
    ) -> None:
        super().__init__()
        assert chop is None or pooling not in (None, "last")
        self.embedding: nn.Embedding | None = None
        if vocabulary_size is not None:
            self.embedding = nn.Embedding(vocabulary_size, encoder.input_size)
            nn.init.normal_(self.embedding.weight, std=0.1)
        self.encoder: SequenceEncoder = encoder
        self.pooling = pooling
        self.word_dropout = word_dropout
        self.unknown = unknown
        self.drops_embedding = embedding_dropout > 0  # multi-seed training replaces `nn.Dropout`
        self.chop = chop
        self.embedding_dropout = nn.Dropout(embedding_dropout)
        self.output_dropout = encoder.output_dropout()
        width = (2 if pooling == "mean_max" else 1) * encoder.output_size
        self.attention: nn.Module | None = None
        if pooling == "attention":
            self.attention = additive_attention(encoder.output_size)
        self.has_single_output = output_size is None
        self.head = nn.Linear(width, output_size or 1)
        if is_tied and self.embedding is not None:
            self.head.weight = self.embedding.weight

    def forward(
        self,
        inputs: Tensor,
        lengths: Tensor | None = None,
        state: tuple[Tensor, ...] | None = None,
    ) -> tuple[Tensor, tuple[Tensor, ...] | None]:
        """Map inputs (batch, time, ...) to outputs, and to the state if there is no pooling."""
        is_pooled = self.pooling is not None
        if self.chop is not None:
            outputs, lengths = self.encoded_in_chunks(inputs, lengths, self.chop)
        else:
            need_state = self.pooling in (None, "last")
            features = self.features(inputs)
            outputs, state = self.encoder(features, lengths, state, need_state=need_state)
        if is_pooled:
            outputs = self.pooled(outputs, lengths, state)
        result = self.head(self.output_dropout(outputs))
        return result.squeeze(
            -1
        ) if self.has_single_output else result, None if is_pooled else state

    def features(self, ids: Tensor) -> Tensor:
        """Embed token ids (batch, time), with dropout in training; return other inputs as given."""
        if self.embedding is None:
            return ids
        if self.training and self.word_dropout > 0:
            dropped = torch.rand(ids.shape, device=ids.device) < self.word_dropout
            ids = ids.masked_fill(dropped, self.unknown)
        features: Tensor = self.embedding(ids)
        if self.training and self.drops_embedding:
            # One mask for all steps of a sequence (Gal & Ghahramani 2016).
            keep = features.new_ones(ids.shape[0], 1, features.shape[-1])
            features = features * self.embedding_dropout(keep)
        return features

    def encoded_in_chunks(
        self, inputs: Tensor, lengths: Tensor | None, chop: int
    ) -> tuple[Tensor, Tensor]:
        """Return outputs (batch, whole chunks, width), zero beyond the lengths, and the lengths.

        Every chunk is a row of its own. A chunk beyond the end of a sequence has length 0: leaving
        it out would need a synchronisation with the device.
        """
        batch, time, *rest = inputs.shape
        if lengths is None:
            lengths = torch.full((batch,), time, device=inputs.device)
        is_traced = torch.compiler.is_compiling()
        size = chop if is_traced else min(chop, time)
        chunks = (time + size - 1) // size
        if is_traced:  # `time` is a symbol, and the number of chunks must not be 1 for some of them
            # PyTorch's function has no annotations.
            chunks = torch.sym_max(chunks, 2)  # type: ignore[no-untyped-call]
        whole = chunks * size
        inputs = nn.functional.pad(inputs, (0, 0) * len(rest) + (0, whole - time))
        rows = self.features(inputs).view(batch * chunks, size, -1)
        starts = torch.arange(0, whole, size, device=inputs.device)
        in_chunk = (lengths.unsqueeze(1) - starts).clamp(min=0, max=size).flatten()
        outputs: Tensor = self.encoder(rows, in_chunk, need_state=False)[0]
        return outputs.view(batch, whole, -1), lengths

    def pooled(
        self, outputs: Tensor, lengths: Tensor | None, state: tuple[Tensor, ...] | None
    ) -> Tensor:
        """Pool (batch, time, width), zero beyond the lengths, over valid steps."""
        if self.pooling == "last":
            last: Tensor = self.encoder.last_outputs(outputs, lengths, state)
            return last
        if self.attention is not None:
            return attended(outputs, self.attention(outputs).squeeze(-1), lengths)
        if self.pooling == "max_attention":  # Maini et al. 2020
            query = max_over_steps(outputs, lengths)
            return attended(outputs, (outputs @ query.unsqueeze(-1)).squeeze(-1), lengths)
        parts = []
        if self.pooling in ("mean", "mean_max"):
            parts.append(mean_over_steps(outputs, lengths))
        if self.pooling in ("max", "mean_max"):
            parts.append(max_over_steps(outputs, lengths))
        return torch.cat(parts, dim=-1)


def additive_attention(width: int) -> nn.Module:
    """Return the scores (…, 1) of outputs (…, width) by Bahdanau et al. 2015: v · tanh(W h + b)."""
    return nn.Sequential(
        nn.Linear(width, ATTENTION_SIZE), nn.Tanh(), nn.Linear(ATTENTION_SIZE, 1, bias=False)
    )


def attended(outputs: Tensor, scores: Tensor, lengths: Tensor | None) -> Tensor:
    """Average (batch, time, width) over valid steps, weighted by the softmax of their scores."""
    if lengths is not None:
        steps = torch.arange(outputs.shape[1], device=outputs.device)
        scores = scores.masked_fill(steps >= lengths.unsqueeze(1), -torch.inf)
    return (scores.softmax(1).unsqueeze(1) @ outputs).squeeze(1)


def mean_over_steps(outputs: Tensor, lengths: Tensor | None) -> Tensor:
    """Average (batch, time, width), zero beyond the lengths, over valid steps: (batch, width)."""
    if lengths is None:
        return outputs.mean(1)
    return outputs.sum(1) / lengths.unsqueeze(1).to(outputs.dtype)


def max_over_steps(outputs: Tensor, lengths: Tensor | None) -> Tensor:
    """Return the maximum of (batch, time, width) over valid steps: (batch, width)."""
    if lengths is not None:
        steps = torch.arange(outputs.shape[1], device=outputs.device)
        beyond = (steps >= lengths.unsqueeze(1)).unsqueeze(-1)
        # An addition is several times as fast as masked_fill, which copies first.
        outputs = outputs + outputs.new_zeros(beyond.shape).masked_fill_(beyond, -torch.inf)
    # `Function.apply` has no annotations.
    maximum: Tensor = _Max.apply(outputs)  # type: ignore[no-untyped-call]
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
