"""What steps a training takes: how many, how large, and by which optimiser."""

from __future__ import annotations

import inspect
import math
from collections.abc import Callable

import torch
from torch import Tensor, nn

from benchmarks.config.schema import TrainSettings
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
    kinds = {"adam": torch.optim.Adam, "adamw": torch.optim.AdamW}
    kind: Callable[..., torch.optim.Optimizer] = without_compiler(kinds[settings.optimizer])
    return kind(
        network.parameters(),
        lr=learning_rate,
        betas=(0.9, settings.beta2),
        weight_decay=settings.weight_decay,
        # One kernel for all of a tensor: a sixth of the time on a large embedding.
        fused=device.type in ("cpu", "cuda"),
    )


def without_compiler(kind: type[torch.optim.Optimizer]) -> type[torch.optim.Optimizer]:
    """Return an optimiser class that does not import torch's compiler, which no run uses.

    That would take more than a second and a quarter of the memory of a process that has torch. Some
    methods ask the compiler, when first called, to let them be; its answer is kept on the method
    and given here beforehand. The step asks every time, inside a wrapper that turns gradients off.
    """
    for name in ("add_param_group", "state_dict", "load_state_dict"):
        plain = inspect.unwrap(getattr(kind, name))
        vars(plain).setdefault("__dynamo_disable", plain)
    step = torch.no_grad()(inspect.unwrap(kind.step))
    return type(kind.__name__, (kind,), {"step": step})


def clip_gradients(parameters: list[nn.Parameter], bound: float | None) -> Tensor:
    """Scale gradients down to a total norm; does what `nn.utils.clip_grad_norm_` does, in half the
    time on small networks: that one sorts them by device and type at every step.

    Args:
        parameters: on one device, of one type.
        bound: None to leave the gradients as they are.

    Returns:
        The norm before, a scalar.
    """
    gradients = [p.grad for p in parameters if p.grad is not None]
    norm: Tensor = torch.linalg.vector_norm(torch.stack(torch._foreach_norm(gradients)))
    if bound is not None:
        torch._foreach_mul_(gradients, (bound / (norm + 1e-6)).clamp(max=1.0))
    return norm


def clear_gradients(parameters: list[nn.Parameter]) -> None:
    """Unset gradients, as an optimiser's `zero_grad`, without what that does for its profiler."""
    for parameter in parameters:
        parameter.grad = None
