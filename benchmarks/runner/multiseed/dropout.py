"""Dropout for several networks in one pass: each seed's masks, as it would draw them alone.

On a CPU `nn.Dropout` multiplies by masks that it draws from a generator in the order of the calls.
So they can be drawn beforehand, for every seed from a generator of its own.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn


@dataclass(frozen=True)
class Call:
    """One use of dropout in a forward pass.

    Attributes:
        keep: probability of keeping a unit.
        shape, stride: of what dropout was given, and so of its mask.
    """

    keep: float
    shape: tuple[int, ...]
    stride: tuple[int, ...]


def dropouts(network: nn.Module) -> Iterator[tuple[str, nn.Dropout]]:
    """Go through the modules of a network that draw a mask, with their names."""
    for name, module in network.named_modules():
        if isinstance(module, nn.Dropout) and module.p > 0:
            yield name, module


def calls_of(network: nn.Module, forward: Callable[[], object]) -> list[Call]:
    """List the uses of dropout in a forward pass, in order; chance is left where it stood."""
    found: list[Call] = []

    def note(module: nn.Module, inputs: tuple[Tensor]) -> None:
        assert isinstance(module, nn.Dropout)
        mask = torch.empty_like(inputs[0])
        found.append(Call(1 - module.p, tuple(mask.shape), mask.stride()))

    hooks = [module.register_forward_pre_hook(note) for _, module in dropouts(network)]
    try:
        with torch.random.fork_rng(devices=[]), torch.no_grad():
            forward()
    finally:
        for hook in hooks:
            hook.remove()
    return found


class DropoutMasks:
    """The masks of one forward pass of several networks of one shape.

    Args:
        calls: of each of them.
        networks: how many there are.
        dtype: of what is dropped.
    """

    def __init__(self, calls: Sequence[Call], networks: int, dtype: torch.dtype) -> None:
        self.calls = calls
        self.stacked = [
            torch.empty(0, dtype=dtype).new_empty_strided(
                (networks, *call.shape), (torch.Size(call.shape).numel(), *call.stride)
            )
            for call in calls
        ]
        self._own = list(zip(*(mask.unbind() for mask in self.stacked), strict=True))

    def draw(self, generators: Sequence[torch.Generator]) -> list[Tensor]:
        """Draw new masks (networks, ...), one for each call; those drawn before are overwritten."""
        for own, generator in zip(self._own, generators, strict=False):
            for mask, call in zip(own, self.calls, strict=True):
                mask.bernoulli_(call.keep, generator=generator)
        for mask, call in zip(self.stacked, self.calls, strict=True):
            mask.div_(call.keep)
        return self.stacked
