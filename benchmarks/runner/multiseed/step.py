"""Forward and backward pass of several networks at once, with a dropout generator for each."""

from __future__ import annotations

import contextlib
import dataclasses
from collections import deque
from collections.abc import Iterator, Sequence

import torch
from torch import Tensor
from torch.func import vmap

from benchmarks.runner.multiseed.dropout import DropoutMasks, dropout_calls
from benchmarks.runner.multiseed.layers import stacked_network
from benchmarks.training.network import encoder_of
from benchmarks.training.optim import clear_gradients
from benchmarks.training.trainer import Trainer
from models.modules.encoder import State
from tasks.base import Batch


class MultiSeedStep:
    """Compute the gradients of several trainers' networks.

    Args:
        trainers: their networks have one shape.
        generators: dropout generator of each trainer.
        parameters: (networks, parameters); the networks use its rows as their own.
        gradients: of the same shape, receives the results.
    """

    def __init__(
        self,
        trainers: Sequence[Trainer],
        generators: Sequence[torch.Generator],
        parameters: Tensor,
        gradients: Tensor,
    ) -> None:
        first = trainers[0]
        self.trainers, self.generators, self.gradients = trainers, generators, gradients
        self.task, self.clip_norm = first.task, first.settings.clip_norm
        views = parameter_views(parameters, first)
        self.parameters = [view.detach().requires_grad_() for view in views]
        self._queue: deque[Tensor] = deque()
        stacked = {id(p): s for p, s in zip(first.parameters, self.parameters, strict=True)}
        every_name = first.network.named_parameters(remove_duplicate=False)  # also of tied weights
        named = {name: stacked[id(parameter)] for name, parameter in every_name}
        self._network = stacked_network(first.network, named, self._queue)
        self._masks: dict[torch.Size, DropoutMasks | None] = {}
        self.load_states()

    def load_states(self) -> None:
        """Take the recurrent states from the trainers."""
        self.state = join_states([trainer.epoch.encoder_state for trainer in self.trainers])

    def states(self) -> list[State | None]:
        """Return the recurrent state of each trainer."""
        if self.state is None:
            return [None] * len(self.trainers)
        parts = (part.chunk(len(self.trainers), dim=1) for part in self.state)
        return list(zip(*parts, strict=True))

    def run(self, batches: Sequence[Batch]) -> tuple[Tensor, Tensor]:
        """Compute clipped gradients; return losses and norms before clipping (networks,)."""
        if not self.can_stack(batches):
            return self._compute_in_turn(batches)
        losses = self._compute_stacked(batches)
        norms: Tensor = torch.linalg.vector_norm(self.gradients, dim=1)
        if self.clip_norm is not None:
            factors = (self.clip_norm / (norms + 1e-6)).clamp_(max=1.0)
            self.gradients.mul_(factors.unsqueeze(1))
        return losses, norms

    def can_stack(self, batches: Sequence[Batch]) -> bool:
        """Return True if batches have one shape and no lengths, and a fused kernel runs."""
        kinds = {(b.inputs.shape, b.targets.shape, b.tokens, b.continues) for b in batches}
        has_lengths = any(batch.lengths is not None for batch in batches)
        return len(kinds) == 1 and not has_lengths and self._masks_for(batches[0]) is not None

    def _compute_stacked(self, batches: Sequence[Batch]) -> Tensor:
        first = batches[0]
        inputs = torch.cat([batch.inputs for batch in batches])
        targets = torch.stack([batch.targets for batch in batches])
        masks = self._masks_for(first)
        assert masks is not None
        self._queue.clear()
        self._queue.extend(masks.draw(self.generators))
        outputs, after = self._network(inputs, None, self.state if first.continues else None)
        outputs = outputs.unflatten(0, (len(batches), -1))

        def loss_of(outputs: Tensor, targets: Tensor) -> Tensor:
            return self.task.loss(outputs, dataclasses.replace(first, targets=targets))

        losses: Tensor = vmap(loss_of)(outputs, targets)
        gradients = torch.autograd.grad(losses.sum(), self.parameters)
        torch.cat([part.flatten(1) for part in gradients], 1, out=self.gradients)
        has_state = isinstance(after, tuple)
        self.state = tuple(part.detach() for part in after) if has_state else None
        return losses.detach()

    def _compute_in_turn(self, batches: Sequence[Batch]) -> tuple[Tensor, Tensor]:
        losses, norms, states = [], [], []
        before = self.states()
        for index, (trainer, batch) in enumerate(zip(self.trainers, batches, strict=True)):
            carried = before[index] if batch.continues else None
            with torch_generator(self.generators[index]):
                loss, norm, state = trainer.forward_backward(batch, carried)
            gradients = [p.grad for p in trainer.parameters if p.grad is not None]
            self.gradients[index] = flatten(gradients)
            clear_gradients(trainer.parameters)
            losses.append(loss)
            norms.append(norm)
            states.append(state)
        self.state = join_states(states)
        return torch.stack(losses), torch.stack(norms)

    def _masks_for(self, batch: Batch) -> DropoutMasks | None:
        """Return the masks for batches of one shape; None if PyTorch's kernel runs for them."""
        shape = batch.inputs.shape
        if shape not in self._masks:
            network = self.trainers[0].network
            calls = dropout_calls(network, lambda: network(batch.inputs, None, None))
            is_fused = encoder_of(network).kernel != "torch"
            masks = DropoutMasks(calls, len(self.trainers), self.gradients.dtype)
            self._masks[shape] = masks if is_fused else None
        return self._masks[shape]


def parameter_views(stacked: Tensor, trainer: Trainer) -> list[Tensor]:
    """Split (networks, parameters) into views (networks, ...), one per parameter of a network."""
    views: list[Tensor] = []
    start = 0
    for parameter in trainer.parameters:
        stop = start + parameter.numel()
        views.append(stacked[:, start:stop].view(-1, *parameter.shape))
        start = stop
    return views


def flatten(tensors: Sequence[Tensor]) -> Tensor:
    """Copy tensors into one vector."""
    return torch.cat([tensor.detach().flatten() for tensor in tensors])


def join_states(states: Sequence[object]) -> State | None:
    """Join states (layers, batch, hidden) of several networks along the batch."""
    known = [state for state in states if isinstance(state, tuple)]
    return tuple(torch.cat(parts, dim=1) for parts in zip(*known, strict=True)) if known else None


@contextlib.contextmanager
def torch_generator(generator: torch.Generator) -> Iterator[None]:
    """Use a generator as torch's global one within a block."""
    torch.set_rng_state(generator.get_state())
    try:
        yield
    finally:
        generator.set_state(torch.get_rng_state())
