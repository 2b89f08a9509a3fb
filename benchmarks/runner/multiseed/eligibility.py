"""Eligibility of an arm for multi-seed training, and the number of seeds per step."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import torch

from benchmarks.config.schema import Config
from benchmarks.runner.multiseed.layers import UnsupportedNetworkError
from benchmarks.runner.multiseed.stacked import StackedTrainers
from benchmarks.runner.multiseed.step import flatten
from benchmarks.runner.row_columns import describe
from benchmarks.runner.stages import PreparedRun
from benchmarks.system.signals import Interruption
from benchmarks.training.network import build_network, encoder_of
from benchmarks.training.optim import clear_gradients
from benchmarks.training.trainer import Trainer
from models.baseline import BaselineSettings
from tasks.base import Batch, Task

MAX_STEP_FLOPS = 100e6
"""Operations per thread of the encoders' forward pass in a step, up to which seeds are faster in
one step than in several: above it, the activations exceed the caches (scripts/perf/seeds.py)."""

TOLERANCE = {torch.float32: 1e-3, torch.float64: 1e-9}
"""Largest difference between gradients that are equal up to rounding, relative to their norm."""


def reason_against_multiseed(prepared: PreparedRun, seeds: Sequence[int]) -> str | None:
    """Return why seeds are trained one after the other; None if multi-seed training is faster.

    Beyond the settings, the networks of the first two seeds compute gradients in one step, which
    are compared with those of each network alone.

    Args:
        prepared: any of the seeds.
        seeds: distinct.
    """
    config = prepared.config
    if len(seeds) < 2:
        return "only one seed"
    if isinstance(config.model, BaselineSettings):
        return "a baseline trains no network"
    if prepared.device.type != "cpu":
        return f"the device is {prepared.device}"
    if config.match.kind == "time" or config.train.max_seconds is not None:
        return "a time limit ends the training, and each seed requires its own clock"
    if config.train.pretrain is not None:
        return f"train.pretrain is {config.train.pretrain}"
    if config.train.precision != "highest":
        return f"train.precision is {config.train.precision}"
    if config.train.optimizer == "sgd":
        return "train.optimizer is sgd"
    if len(prepared.task.refits()) > 1:
        return "each run trains several networks (task.refit)"
    pair = [trainer_of_seed(prepared, seed) for seed in seeds[:2]]
    batches = [next(trainer.begin_epoch()) for trainer in pair]
    if any(batch.lengths is not None for batch in batches):
        return "sequences have different lengths"
    if efficient_seeds(pair[0], batches[0]) < 2:
        return "a step of one seed uses all threads of the processor"
    return reason_against_stacking(pair, batches)


def efficient_seeds(trainer: Trainer, batch: Batch) -> int:
    """Return the largest number of seeds that are faster in one step than in several."""
    operations = encoder_of(trainer.network).flops_per_token() * batch.tokens
    return int(MAX_STEP_FLOPS * torch.get_num_threads() // operations)


def seeds_per_step(prepared: PreparedRun) -> int:
    """Return the largest number of seeds in one step of multi-seed training."""
    trainer = trainer_of(prepared.config, prepared.task, prepared.device)
    return efficient_seeds(trainer, next(trainer.begin_epoch()))


def trainer_of_seed(prepared: PreparedRun, seed: int) -> Trainer:
    """Return a seed's trainer at its first step, without progress and checkpoints."""
    config: Config = dataclasses.replace(prepared.config, seed=seed)
    return trainer_of(config, prepared.task, prepared.device)


def trainer_of(config: Config, task: Task, device: torch.device) -> Trainer:
    """Return the trainer of a run at its first step, without progress and checkpoints."""
    network, _ = build_network(config, task, device)
    nothing = (NoProgress(), lambda tensors, metadata: None, Interruption())
    return Trainer(config, network, task, device, *nothing)


class NoProgress:
    """Ignore progress."""

    def step(self, line: dict[str, float]) -> None:
        """Ignore a report."""

    epoch = step


def reason_against_stacking(trainers: list[Trainer], batches: list[Batch]) -> str | None:
    """Return why networks cannot be computed with stacked parameters; None if they can.

    Args:
        trainers: at their first step.
        batches: the first of each, of one shape.
    """
    if len(trainers[0].optimizer.param_groups) > 1:
        return "parameters of the network have a learning rate of their own"
    expected, generators = [], []
    for trainer, batch in zip(trainers, batches, strict=True):
        trainer.streams.seed_dropout()
        generators.append(torch.Generator().set_state(torch.get_rng_state()))
        trainer.forward_backward(batch, None)
        gradients = [p.grad for p in trainer.parameters if p.grad is not None]
        if len(gradients) < len(trainer.parameters):
            return "the network has unused parameters"
        expected.append((flatten(gradients), torch.get_rng_state()))
        clear_gradients(trainer.parameters)
    if encoder_of(trainers[0].network).kernel == "torch":
        return "the kernel torch computes one network at a time"
    try:
        stacked = StackedTrainers(trainers, generators, len(trainers))
        if not stacked.steps[0][1].can_stack(batches):
            return "the batches have different shapes"
        stacked.compute_gradients(batches)
    except UnsupportedNetworkError as error:
        return str(error)
    except (RuntimeError, TypeError, ValueError, IndexError) as error:
        return f"the network fails with stacked parameters ({describe(error)})"
    for found, (gradient, rng_state), generator in zip(
        stacked.gradients, expected, generators, strict=True
    ):
        if not torch.equal(generator.get_state(), rng_state):
            return "the network uses random numbers other than dropout"
        if (found - gradient).norm() > TOLERANCE[found.dtype] * gradient.norm():
            return "the network has other gradients with stacked parameters"
    return None
