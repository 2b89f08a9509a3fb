"""Number of training steps, learning rate schedule and optimiser."""

from __future__ import annotations

import inspect
import math
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from benchmarks.config.schema import TrainSettings
from models.modules.encoder import DYNAMICS_RATE, Encoder
from tasks.base import Task

STEP_AT = 0.8  # share of the schedule `step` at the peak (Johnson & Zhang 2016)


def planned_steps(
    task: Task, settings: TrainSettings, budget_seconds: float | None = None
) -> int | None:
    """Return the optimiser steps without early stopping; None if only time limits the training."""
    if budget_seconds is not None:
        return settings.max_steps
    steps = settings.max_epochs * task.steps_per_epoch(settings.batch_size)
    return steps if settings.max_steps is None else min(steps, settings.max_steps)


def schedule_factor(settings: TrainSettings, step: int, total_steps: int) -> float:
    """Return the learning rate of a step, counted from 0, relative to the peak.

    Linear warm-up over `warmup_steps`, then constant, a half cosine down to
    `final_learning_rate_factor` at the last step, or that factor after `STEP_AT` of the steps.
    """
    if step < settings.warmup_steps:
        return warmup_factor(settings, step)
    span = max(1, total_steps - 1 - settings.warmup_steps)
    return decay_factor(settings, (step - settings.warmup_steps) / span)


def timed_factor(settings: TrainSettings, step: int, done: float) -> float:
    """Return the learning rate of a step relative to the peak, if time limits the training.

    The warm-up's duration is unknown, so the decay starts at the first step. `done` is the elapsed
    share of the training time. The factors are multiplied.
    """
    return warmup_factor(settings, step) * decay_factor(settings, done)


def warmup_factor(settings: TrainSettings, step: int) -> float:
    """Return the warm-up factor of a step, counted from 0."""
    return min(1.0, (step + 1) / (settings.warmup_steps + 1))


def decay_factor(settings: TrainSettings, done: float) -> float:
    """Return the decay factor after a share `done` of the schedule; `done` is limited to 1."""
    if settings.schedule == "constant":
        return 1.0
    floor = settings.final_learning_rate_factor
    if settings.schedule == "step":
        return floor if done >= STEP_AT else 1.0
    return floor + (1.0 - floor) * 0.5 * (1.0 + math.cos(math.pi * min(1.0, done)))


def make_optimizer(
    network: nn.Module, settings: TrainSettings, learning_rate: float, device: torch.device
) -> torch.optim.Optimizer:
    """Return SGD or Adam with L2 regularisation, or AdamW with decoupled weight decay.

    `Encoder.dynamics` are a second group, whose learning rate and weight decay are lower.
    """
    adam = {"betas": (settings.beta1, settings.beta2)}
    definitions: dict[str, tuple[type[torch.optim.Optimizer], dict[str, Any]]] = {
        "adam": (torch.optim.Adam, adam),
        "adamw": (torch.optim.AdamW, adam),
        "sgd": (torch.optim.SGD, {"momentum": settings.momentum}),
    }
    definition, options = definitions[settings.optimizer]
    kind: Callable[..., torch.optim.Optimizer] = without_compiler(definition)
    slow = dynamics_of(network)
    others = {id(parameter) for parameter in slow}
    groups: list[dict[str, Any]] = [
        {"params": [p for p in network.parameters() if id(p) not in others]}
    ]
    if slow:
        groups.append({"params": slow, "weight_decay": 0.0, "rate": DYNAMICS_RATE})
    optimizer = kind(
        groups,
        lr=learning_rate,
        weight_decay=settings.weight_decay,
        # One kernel per tensor: a sixth of the time on a large embedding.
        fused=device.type in ("cpu", "cuda"),
        **options,
    )
    set_rate(optimizer, learning_rate)
    return optimizer


def dynamics_of(network: nn.Module) -> list[nn.Parameter]:
    """Return the parameters that encoders in a network name in `Encoder.dynamics`."""
    return [
        parameter
        for module in network.modules()
        if isinstance(module, Encoder)
        for name, parameter in module.named_parameters()
        if name in module.dynamics
    ]


def set_rate(optimizer: torch.optim.Optimizer, learning_rate: float) -> None:
    """Set the learning rate of all groups, some of which have a part of it."""
    for group in optimizer.param_groups:
        group["lr"] = learning_rate * group.get("rate", 1.0)


def without_compiler(kind: type[torch.optim.Optimizer]) -> type[torch.optim.Optimizer]:
    """Return an optimiser class that does not import torch's compiler.

    No run uses the compiler, and its import takes more than a second and a quarter of the memory of
    a process with torch. Some methods import it when first called, to be excluded from compilation,
    and cache the result as an attribute, which is set here in advance. `step` does so at every
    call, inside a wrapper that disables gradients.
    """
    for name in ("add_param_group", "state_dict", "load_state_dict"):
        plain = inspect.unwrap(getattr(kind, name))
        vars(plain).setdefault("__dynamo_disable", plain)
    step = torch.no_grad()(inspect.unwrap(kind.step))
    return type(kind.__name__, (kind,), {"step": step})


def clip_gradients(parameters: list[nn.Parameter], bound: float | None) -> Tensor:
    """Scale gradients down to a total norm and return the norm before, a scalar.

    Equal to `nn.utils.clip_grad_norm_`, which sorts the gradients by device and type at every step
    and so takes twice the time on small networks.
    The parameters are on one device and of one type; without a bound nothing is scaled.
    """
    gradients = [p.grad for p in parameters if p.grad is not None]
    norm: Tensor = torch.linalg.vector_norm(torch.stack(torch._foreach_norm(gradients)))
    if bound is not None:
        torch._foreach_mul_(gradients, (bound / (norm + 1e-6)).clamp(max=1.0))
    return norm


def clear_gradients(parameters: list[nn.Parameter]) -> None:
    """Set gradients to None, like `Optimizer.zero_grad` but without its profiler hook."""
    for parameter in parameters:
        parameter.grad = None
