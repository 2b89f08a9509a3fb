"""Characters in, next-character logits out: embedding, encoder, linear head."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from tasks.base import SequenceEncoder


class CharacterModel(nn.Module):
    """Predict each next character from all before it.

    Args:
        encoder: the recurrent encoder; must not read ahead.
        vocabulary_size: number of distinct characters.
        embedding_size: must be the encoder's input size.
    """

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
        """Character ids (batch, time) to logits (batch, time, vocabulary) and the final state."""
        outputs, state = self.encoder(self.embedding(inputs), lengths, state)
        return self.head(self.output_dropout(outputs)), state


@torch.inference_mode()
def generate(
    network: nn.Module, prompt: Tensor, count: int, temperature: float, seed: int
) -> list[int]:
    """Draw `count` characters after a prompt of character ids (time,).

    Drawn on the CPU by its own generator, so that a seed gives one text on every device.
    """
    generator = torch.Generator().manual_seed(seed)
    network.eval()
    drawn: list[int] = []
    following, state = prompt.unsqueeze(0), None
    for _ in range(count):
        logits, state = network(following, None, state)
        chances = torch.softmax(logits[0, -1].double().cpu() / temperature, dim=-1)
        drawn.append(int(torch.multinomial(chances, 1, generator=generator)))
        following = prompt.new_tensor([[drawn[-1]]])
    return drawn
