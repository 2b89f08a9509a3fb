"""What steps a training takes: how many, how large, and by which optimiser."""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch import nn

from benchmarks.config import TrainSettings
from tasks.base import Task


def planned_steps(
    task: Task, settings: TrainSettings, budget_seconds: float | None = None
) -> int | None:
    """Count the optimiser steps of a training that nothing ends early.

    Args:
        task: loaded.
        settings: the recipe.
        budget_seconds: how long the training lasts, if that is what ends it.

    Returns:
        The steps; None where only time bounds them.
    """
    if budget_seconds is not None:
        return settings.max_steps
    steps = settings.max_epochs * task.steps_per_epoch(settings.batch_size)
    return steps if settings.max_steps is None else min(steps, settings.max_steps)


def schedule_factor(settings: TrainSettings, step: int, total_steps: int) -> float:
    """Learning rate of a step, counted from 0, as a part of the peak.

    A linear rise over `warmup_steps`, then constant, or a half cosine down to
    `final_learning_rate_factor` at the last step.
    """
    if step < settings.warmup_steps:
        return rise(settings, step)
    span = max(1, total_steps - 1 - settings.warmup_steps)
    return fall(settings, (step - settings.warmup_steps) / span)


def timed_factor(settings: TrainSettings, step: int, done: float) -> float:
    """Learning rate of a step as a part of the peak, where time bounds the training.

    How long the rise will take is not known beforehand, so the fall begins with it: the factor is
    the product of the two.

    Args:
        settings: the recipe.
        step: counted from 0.
        done: part of the training's time that has passed.
    """
    return rise(settings, step) * fall(settings, done)


def rise(settings: TrainSettings, step: int) -> float:
    """The warm-up's factor of a step, counted from 0."""
    return min(1.0, (step + 1) / (settings.warmup_steps + 1))


def fall(settings: TrainSettings, done: float) -> float:
    """The schedule's factor once a part of it, at most all, is done."""
    if settings.schedule == "constant":
        return 1.0
    floor = settings.final_learning_rate_factor
    return floor + (1.0 - floor) * 0.5 * (1.0 + math.cos(math.pi * min(1.0, done)))


def make_optimizer(
    network: nn.Module, settings: TrainSettings, learning_rate: float, device: torch.device
) -> torch.optim.Optimizer:
    """Return Adam, its weight decay part of the gradient, or AdamW, its decay apart."""
    kinds: dict[str, Callable[..., torch.optim.Optimizer]] = {
        "adam": torch.optim.Adam,
        "adamw": torch.optim.AdamW,
    }
    return kinds[settings.optimizer](
        network.parameters(),
        lr=learning_rate,
        betas=(0.9, settings.beta2),
        weight_decay=settings.weight_decay,
        # One kernel for all of a tensor: a sixth of the time on a large embedding.
        fused=device.type in ("cpu", "cuda"),
    )
