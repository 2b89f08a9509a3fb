"""The training loop: clipping, schedule, early stopping, best weights."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Protocol

import torch
from torch import Tensor, nn

from benchmarks.clocks import Stopwatch
from benchmarks.config import TrainSettings
from benchmarks.environment import stream
from benchmarks.evaluation import NotFiniteError, evaluate
from tasks.base import Batch, Metric, Task

REPORT_SECONDS = 0.5
"""How often the loop stops to look at its loss. Looking waits for the device."""

Weights = dict[str, Tensor]


class Progress(Protocol):
    """Where the loop tells how far it is."""

    def step(self, steps: int, epoch: int, loss: float) -> None:
        """Tell of optimiser steps done so far and the latest mean loss."""

    def epoch(self, record: dict[str, float]) -> None:
        """Tell of an epoch's line in the learning curve."""


@dataclass
class TrainingRecord:
    """What training has come to, also when it is cut short."""

    epochs: int = 0
    stopped_by: str | None = None
    steps: int = 0
    tokens: int = 0
    best_epoch: int | None = None
    best_metrics: dict[str, float] = field(default_factory=dict)
    best_weights: Weights | None = None
    time_to_best_seconds: float | None = None
    train_seconds: float = 0.0
    evaluation_seconds: float = 0.0
    history: list[dict[str, float]] = field(default_factory=list)


