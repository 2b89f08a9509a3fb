"""One network that computes several: the rows of its batch belong to them in equal parts.

What a task's network and an encoder do beside their layers, they do row by row, so that only the
layers must know whose rows they get: each has the weights of all networks, stacked.
"""

from __future__ import annotations

import copy
from collections.abc import Iterator, Mapping, Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F


class Feed:
    """Hands masks to the modules that stand in the place of dropout, in the order of the calls."""

    def __init__(self) -> None:
        self.masks: Iterator[Tensor] = iter(())

    def fill(self, masks: Sequence[Tensor]) -> None:
        """Take the masks (networks, batch, ...) of the next forward pass."""
        self.masks = iter(masks)


class FedDropout(nn.Module):
    """Drops what a mask from a feed says."""

    def __init__(self, feed: Feed) -> None:
        super().__init__()
        self.feed = feed

    def forward(self, inputs: Tensor) -> Tensor:
        """Multiply by the next mask."""
        return inputs * next(self.feed.masks).flatten(0, 1)


class GroupedLinear(nn.Module):
    """Linear layers: weight (networks, out, in), bias (networks, out) or None."""

    weight: Tensor
    bias: Tensor | None

    def forward(self, inputs: Tensor) -> Tensor:
        """Map (networks · batch, ..., in) to (networks · batch, ..., out)."""
        rows = inputs.reshape(self.weight.shape[0], -1, inputs.shape[-1])
        if self.bias is None:
            outputs = torch.bmm(rows, self.weight.mT)
        else:
            outputs = torch.baddbmm(self.bias.unsqueeze(1), rows, self.weight.mT)
        return outputs.view(*inputs.shape[:-1], -1)


class GroupedEmbedding(nn.Module):
    """Embeddings: weight (networks, ids, features)."""

    weight: Tensor

    def forward(self, inputs: Tensor) -> Tensor:
        """Map ids (networks · batch, ...) to (networks · batch, ..., features)."""
        networks, ids, _ = self.weight.shape
        first = torch.arange(0, networks * ids, ids, device=inputs.device)
        own = inputs.view(networks, -1) + first.unsqueeze(1)
        return F.embedding(own, self.weight.flatten(0, 1)).view(*inputs.shape, -1)


class CannotGroupError(Exception):
    """A network has something in it that cannot compute for several; the text says what."""


def grouped(network: nn.Module, weights: Mapping[str, Tensor], feed: Feed) -> nn.Module:
    """Copy a network into one that computes several, in training mode.

    Args:
        network: any of them.
        weights: (networks, ...) by the names of its parameters; the copy uses these very tensors.
        feed: of the masks of its dropout.

    Raises:
        CannotGroupError: a layer is of a kind that is not known, or something is no weight.
    """
    copied = copy.deepcopy(network).train()
    if any(not p.requires_grad for p in copied.parameters()) or any(True for _ in copied.buffers()):
        raise CannotGroupError("the network has tensors that are not trained")
    for name, module in list(copied.named_modules()):
        own = [key for key, _ in module.named_parameters(recurse=False)]
        if isinstance(module, nn.Dropout):
            if module.p > 0:
                copied.set_submodule(name, FedDropout(feed))
            continue
        if not own:
            continue
        home = stand_in(module)
        for key in own:
            if home is module:
                delattr(home, key)
            setattr(home, key, weights[f"{name}.{key}" if name else key])
        if home is not module:
            copied.set_submodule(name, home)
    return copied


def stand_in(module: nn.Module) -> nn.Module:
    """Return what takes the place of a layer; itself if it knows of groups.

    Raises:
        CannotGroupError: there is nothing of the kind.
    """
    if type(module) is nn.Linear:
        linear = GroupedLinear()
        linear.bias = None
        return linear
    if type(module) is nn.Embedding and not (
        module.sparse or module.max_norm or module.scale_grad_by_freq or module.padding_idx
    ):
        return GroupedEmbedding()
    if isinstance(module, nn.RNNBase):  # the fused kernel takes its weights as they are
        return module
    raise CannotGroupError(f"the network has a layer that only does one at a time: {module}")
