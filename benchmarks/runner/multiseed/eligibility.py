"""Whether the seeds of an arm can be trained together, and whether that is worth it."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any

import torch

from benchmarks.config.schema import Config
from benchmarks.runner.multiseed.layers import CannotGroupError
from benchmarks.runner.multiseed.stacked import StackedTrainers
from benchmarks.runner.multiseed.step import flat
from benchmarks.runner.row_columns import describe
from benchmarks.runner.run import PreparedRun
from benchmarks.system.signals import Interruption
from benchmarks.training.network import build_network
from benchmarks.training.optim import clear_gradients
from benchmarks.training.seeding import SeedStreams
from benchmarks.training.trainer import Trainer
from models.baseline import BaselineSettings
from tasks.base import Batch

LARGEST_PASS = 100e6
"""Operations per thread of the encoders' forward pass in a training step, up to which seeds take
less time in one pass than in several: beyond it, what a pass keeps leaves the processor's caches
(scripts/perf/seeds.py)."""

TOLERANCE = {torch.float32: 1e-3, torch.float64: 1e-9}
"""How far gradients may lie apart that are the same to rounding, as a part of their norm."""


def reason_against_multiseed(ready: PreparedRun, seeds: Sequence[int]) -> str | None:
    """Say why seeds are better, or have to be, trained one after the other; None if together.

    What can be known beforehand is; beyond that the first two seeds' networks take a step together,
    without learning, and what comes of it is compared with what each gets alone.

    Args:
        ready: of any of the seeds.
        seeds: different ones.
    """
    config = ready.config
    if len(seeds) < 2:
        return "there is one"
    if isinstance(config.model, BaselineSettings):
        return "a baseline trains no network"
    if ready.device.type != "cpu":
        return f"the device is {ready.device}"
    if config.match.kind == "time" or config.train.max_seconds is not None:
        return "a clock ends the training, and it must be each one's own"
    if config.train.precision != "highest":
        return f"train.precision is {config.train.precision}"
    pair = [trainer_of(ready, seed) for seed in seeds[:2]]
    batches = [next(trainer.begin_epoch()) for trainer in pair]
    if any(batch.lengths is not None for batch in batches):
        return "sequences have different lengths"
    if fitting(pair[0], batches[0]) < 2:
        return "a step of one has enough to compute for all the processor's threads"
    return why_not(pair, batches)


def fitting(trainer: Trainer, batch: Batch) -> int:
    """Count the seeds that are better computed in one pass than in several."""
    encoder: Any = trainer.network.encoder
    operations = encoder.flops_per_token() * batch.tokens
    return int(LARGEST_PASS * torch.get_num_threads() // operations)


def seeds_per_step(ready: PreparedRun) -> int:
    """How many seeds go through one pass, of those that are trained together."""
    trainer = trainer_of(ready, ready.config.seed)
    return fitting(trainer, next(trainer.begin_epoch()))


def trainer_of(ready: PreparedRun, seed: int) -> Trainer:
    """A seed's trainer at its first step, to try something out with."""
    config: Config = dataclasses.replace(ready.config, seed=seed)
    network, _ = build_network(config, ready.task, ready.device)
    return Trainer(
        network,
        ready.task,
        config.task.metric,
        config.train,
        config.train.learning_rate,
        seed,
        ready.device,
        Nobody(),
        lambda tensors, facts: None,
        Interruption(),
    )


class Nobody:
    """Is told of progress and does nothing."""

    def step(self, line: dict[str, float]) -> None:
        """See `benchmarks.training.state.Progress`."""

    def epoch(self, line: dict[str, float]) -> None:
        """See `benchmarks.training.state.Progress`."""


def why_not(trainers: list[Trainer], batches: list[Batch]) -> str | None:
    """Say what keeps networks from being trained together; None if nothing does.

    Args:
        trainers: at their first step.
        batches: the first of each, of one shape.
    """
    expected, generators = [], []
    for trainer, batch in zip(trainers, batches, strict=True):
        SeedStreams(trainer.seed).seed_dropout()
        generators.append(torch.Generator().set_state(torch.get_rng_state()))
        trainer.forward_backward(batch, None)
        gradients = [p.grad for p in trainer.parameters if p.grad is not None]
        if len(gradients) < len(trainer.parameters):
            return "the network has weights that are not used"
        expected.append((flat(gradients), torch.get_rng_state()))
        clear_gradients(trainer.parameters)
    if trainers[0].network.encoder.kernel == "torch":  # type: ignore[union-attr]
        return "its cells run by the kernel torch, one network at a time"
    try:
        stack = StackedTrainers(trainers, generators, len(trainers))
        if not stack.passes[0][1].can_take(batches):
            return "their batches have different shapes"
        stack.compute(batches)
    except CannotGroupError as error:
        return str(error)
    except (RuntimeError, TypeError, ValueError, StopIteration) as error:
        return f"the network cannot be run so ({describe(error)})"
    for own, (gradient, chance), generator in zip(
        stack.gradients, expected, generators, strict=True
    ):
        if not torch.equal(generator.get_state(), chance):
            return "the network has chance in it that is not dropout"
        if (own - gradient).norm() > TOLERANCE[own.dtype] * gradient.norm():
            return "the network computes something else then"
    return None
