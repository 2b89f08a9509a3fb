"""Forward and backward through several networks at once, each with its own weights and chance."""

from __future__ import annotations

import contextlib
import dataclasses
from collections.abc import Iterator, Sequence

import torch
from torch import Tensor
from torch.func import vmap

from benchmarks.runner.multiseed.dropout import DropoutMasks, calls_of
from benchmarks.runner.multiseed.layers import Feed, grouped
from benchmarks.training.optim import clear_gradients
from benchmarks.training.trainer import Trainer
from tasks.base import Batch

State = tuple[Tensor, ...]
"""As encoders carry it: tensors (layers · directions, batch, hidden)."""


class StackedStep:
    """Computes the gradients of several trainers' networks.

    Args:
        trainers: of networks of one shape.
        generators: of each one's dropout.
        weights: (networks, weights), whose rows the networks use as their own.
        gradients: of that shape, for the results.

    Raises:
        CannotGroupError: the network has something in it that cannot compute for several.
    """

    def __init__(
        self,
        trainers: Sequence[Trainer],
        generators: Sequence[torch.Generator],
        weights: Tensor,
        gradients: Tensor,
    ) -> None:
        first = trainers[0]
        self.trainers, self.generators, self.gradients = trainers, generators, gradients
        self.task, self.clip_norm = first.task, first.settings.clip_norm
        parts = parameters_in(weights, first)
        self.parameters = [part.detach().requires_grad_() for part in parts]
        self._feed = Feed()
        names = [name for name, _ in first.network.named_parameters()]
        named = dict(zip(names, self.parameters, strict=True))
        self._network = grouped(first.network, named, self._feed)
        self._masks: dict[torch.Size, DropoutMasks | None] = {}
        self.take_up()

    def take_up(self) -> None:
        """Go on from the states that the trainers carry."""
        self.state = joined([trainer.epoch.state for trainer in self.trainers])

    def states(self) -> list[State | None]:
        """The state that each trainer carries on."""
        if self.state is None:
            return [None] * len(self.trainers)
        parts = (part.chunk(len(self.trainers), dim=1) for part in self.state)
        return list(zip(*parts, strict=True))

    def run(self, batches: Sequence[Batch]) -> tuple[Tensor, Tensor]:
        """Compute the gradients, clipped; returns losses and norms before clipping (networks,)."""
        if not self.can_take(batches):
            return self._one_by_one(batches)
        losses = self._at_once(batches)
        norms: Tensor = torch.linalg.vector_norm(self.gradients, dim=1)
        if self.clip_norm is not None:
            factors = (self.clip_norm / (norms + 1e-6)).clamp_(max=1.0)
            self.gradients.mul_(factors.unsqueeze(1))
        return losses, norms

    def can_take(self, batches: Sequence[Batch]) -> bool:
        """Whether batches can go through at once: of one shape, without lengths."""
        first = batches[0]
        kinds = {(b.inputs.shape, b.targets.shape, b.tokens, b.continues) for b in batches}
        has_lengths = any(batch.lengths is not None for batch in batches)
        return len(kinds) == 1 and not has_lengths and self._masks_for(first) is not None

    def _at_once(self, batches: Sequence[Batch]) -> Tensor:
        first = batches[0]
        inputs = torch.cat([batch.inputs for batch in batches])
        targets = torch.stack([batch.targets for batch in batches])
        masks = self._masks_for(first)
        assert masks is not None
        self._feed.fill(masks.draw(self.generators))
        outputs, after = self._network(inputs, None, self.state if first.continues else None)
        outputs = outputs.unflatten(0, (len(batches), -1))

        def loss_of(outputs: Tensor, targets: Tensor) -> Tensor:
            return self.task.loss(outputs, dataclasses.replace(first, targets=targets))

        losses: Tensor = vmap(loss_of)(outputs, targets)
        gradients = torch.autograd.grad(losses.sum(), self.parameters)
        torch.cat([part.flatten(1) for part in gradients], 1, out=self.gradients)
        is_state = isinstance(after, tuple)
        self.state = tuple(part.detach() for part in after) if is_state else None
        return losses.detach()

    def _one_by_one(self, batches: Sequence[Batch]) -> tuple[Tensor, Tensor]:
        losses, norms, states = [], [], []
        before = self.states()
        for place, (trainer, batch) in enumerate(zip(self.trainers, batches, strict=True)):
            own = before[place] if batch.continues else None
            with chance_of(self.generators[place]):
                loss, norm, state = trainer.forward_backward(batch, own)
            self.gradients[place] = flat([p.grad for p in trainer.parameters if p.grad is not None])
            clear_gradients(trainer.parameters)
            losses.append(loss)
            norms.append(norm)
            states.append(state)
        self.state = joined(states)
        return torch.stack(losses), torch.stack(norms)

    def _masks_for(self, batch: Batch) -> DropoutMasks | None:
        """The masks for batches of one shape; None where PyTorch's own cells run, one at a time."""
        shape = batch.inputs.shape
        if shape not in self._masks:
            network = self.trainers[0].network
            calls = calls_of(network, lambda: network(batch.inputs, None, None))
            is_fused = network.encoder.kernel != "torch"  # type: ignore[union-attr]
            masks = DropoutMasks(calls, len(self.trainers), self.gradients.dtype)
            self._masks[shape] = masks if is_fused else None
        return self._masks[shape]


def parameters_in(stacked: Tensor, trainer: Trainer) -> list[Tensor]:
    """Cut (networks, weights) into views (networks, ...), one for each parameter of a network."""
    parts: list[Tensor] = []
    start = 0
    for parameter in trainer.parameters:
        stop = start + parameter.numel()
        parts.append(stacked[:, start:stop].view(-1, *parameter.shape))
        start = stop
    return parts


def flat(tensors: Sequence[Tensor]) -> Tensor:
    """Put tensors into one row; a copy."""
    return torch.cat([tensor.detach().flatten() for tensor in tensors])


def joined(states: Sequence[object]) -> State | None:
    """Put states (layers, batch, hidden) of several networks into one of all their rows."""
    known = [state for state in states if isinstance(state, tuple)]
    return tuple(torch.cat(parts, dim=1) for parts in zip(*known, strict=True)) if known else None


@contextlib.contextmanager
def chance_of(generator: torch.Generator) -> Iterator[None]:
    """Let torch's global generator stand in for another within a block."""
    torch.set_rng_state(generator.get_state())
    try:
        yield
    finally:
        generator.set_state(torch.get_rng_state())
