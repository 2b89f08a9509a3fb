"""Dropout masks for several networks in one step, equal to those each network draws alone.

On a CPU `nn.Dropout` multiplies by masks that it draws from a generator in the order of the calls.
The masks can therefore be drawn in advance, for every seed from its own generator.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn


@dataclass(frozen=True)
class DropoutCall:
    """One use of dropout in a forward pass.

    Attributes:
        keep: probability of keeping a unit.
        shape, stride: of the input, and so of the mask.
    """

    keep: float
    shape: tuple[int, ...]
    stride: tuple[int, ...]


def dropout_calls(network: nn.Module, forward: Callable[[], object]) -> list[DropoutCall]:
    """List the uses of dropout in a forward pass, in order; preserve the RNG state."""
    found: list[DropoutCall] = []

    def note(module: nn.Module, inputs: tuple[Tensor]) -> None:
        assert isinstance(module, nn.Dropout)
        mask = torch.empty_like(inputs[0])
        found.append(DropoutCall(1 - module.p, tuple(mask.shape), mask.stride()))

    dropouts = [m for m in network.modules() if isinstance(m, nn.Dropout) and m.p > 0]
    hooks = [module.register_forward_pre_hook(note) for module in dropouts]
    try:
        with torch.random.fork_rng(devices=[]), torch.no_grad():
            forward()
    finally:
        for hook in hooks:
            hook.remove()
    return found


class DropoutMasks:
    """The masks of one forward pass of several networks with the same uses of dropout."""

    def __init__(self, calls: Sequence[DropoutCall], networks: int, dtype: torch.dtype) -> None:
        self.calls = calls
        self.stacked = [
            torch.empty(0, dtype=dtype).new_empty_strided(
                (networks, *call.shape), (torch.Size(call.shape).numel(), *call.stride)
            )
            for call in calls
        ]
        self._by_network = list(zip(*(mask.unbind() for mask in self.stacked), strict=True))

    def draw(self, generators: Sequence[torch.Generator]) -> list[Tensor]:
        """Draw masks (networks, ...), one for each call; overwrite the previous ones."""
        for masks, generator in zip(self._by_network, generators, strict=False):
            for mask, call in zip(masks, self.calls, strict=True):
                mask.bernoulli_(call.keep, generator=generator)
        for mask, call in zip(self.stacked, self.calls, strict=True):
            mask.div_(call.keep)
        return self.stacked
