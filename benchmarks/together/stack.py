"""Networks that differ in their seed alone, their weights side by side, trained in one pass."""

from __future__ import annotations

import contextlib
import dataclasses
from collections.abc import Iterator, Sequence

import torch
from torch import Tensor, nn
from torch.func import vmap

from benchmarks.optimisation import clear_gradients, make_optimizer
from benchmarks.together.grouped import Feed, grouped
from benchmarks.together.masks import Masks, calls_of
from benchmarks.training import Trainer
from tasks.base import Batch

State = tuple[Tensor, ...]
"""As encoders carry it: tensors (layers · directions, batch, hidden)."""


class Stack:
    """Takes the steps of several trainers at once.

    Weights, gradients and Adam's moments of all seeds are rows of common tensors (seeds, weights).
    The trainers' networks and optimisers see their rows as their own, so all that a trainer does
    beside its steps, validation and checkpoints, goes on as if it were alone. What the stack knows
    and they do not, `settle` tells them.

    Args:
        trainers: at the same step of the same epoch, on the CPU.
        generators: of each trainer's dropout, where it stands.
    """

    def __init__(self, trainers: Sequence[Trainer], generators: Sequence[torch.Generator]) -> None:
        self.trainers = trainers
        self.generators = generators
        first = trainers[0]
        self.task, self.clip_norm = first.task, first.settings.clip_norm
        self.weights = nn.Parameter(rows([flat(trainer.parameters) for trainer in trainers]))
        self.gradients = torch.zeros_like(self.weights)
        self.weights.grad = self.gradients
        self.parameters = [
            part.detach().requires_grad_() for part in self._parts(self.weights.detach())
        ]
        self.optimizer = make_optimizer(
            nn.ParameterList([self.weights]), first.settings, 0.0, torch.device("cpu")
        )
        self._adopt()
        self.begin_epoch()
        self._feed = Feed()
        names = [name for name, _ in first.network.named_parameters()]
        named = dict(zip(names, self.parameters, strict=True))
        self._network = grouped(first.network, named, self._feed)
        self._masks: dict[torch.Size, Masks | None] = {}

    def _parts(self, stacked: Tensor) -> list[Tensor]:
        """Cut (seeds, weights) into views (seeds, ...), one for each parameter of a network."""
        parts: list[Tensor] = []
        start = 0
        for parameter in self.trainers[0].parameters:
            stop = start + parameter.numel()
            parts.append(stacked[:, start:stop].view(-1, *parameter.shape))
            start = stop
        return parts

    def _adopt(self) -> None:
        """Let trainers have their weights and moments in the stack's rows."""
        for parts in zip(self._parts(self.weights.detach()), self._own(), strict=True):
            for own, row in zip(parts[1], parts[0], strict=True):
                own.data = row
        step, moments = torch.zeros(()), {}
        for name in ("exp_avg", "exp_avg_sq"):
            known = [own_moments(trainer, name) for trainer in self.trainers]
            moments[name] = rows([flat(each) for each in known])
            for part, owners in zip(self._parts(moments[name]), self._own(), strict=True):
                for trainer, own, row in zip(self.trainers, owners, part, strict=True):
                    trainer.optimizer.state[own][name] = row
        for trainer in self.trainers:
            for own in trainer.parameters:
                step = trainer.optimizer.state[own].get("step", step)
        step = step.clone()
        for trainer in self.trainers:
            for own in trainer.parameters:
                trainer.optimizer.state[own]["step"] = step
        self.optimizer.state[self.weights] = {"step": step, **moments}

    def _own(self) -> list[tuple[nn.Parameter, ...]]:
        """The trainers' parameters, those of one name together."""
        return list(zip(*(trainer.parameters for trainer in self.trainers), strict=True))

    def begin_epoch(self) -> None:
        """Take up the trainers' epoch, where they are in it."""
        epochs = [trainer.epoch for trainer in self.trainers]
        self.loss_sums = rows([epoch.loss_sum for epoch in epochs])
        self.norm_sums = rows([epoch.norm_sum for epoch in epochs])
        self.state = joined([epoch.state for epoch in epochs])

    def step(self, batches: Sequence[Batch]) -> None:
        """Let every trainer learn from its batch."""
        first = self.trainers[0]
        first.set_learning_rate(first.record.steps)
        self.optimizer.param_groups[0]["lr"] = first.optimizer.param_groups[0]["lr"]
        if self.can_take(batches):
            losses = self.forward_backward(batches)
            norms = self.clip()
        else:
            losses, norms = self._one_by_one(batches)
        self.optimizer.step()
        self.loss_sums, self.norm_sums = self.loss_sums + losses, self.norm_sums + norms
        for trainer, batch in zip(self.trainers, batches, strict=True):
            trainer.epoch.steps += 1
            trainer.record.steps += 1
            trainer.record.tokens += batch.tokens

    def can_take(self, batches: Sequence[Batch]) -> bool:
        """Whether batches can go through one pass: of one shape, without lengths."""
        first = batches[0]
        kinds = {(b.inputs.shape, b.targets.shape, b.tokens, b.continues) for b in batches}
        has_lengths = any(batch.lengths is not None for batch in batches)
        return len(kinds) == 1 and not has_lengths and self._masks_for(first) is not None

    def forward_backward(self, batches: Sequence[Batch]) -> Tensor:
        """Compute every network's gradients in one pass; returns the losses (seeds,)."""
        first = batches[0]
        inputs = torch.cat([batch.inputs for batch in batches])
        targets = torch.stack([batch.targets for batch in batches])
        state = self.state if first.continues else None
        masks = self._masks_for(first)
        assert masks is not None
        self._feed.fill(masks.draw(self.generators))
        outputs, after = self._network(inputs, None, state)
        outputs = outputs.unflatten(0, (len(batches), -1))

        def loss_of(outputs: Tensor, targets: Tensor) -> Tensor:
            return self.task.loss(outputs, dataclasses.replace(first, targets=targets))

        losses: Tensor = vmap(loss_of)(outputs, targets)
        gradients = torch.autograd.grad(losses.sum(), self.parameters)
        torch.cat([part.flatten(1) for part in gradients], 1, out=self.gradients)
        self.state = detached(after)
        return losses.detach()

    def _masks_for(self, batch: Batch) -> Masks | None:
        """The masks for batches of one shape; None where PyTorch's own cells run, one at a time."""
        shape = batch.inputs.shape
        if shape not in self._masks:
            network = self.trainers[0].network
            calls = calls_of(network, lambda: network(batch.inputs, None, None))
            is_fused = network.encoder.kernel != "torch"  # type: ignore[union-attr]
            masks = Masks(calls, len(self.trainers), self.weights.dtype)
            self._masks[shape] = masks if is_fused else None
        return self._masks[shape]

    def clip(self) -> Tensor:
        """Scale each seed's gradients down to the bound; returns the norms before (seeds,)."""
        norms: Tensor = torch.linalg.vector_norm(self.gradients, dim=1)
        if self.clip_norm is not None:
            factors = (self.clip_norm / (norms + 1e-6)).clamp_(max=1.0)
            self.gradients.mul_(factors.unsqueeze(1))
        return norms

    def _one_by_one(self, batches: Sequence[Batch]) -> tuple[Tensor, Tensor]:
        """Compute the gradients of batches of different shapes; returns losses and norms."""
        losses, norms, states = [], [], []
        own_states = self._own_states()
        for index, (trainer, batch) in enumerate(zip(self.trainers, batches, strict=True)):
            own = own_states[index] if batch.continues else None
            with chance_of(self.generators[index]):
                loss, norm, state = trainer.forward_backward(batch, own)
            self.gradients[index] = flat([p.grad for p in trainer.parameters if p.grad is not None])
            clear_gradients(trainer.parameters)
            losses.append(loss)
            norms.append(norm)
            states.append(state)
        self.state = joined(states)
        return rows(losses), rows(norms)

    def _own_states(self) -> list[State | None]:
        """Each trainer's part of the state that is carried on."""
        if self.state is None:
            return [None] * len(self.trainers)
        parts = (part.chunk(len(self.trainers), dim=1) for part in self.state)
        return list(zip(*parts, strict=True))

    def settle(self) -> None:
        """Tell the trainers how far they are."""
        states = self._own_states()
        for index, trainer in enumerate(self.trainers):
            epoch = trainer.epoch
            if not epoch.steps:  # it may have turned to the next epoch before others
                continue
            epoch.loss_sum, epoch.norm_sum = self.loss_sums[index], self.norm_sums[index]
            epoch.state = states[index]
            trainer.set_learning_rate(max(0, trainer.record.steps - 1))


