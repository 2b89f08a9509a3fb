"""How much of a device's peak a training uses: model FLOPs utilisation, see docs/method.md."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from models.modules.encoder import Encoder
from tasks.base import Batch

STEP_OVER_FORWARD = 3
"""Matrix products of a training step by those of its forward pass: each has two in the backward,
one for the gradient of its input and one for that of its weights."""


def utilisation(flops_per_token: float, tokens_per_second: float, peak_gflops: float) -> float:
    """Part of the peak at which a training computes.

    Args:
        flops_per_token: of the forward matrix products.
        tokens_per_second: of the training.
        peak_gflops: in 10⁹ operations a second.
    """
    return STEP_OVER_FORWARD * flops_per_token * tokens_per_second / (peak_gflops * 1e9)


def flops_per_token(network: nn.Module, encoder: Encoder, batch: Batch) -> float:
    """Operations of a network's forward matrix products per valid token of a batch.

    Those of the encoder are what it says of itself. The task's own are those of its linear layers,
    counted on the batch, as it is the task's affair whether they see every step or one a sequence.
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