class Trainer:
    """Trains a network on a task's training split and keeps its best weights by validation.

    Args:
        network: on the device already.
        task: on the device already.
        metric: what the validation score is.
        settings: the recipe.
        learning_rate: its peak, the model's factor included.
        seed: of the data order.
        device: where everything is.
        progress: whom to tell.
    """

    def __init__(
        self,
        network: nn.Module,
        task: Task,
        metric: Metric,
        settings: TrainSettings,
        learning_rate: float,
        seed: int,
        device: torch.device,
        progress: Progress,
    ) -> None:
        self.network = network
        self.task = task
        self.settings = settings
        self.seed = seed
        self.progress = progress
        self.record = TrainingRecord()
        self.metric = metric
        self.clock = Stopwatch(device)
        self.evaluation_clock = Stopwatch(device)
        self.peak_learning_rate = learning_rate
        self.optimizer = make_optimizer(network, settings, learning_rate, device)
        self.total_steps = planned_steps(task, settings)

    def forward_backward(self, batch: Batch, state: object) -> tuple[Tensor, Tensor, object]:
        """Compute gradients for a batch.

        Returns:
            The loss, the gradient norm before clipping and the state to carry on, cut from the
            graph.
        """
        outputs, state = self.network(batch.inputs, batch.lengths, state)
        loss = self.task.loss(outputs, batch)
        loss.backward()  # type: ignore[no-untyped-call]
        # Without a bound the norm is still wanted, for the learning curve.
        bound = math.inf if self.settings.clip_norm is None else self.settings.clip_norm
        norm = nn.utils.clip_grad_norm_(self.network.parameters(), bound)
        if isinstance(state, tuple):
            state = tuple(part.detach() for part in state)
        return loss.detach(), norm, state

    def warm_up(self) -> None:
        """Run a few batches without learning, so that one-time costs stay off the clock."""
        self.network.train()
        batches = self.task.batches(
            "train", self.settings.batch_size, stream(self.seed, "data order", 0)
        )
        for _, batch in zip(range(3), batches, strict=False):
            self.forward_backward(batch, None)
            self.optimizer.zero_grad()

    def fit(self) -> None:
        """Train until the epochs, steps, seconds or the patience run out.

        Raises:
            NotFiniteError: the loss became NaN or infinite.
        """
        waited = 0
        for epoch in range(1, self.settings.max_epochs + 1):
            try:
                losses = self._train_epoch(epoch)
            finally:
                self.record.train_seconds = self.clock.seconds
            is_best = self._validate(epoch, losses)
            waited = 0 if is_best else waited + 1
            if self.settings.patience is not None and waited >= self.settings.patience:
                self.record.stopped_by = "patience"
                return
            if self._exhausted():
                self.record.stopped_by = self._exhausted()
                return
        self.record.stopped_by = "epochs"

    def _train_epoch(self, epoch: int) -> dict[str, float]:
        """Run one pass over the training split; returns its mean loss and gradient norm."""
        self.network.train()
        state: object = None
        loss_sum = norm_sum = torch.zeros(())
        steps = 0
        order = stream(self.seed, "data order", epoch - 1)
        reported = time.perf_counter()
        with self.clock.running():
            for batch in self.task.batches("train", self.settings.batch_size, order):
                self._set_learning_rate()
                loss, norm, state = self.forward_backward(batch, state if batch.continues else None)
                self.optimizer.step()
                self.optimizer.zero_grad()
                loss_sum, norm_sum, steps = loss_sum + loss, norm_sum + norm, steps + 1
                self.record.steps += 1
                self.record.tokens += batch.tokens
                if self._exhausted():
                    break
                if time.perf_counter() - reported > REPORT_SECONDS:
                    with self.clock.paused():
                        self._report(epoch, float(loss_sum), steps)
                        reported = time.perf_counter()
        self._report(epoch, float(loss_sum), steps)
        return {
            "train_loss": float(loss_sum) / steps,
            "gradient_norm": float(norm_sum) / steps,
        }

    def _report(self, epoch: int, loss_sum: float, steps: int) -> None:
        if not math.isfinite(loss_sum):
            raise NotFiniteError(f"the training loss is not finite in epoch {epoch}")
        self.progress.step(self.record.steps, epoch, loss_sum / steps)

    def _validate(self, epoch: int, losses: dict[str, float]) -> bool:
        """Score the validation split and keep the weights if they are the best so far."""
        record = self.record
        try:
            with self.evaluation_clock.running():
                metrics = evaluate(
                    self.network,
                    self.task,
                    "validation",
                    self.settings.evaluation_batch_size,
                    self.settings.max_evaluation_batches,
                )
        finally:
            record.evaluation_seconds = self.evaluation_clock.seconds
        is_best = not record.best_metrics or self._is_better(metrics, record.best_metrics)
        if is_best:
            record.best_epoch = epoch
            record.best_metrics = metrics
            record.time_to_best_seconds = record.train_seconds
            record.best_weights = {
                # Off the accelerator, whose memory is being measured.
                name: tensor.detach().to("cpu", copy=True)
                for name, tensor in self.network.state_dict().items()
            }
        record.epochs = epoch
        record.history.append(
            {
                "epoch": epoch,
                "steps": record.steps,
                "tokens": record.tokens,
                "train_seconds": record.train_seconds,
                "learning_rate": self.optimizer.param_groups[0]["lr"],
                **losses,
                **{f"validation_{name}": value for name, value in metrics.items()},
            }
        )
        self.progress.epoch(record.history[-1])
        return is_best

    def _is_better(self, metrics: dict[str, float], best: dict[str, float]) -> bool:
        """Compare by the task's metric; a tie, common with accuracies, goes to the lower loss."""
        metric = self.metric
        sign = -1.0 if metric.higher_is_better else 1.0
        return (sign * metrics[metric.name], metrics["loss"]) < (
            sign * best[metric.name],
            best["loss"],
        )

    def _exhausted(self) -> str | None:
        """Name the bound that is reached, if any: steps or training seconds."""
        limits = self.settings
        if limits.max_steps is not None and self.record.steps >= limits.max_steps:
            return "steps"
        if limits.max_seconds is not None and self.clock.seconds >= limits.max_seconds:
            return "seconds"
        return None

    def _set_learning_rate(self) -> None:
        rate = self.peak_learning_rate * schedule_factor(
            self.settings, self.record.steps, self.total_steps
        )
        for group in self.optimizer.param_groups:
            group["lr"] = rate


def planned_steps(task: Task, settings: TrainSettings) -> int:
    """Count the optimiser steps of a training that nothing ends early."""
    steps = settings.max_epochs * task.steps_per_epoch(settings.batch_size)
    return steps if settings.max_steps is None else min(steps, settings.max_steps)


def schedule_factor(settings: TrainSettings, step: int, total_steps: int) -> float:
    """Learning rate of a step, counted from 0, as a part of the peak.

    A linear rise over `warmup_steps`, then constant, or a half cosine down to
    `final_learning_rate_factor` at the last step.
    """
    if step < settings.warmup_steps:
        return (step + 1) / (settings.warmup_steps + 1)
    if settings.schedule == "constant":
        return 1.0
    span = max(1, total_steps - 1 - settings.warmup_steps)
    done = min(1.0, (step - settings.warmup_steps) / span)
    floor = settings.final_learning_rate_factor
    return floor + (1.0 - floor) * 0.5 * (1.0 + math.cos(math.pi * done))


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