def rows(tensors: Sequence[Tensor]) -> Tensor:
    """Put tensors of one shape side by side; a copy."""
    return torch.stack(list(tensors))


def flat(tensors: Sequence[Tensor]) -> Tensor:
    """Put tensors into one row; a copy."""
    return torch.cat([tensor.detach().flatten() for tensor in tensors])


def joined(states: Sequence[object]) -> State | None:
    """Put states (layers, batch, hidden) of several networks into one of all their rows."""
    known = [state for state in states if isinstance(state, tuple)]
    return tuple(torch.cat(parts, dim=1) for parts in zip(*known, strict=True)) if known else None


def detached(state: object) -> State | None:
    """Cut a state from the graph."""
    return tuple(part.detach() for part in state) if isinstance(state, tuple) else None


def own_moments(trainer: Trainer, name: str) -> list[Tensor]:
    """One of Adam's moments for each parameter; zeros before the first step."""
    state = trainer.optimizer.state
    return [state[p].get(name, torch.zeros_like(p)) for p in trainer.parameters]


def leave(trainer: Trainer) -> None:
    """Give a trainer weights and moments of its own, as they are in its row."""
    for parameter in trainer.parameters:
        parameter.data = parameter.data.clone()
        moments = trainer.optimizer.state[parameter]
        moments |= {name: tensor.clone() for name, tensor in moments.items()}
    epoch = trainer.epoch
    epoch.loss_sum, epoch.norm_sum = epoch.loss_sum.clone(), epoch.norm_sum.clone()
    if isinstance(epoch.state, tuple):
        epoch.state = tuple(part.clone() for part in epoch.state)


@contextlib.contextmanager
def chance_of(generator: torch.Generator) -> Iterator[None]:
    """Let torch's global generator stand in for another within a block."""
    torch.set_rng_state(generator.get_state())
    try:
        yield
    finally:
        generator.set_state(torch.get_rng_state())
