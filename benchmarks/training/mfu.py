"""Model FLOPs utilisation: training speed relative to the device's peak, see docs/method.md."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from models.modules.encoder import Encoder
from tasks.base import Batch

STEP_OVER_FORWARD = 3
"""Operations of a training step relative to its forward pass: the backward pass has two matrix
products for each of the forward pass, for the gradients of input and weights."""


def utilisation(flops_per_token: float, tokens_per_second: float, peak_gflops: float) -> float:
    """Return the share of the device's peak that training achieves, from forward FLOPs."""
    return STEP_OVER_FORWARD * flops_per_token * tokens_per_second / (peak_gflops * 1e9)


def flops_per_token(network: nn.Module, encoder: Encoder, batch: Batch) -> float:
    """Count the operations of a network's forward matrix products per valid token of a batch.

    The encoder provides its own count. The linear layers of the task are counted on the batch,
    because the task decides whether they process every step or one per sequence.
    """
    counted = 0
    inside = set(encoder.modules())

    def count(layer: nn.Module, inputs: Any, outputs: Tensor) -> None:
        nonlocal counted
        assert isinstance(layer, nn.Linear)
        counted += 2 * layer.in_features * outputs.numel()

    layers = (m for m in network.modules() if isinstance(m, nn.Linear) and m not in inside)
    hooks = [layer.register_forward_hook(count) for layer in layers]
    network.eval()
    try:
        with torch.inference_mode():
            network(batch.inputs, batch.lengths, None)
    finally:
        for hook in hooks:
            hook.remove()
    return encoder.flops_per_token() + counted / batch.tokens
