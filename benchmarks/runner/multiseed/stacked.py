"""Trainers that differ in their seed alone, their weights side by side, in step with each other."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn

from benchmarks.runner.multiseed.step import StackedStep, flat, parameters_in
from benchmarks.training.optim import make_optimizer
from benchmarks.training.trainer import Trainer
from tasks.base import Batch


class StackedTrainers:
    """Takes the steps of several trainers at once.

    Weights, gradients and Adam's moments of all seeds are rows of common tensors (seeds, weights).
    The trainers' networks and optimisers see their rows as their own, so all that a trainer does
    beside its steps, validation and checkpoints, goes on as if it were alone. What the stack knows
    and they do not, `settle` tells them.

    Args:
        trainers: at the same step of the same epoch, on the CPU.
        generators: of each trainer's dropout, where it stands.
        at_once: how many go through one forward and backward pass, at most.

    Raises:
        CannotGroupError: the network has something in it that cannot compute for several.
    """

    def __init__(
        self,
        trainers: Sequence[Trainer],
        generators: Sequence[torch.Generator],
        at_once: int,
    ) -> None:
        self.trainers = trainers
        first = trainers[0]
        self.weights = nn.Parameter(torch.stack([flat(t.parameters) for t in trainers]))
        self.gradients = self.weights.grad = torch.zeros_like(self.weights)
        self.optimizer = make_optimizer(
            nn.ParameterList([self.weights]), first.settings, 0.0, torch.device("cpu")
        )
        self._adopt()
        size = math.ceil(len(trainers) / math.ceil(len(trainers) / at_once))
        self.passes: list[tuple[slice, StackedStep]] = []
        for start in range(0, len(trainers), size):
            own = slice(start, start + size)
            shared = self.weights.detach()[own], self.gradients[own]
            self.passes.append((own, StackedStep(trainers[own], generators[own], *shared)))
        self.begin_epoch()

    def _adopt(self) -> None:
        """Let trainers have their weights and moments in the stack's rows."""
        first = self.trainers[0]
        owners = list(zip(*(trainer.parameters for trainer in self.trainers), strict=True))
        for part, parameters in zip(
            parameters_in(self.weights.detach(), first), owners, strict=True
        ):
            for parameter, row in zip(parameters, part, strict=True):
                parameter.data = row
        common: dict[str, Tensor] = {}
        for name in ("exp_avg", "exp_avg_sq"):
            common[name] = torch.stack([flat(moments_of(t, name)) for t in self.trainers])
            for part, parameters in zip(parameters_in(common[name], first), owners, strict=True):
                for trainer, parameter, row in zip(self.trainers, parameters, part, strict=True):
                    trainer.optimizer.state[parameter][name] = row
        begun = first.optimizer.state[first.parameters[0]].get("step", torch.zeros(()))
        common["step"] = begun.clone()
        for trainer in self.trainers:
            for parameter in trainer.parameters:
                trainer.optimizer.state[parameter]["step"] = common["step"]
        self.optimizer.state[self.weights] = common

    def begin_epoch(self) -> None:
        """Take up the trainers' epoch, where they are in it."""
        epochs = [trainer.epoch for trainer in self.trainers]
        self.loss_sums = torch.stack([epoch.loss_sum for epoch in epochs])
        self.norm_sums = torch.stack([epoch.norm_sum for epoch in epochs])
        for _, part in self.passes:
            part.take_up()

    def step(self, batches: Sequence[Batch]) -> None:
        """Let every trainer learn from its batch."""
        first = self.trainers[0]
        first.set_learning_rate(first.record.steps)
        self.optimizer.param_groups[0]["lr"] = first.optimizer.param_groups[0]["lr"]
        losses, norms = self.compute(batches)
        self.optimizer.step()
        self.loss_sums, self.norm_sums = self.loss_sums + losses, self.norm_sums + norms
        for trainer, batch in zip(self.trainers, batches, strict=True):
            trainer.epoch.steps += 1
            trainer.record.steps += 1
            trainer.record.tokens += batch.tokens

    def compute(self, batches: Sequence[Batch]) -> tuple[Tensor, Tensor]:
        """Compute gradients, clipped; returns losses and norms before clipping (seeds,)."""
        results = [part.run(batches[own]) for own, part in self.passes]
        losses, norms = zip(*results, strict=True)
        return torch.cat(losses), torch.cat(norms)

    def settle(self) -> None:
        """Tell the trainers how far they are."""
        states = [state for _, part in self.passes for state in part.states()]
        for place, trainer in enumerate(self.trainers):
            epoch = trainer.epoch
            if not epoch.steps:  # it may have turned to the next epoch before others
                continue
            epoch.loss_sum, epoch.norm_sum = self.loss_sums[place], self.norm_sums[place]
            epoch.state = states[place]
            trainer.set_learning_rate(max(0, trainer.record.steps - 1))


def moments_of(trainer: Trainer, name: str) -> list[Tensor]:
    """One of Adam's moments for each parameter; zeros before the first step."""
    state = trainer.optimizer.state
    return [state[p].get(name, torch.zeros_like(p)) for p in trainer.parameters]


def detach(trainer: Trainer) -> None:
    """Give a trainer weights and moments of its own, as they are in its row."""
    for parameter in trainer.parameters:
        parameter.data = parameter.data.clone()
        moments = trainer.optimizer.state[parameter]
        moments |= {name: tensor.clone() for name, tensor in moments.items()}
    epoch = trainer.epoch
    epoch.loss_sum, epoch.norm_sum = epoch.loss_sum.clone(), epoch.norm_sum.clone()
    if isinstance(epoch.state, tuple):
        epoch.state = tuple(part.clone() for part in epoch.state)
