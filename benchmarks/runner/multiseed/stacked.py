"""Trainers that differ in their seed alone, with stacked parameters, at the same step."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn

from benchmarks.runner.multiseed.step import MultiSeedStep, flatten, parameter_views
from benchmarks.training.averaging import WeightAverage
from benchmarks.training.optim import make_optimizer
from benchmarks.training.trainer import Trainer
from tasks.base import Batch


class StackedTrainers:
    """Take the steps of several trainers at once.

    Parameters, gradients, Adam's moments and averaged weights of all seeds are rows of common
    tensors (seeds, parameters). The trainers use these rows as their own, so validation and
    checkpoints work as if each trainer were alone. `update_trainers` updates their epoch states and
    learning rates.

    Args:
        trainers: at the same step of the same epoch, on the CPU.
        generators: dropout generator of each trainer.
        seeds_per_step: largest number of trainers in one forward and backward pass.
    """

    def __init__(
        self,
        trainers: Sequence[Trainer],
        generators: Sequence[torch.Generator],
        seeds_per_step: int,
    ) -> None:
        self.trainers = trainers
        first = trainers[0]
        self.parameters = nn.Parameter(torch.stack([flatten(t.parameters) for t in trainers]))
        self.gradients = self.parameters.grad = torch.zeros_like(self.parameters)
        self.optimizer = make_optimizer(
            nn.ParameterList([self.parameters]), first.settings, 0.0, torch.device("cpu")
        )
        self._share_tensors()
        self.average = self._shared_average()
        size = math.ceil(len(trainers) / math.ceil(len(trainers) / seeds_per_step))
        self.steps: list[tuple[slice, MultiSeedStep]] = []
        for start in range(0, len(trainers), size):
            rows = slice(start, start + size)
            shared = self.parameters.detach()[rows], self.gradients[rows]
            self.steps.append((rows, MultiSeedStep(trainers[rows], generators[rows], *shared)))
        self.begin_epoch()

    def _share_tensors(self) -> None:
        """Replace the trainers' parameters and moments by rows of the common tensors."""
        first = self.trainers[0]
        by_parameter = list(zip(*(trainer.parameters for trainer in self.trainers), strict=True))
        views = parameter_views(self.parameters.detach(), first)
        for view, parameters in zip(views, by_parameter, strict=True):
            for parameter, row in zip(parameters, view, strict=True):
                parameter.data = row
        common: dict[str, Tensor] = {}
        for name in ("exp_avg", "exp_avg_sq"):
            common[name] = torch.stack([flatten(moments_of(t, name)) for t in self.trainers])
            views = parameter_views(common[name], first)
            for view, parameters in zip(views, by_parameter, strict=True):
                for trainer, parameter, row in zip(self.trainers, parameters, view, strict=True):
                    trainer.optimizer.state[parameter][name] = row
        done = first.optimizer.state[first.parameters[0]].get("step", torch.zeros(()))
        common["step"] = done.clone()
        for trainer in self.trainers:
            for parameter in trainer.parameters:
                trainer.optimizer.state[parameter]["step"] = common["step"]
        self.optimizer.state[self.parameters] = common

    def _shared_average(self) -> WeightAverage | None:
        """Return the average of all parameters, with its rows as those of the trainers, if any."""
        averages = [t.average for t in self.trainers if t.average is not None]
        if not averages:
            return None
        common = WeightAverage([self.parameters], averages[0].decay)
        common.weights = [torch.stack([flatten(average.weights) for average in averages])]
        views = parameter_views(common.weights[0], self.trainers[0])
        for row, average in enumerate(averages):
            average.weights = [view[row] for view in views]
        return common

    def begin_epoch(self) -> None:
        """Take sums and recurrent states from the trainers' epoch states."""
        epochs = [trainer.epoch for trainer in self.trainers]
        self.loss_sums = torch.stack([epoch.loss_sum for epoch in epochs])
        self.norm_sums = torch.stack([epoch.norm_sum for epoch in epochs])
        for _, step in self.steps:
            step.load_states()

    def step(self, batches: Sequence[Batch]) -> None:
        """Take a step with each trainer's batch."""
        first = self.trainers[0]
        first.set_learning_rate(first.state.steps)
        self.optimizer.param_groups[0]["lr"] = first.optimizer.param_groups[0]["lr"]
        losses, norms = self.compute_gradients(batches)
        self.optimizer.step()
        if self.average is not None:
            self.average.update(first.state.steps + 1)
        count = batches[0].items.numel()
        self.loss_sums, self.norm_sums = self.loss_sums + count * losses, self.norm_sums + norms
        for trainer, batch in zip(self.trainers, batches, strict=True):
            trainer.epoch.steps += 1
            trainer.epoch.items += count
            trainer.state.steps += 1
            trainer.state.tokens += batch.tokens

    def compute_gradients(self, batches: Sequence[Batch]) -> tuple[Tensor, Tensor]:
        """Compute clipped gradients; return losses and norms before clipping (seeds,)."""
        results = [step.run(batches[rows]) for rows, step in self.steps]
        losses, norms = zip(*results, strict=True)
        return torch.cat(losses), torch.cat(norms)

    def update_trainers(self) -> None:
        """Update the trainers' epoch states and learning rates."""
        states = [state for _, step in self.steps for state in step.states()]
        for index, trainer in enumerate(self.trainers):
            epoch = trainer.epoch
            if not epoch.steps:  # the trainer may have begun the next epoch before others
                continue
            epoch.loss_sum, epoch.norm_sum = self.loss_sums[index], self.norm_sums[index]
            epoch.encoder_state = states[index]
            trainer.set_learning_rate(max(0, trainer.state.steps - 1))


def moments_of(trainer: Trainer, name: str) -> list[Tensor]:
    """Return one of Adam's moments for each parameter; zeros before the first step."""
    state = trainer.optimizer.state
    return [state[p].get(name, torch.zeros_like(p)) for p in trainer.parameters]


def detach(trainer: Trainer) -> None:
    """Copy a trainer's weights, moments and epoch state out of the common tensors."""
    if trainer.average is not None:
        trainer.average.weights = [weight.clone() for weight in trainer.average.weights]
    for parameter in trainer.parameters:
        parameter.data = parameter.data.clone()
        moments = trainer.optimizer.state[parameter]
        moments |= {name: tensor.clone() for name, tensor in moments.items()}
    epoch = trainer.epoch
    epoch.loss_sum, epoch.norm_sum = epoch.loss_sum.clone(), epoch.norm_sum.clone()
    if isinstance(epoch.encoder_state, tuple):
        epoch.encoder_state = tuple(part.clone() for part in epoch.encoder_state)
