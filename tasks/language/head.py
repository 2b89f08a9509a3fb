"""The network of a language model: embedding, encoder, linear head."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from tasks.base import SequenceEncoder


class CharacterModel(nn.Module):
    """Predict each next character from all before it; the encoder must be unidirectional."""

    def __init__(self, encoder: SequenceEncoder, vocabulary_size: int, embedding_size: int) -> None:
        super().__init__()
        self.embedding = nn.Embedding(vocabulary_size, embedding_size)
        nn.init.normal_(self.embedding.weight, std=0.1)
        self.encoder: SequenceEncoder = encoder
        self.output_dropout = nn.Dropout(encoder.dropout)
        self.head = nn.Linear(encoder.output_size, vocabulary_size)

    def forward(
        self,
        inputs: Tensor,
        lengths: Tensor | None = None,
        state: tuple[Tensor, ...] | None = None,
    ) -> tuple[Tensor, tuple[Tensor, ...]]:
        """Map character ids (batch, time) to logits (batch, time, vocabulary) and final state."""
        outputs, state = self.encoder(self.embedding(inputs), lengths, state)
        return self.head(self.output_dropout(outputs)), state


@torch.inference_mode()
def generate(
    network: nn.Module, prompt: Tensor, count: int, temperature: float, seed: int
) -> list[int]:
    """Sample `count` characters after a prompt (time,), on the CPU for the same text anywhere."""
    generator = torch.Generator().manual_seed(seed)
    network.eval()
    sampled: list[int] = []
    inputs, state = prompt.unsqueeze(0), None
    for _ in range(count):
        logits, state = network(inputs, None, state)
        probabilities = torch.softmax(logits[0, -1].double().cpu() / temperature, dim=-1)
        sampled.append(int(torch.multinomial(probabilities, 1, generator=generator)))
        inputs = prompt.new_tensor([[sampled[-1]]])
    return sampled
