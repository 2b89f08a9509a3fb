"""A network with the stacked parameters of several, each computing an equal part of the batch.

Outside their layers, encoder and task compute every row independently. So only the layers need the
parameters of all networks.
"""

from __future__ import annotations

import copy
from collections import deque
from collections.abc import Mapping

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from models.modules.region import RegionCell


class MaskedDropout(nn.Module):
    """Dropout with masks (networks, ...) from a queue, in the order of the calls."""

    def __init__(self, masks: deque[Tensor]) -> None:
        super().__init__()
        self.masks = masks

    def forward(self, inputs: Tensor) -> Tensor:
        """Multiply features (networks · batch, ...) or weights (networks, ...) by the next mask."""
        return inputs * self.masks.popleft().reshape(inputs.shape)


class StackedLinear(nn.Module):
    """Linear layers: weight (networks, out, in), bias (networks, out) or None."""

    weight: Tensor
    bias: Tensor | None = None

    def forward(self, inputs: Tensor) -> Tensor:
        """Map (networks · batch, ..., in) to (networks · batch, ..., out)."""
        rows = inputs.reshape(self.weight.shape[0], -1, inputs.shape[-1])
        if self.bias is None:
            outputs = torch.bmm(rows, self.weight.mT)
        else:
            outputs = torch.baddbmm(self.bias.unsqueeze(1), rows, self.weight.mT)
        return outputs.view(*inputs.shape[:-1], -1)


class StackedEmbedding(nn.Module):
    """Embeddings: weight (networks, ids, features)."""

    weight: Tensor

    def forward(self, inputs: Tensor) -> Tensor:
        """Map ids (networks · batch, ...) to (networks · batch, ..., features)."""
        networks, ids, _ = self.weight.shape
        offsets = torch.arange(0, networks * ids, ids, device=inputs.device)
        shifted = inputs.view(networks, -1) + offsets.unsqueeze(1)
        return F.embedding(shifted, self.weight.flatten(0, 1)).view(*inputs.shape, -1)


class UnsupportedNetworkError(Exception):
    """A network cannot be computed with stacked parameters; the message gives the reason."""


def stacked_network(
    network: nn.Module, parameters: Mapping[str, Tensor], masks: deque[Tensor]
) -> nn.Module:
    """Copy one of the networks into one with stacked parameters, in training mode.

    Args:
        network: any of the networks.
        parameters: (networks, ...) by name; the copy uses these tensors themselves.
        masks: queue of the masks of its dropout.
    """
    copied = copy.deepcopy(network).train()
    if any(not p.requires_grad for p in copied.parameters()) or any(True for _ in copied.buffers()):
        raise UnsupportedNetworkError("the network has tensors that are not trained")
    for name, module in list(copied.named_modules()):
        names = [key for key, _ in module.named_parameters(recurse=False)]
        if isinstance(module, nn.Dropout):
            if module.p > 0:
                copied.set_submodule(name, MaskedDropout(masks))
            continue
        if not names:
            continue
        layer = stacked_layer(module)
        for key in names:
            if layer is module:
                delattr(layer, key)
            setattr(layer, key, parameters[f"{name}.{key}" if name else key])
        if layer is not module:
            copied.set_submodule(name, layer)
    return copied


def stacked_layer(module: nn.Module) -> nn.Module:
    """Return the layer that replaces a module; the module itself if it can be stacked."""
    if type(module) is nn.Linear:
        return StackedLinear()
    if type(module) is nn.Embedding and not (
        module.sparse or module.max_norm or module.scale_grad_by_freq or module.padding_idx
    ):
        return StackedEmbedding()
    if isinstance(module, nn.RNNBase | RegionCell):
        return module  # the fused kernel uses its parameters as they are
    raise UnsupportedNetworkError(f"the network has an unsupported layer: {module}")
