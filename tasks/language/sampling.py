"""Text sampled from a trained language model."""

from __future__ import annotations

import torch
from torch import Tensor, nn


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
