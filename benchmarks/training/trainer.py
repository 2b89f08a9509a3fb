"""The training loop: clipping, schedule, early stopping, best weights, exact continuation."""

from __future__ import annotations

import dataclasses
import itertools
import math
import time
from collections.abc import Callable, Iterator
from typing import Any

import torch
from torch import Tensor, nn

from benchmarks.config.schema import TrainSettings
from benchmarks.system.signals import Interruption
from benchmarks.system.timer import Stopwatch, synchronise
from benchmarks.training.evaluation import NotFiniteError, evaluate
from benchmarks.training.optim import (
    clear_gradients,
    clip_gradients,
    make_optimizer,
    planned_steps,
    schedule_factor,
    timed_factor,
)
from benchmarks.training.seeding import SeedStreams, random_states, restore_random_states
from benchmarks.training.state import EpochInProgress, Progress, TrainingRecord
from tasks.base import Batch, Metric, Task

REPORT_SECONDS = 0.5
"""How often the loop stops to look at its loss. Looking waits for the device."""

CLOSE_SECONDS = 2 * REPORT_SECONDS
"""From how long before the end of its time a training waits for the device after every step."""

Keep = Callable[[dict[str, Tensor], dict[str, Any]], None]
"""Keeps what `Trainer.state` gives; see `benchmarks.training.checkpoint`."""


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
        keep: keeps a checkpoint: at the end, on an interruption, every `train.checkpoint_seconds`.
        interruption: asked after every step whether to end.
        budget_seconds: how long the training lasts, whatever its epochs and its patience say; the
            schedule then runs over this time. None where they decide.
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
        keep: Keep,
        interruption: Interruption,
        budget_seconds: float | None = None,
    ) -> None:
        self.network = network
        self.parameters = list(network.parameters())  # walking the modules would cost every step
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
        self.budget_seconds = budget_seconds
        self.total_steps = planned_steps(task, settings, budget_seconds)
        self.keep = keep
        self.interruption = interruption
        self.epoch = EpochInProgress()
        self.waited = 0
        self._kept_at = time.perf_counter()
        self._in_step = False

    def forward_backward(self, batch: Batch, state: object) -> tuple[Tensor, Tensor, object]:
        """Compute gradients for a batch.

        Returns:
            The loss, the gradient norm before clipping and the state to carry on, cut from the
            graph.
        """
        outputs, state = self.network(batch.inputs, batch.lengths, state)
        loss = self.task.loss(outputs, batch)
        loss.backward()  # type: ignore[no-untyped-call]
        norm = clip_gradients(self.parameters, self.settings.clip_norm)
        if isinstance(state, tuple):
            state = tuple(part.detach() for part in state)
        return loss.detach(), norm, state

    def warm_up(self) -> None:
        """Run a few batches without learning, so that one-time costs stay off the clock."""
        self.network.train()
        batches = self.task.batches(
            "train", self.settings.batch_size, SeedStreams(self.seed).data_order(0)
        )
        for _, batch in zip(range(2), batches, strict=False):
            self.forward_backward(batch, None)
            clear_gradients(self.parameters)

    def fit(self) -> None:
        """Train until the epochs, steps, seconds or the patience run out.

        Raises:
            NotFiniteError: the loss became NaN or infinite.
            KeyboardInterrupt: a signal asked for it; a checkpoint was kept.
        """
        with self.interruption.deferred():
            try:
                while self.record.stopped_by is None:
                    self._train_epoch()
                    self.end_epoch()
                    self.interruption.check()
                self.keep_now()
            except KeyboardInterrupt:
                if not self._in_step:  # a second signal may come in the middle of an update
                    self.keep_now()
                raise

    def _train_epoch(self) -> None:
        """Run one pass over the training split, or what is left of it."""
        epoch = self.epoch
        batches = self.begin_epoch()
        reported = time.perf_counter()
        try:
            with self.clock.running():
                for batch in batches:
                    if epoch.steps and self.exhausted():
                        break
                    self._step(batch)
                    now = time.perf_counter()
                    if now - reported > REPORT_SECONDS or self.is_due(now):
                        with self.clock.paused():
                            self.report()
                            if self.is_due(now):
                                self.keep_now()
                            reported = time.perf_counter()
                    self.interruption.check()
        finally:
            self.record.train_seconds = self.clock.seconds
        self.report()

    def begin_epoch(self) -> Iterator[Batch]:
        """Prepare for a pass over the training split; returns the batches that are left of it."""
        self.network.train()
        order = SeedStreams(self.seed).data_order(self.epoch.number - 1)
        batches = self.task.batches("train", self.settings.batch_size, order)
        for _ in itertools.islice(batches, self.epoch.steps):
            pass  # trained on by an earlier start
        return batches

    def end_epoch(self) -> None:
        """Validate, decide whether to go on, and turn to the next epoch."""
        self._validate()
        self.record.stopped_by = self._reason_to_stop()
        self.epoch = EpochInProgress(self.epoch.number + 1)

    def _step(self, batch: Batch) -> None:
        """Learn from one batch."""
        self._in_step = True
        epoch = self.epoch
        self.set_learning_rate(self.record.steps)
        state = epoch.state if batch.continues else None
        loss, norm, epoch.state = self.forward_backward(batch, state)
        self.optimizer.step()
        clear_gradients(self.parameters)
        epoch.loss_sum, epoch.norm_sum = epoch.loss_sum + loss, epoch.norm_sum + norm
        epoch.steps += 1
        self.record.steps += 1
        self.record.tokens += batch.tokens
        self._in_step = False

    def is_due(self, now: float) -> bool:
        """Whether the last checkpoint is old enough for another."""
        wanted = self.settings.checkpoint_seconds
        return wanted is not None and now - self._kept_at >= wanted

    def keep_now(self) -> None:
        """Hand out a checkpoint."""
        self.keep(*self.state())
        self._kept_at = time.perf_counter()

    def report(self) -> None:
        """Look at the loss and tell of it."""
        line = self.line()
        if not math.isfinite(line["train_loss"]):
            raise NotFiniteError(f"the training loss is not finite in epoch {self.epoch.number}")
        self.progress.step(line)

    def line(self) -> dict[str, float]:
        """Give the epoch's line as far as it has come, in one look at the device."""
        record, epoch = self.record, self.epoch
        loss_sum, norm_sum = torch.stack((epoch.loss_sum, epoch.norm_sum)).tolist()
        return {
            "epoch": epoch.number,
            "steps": record.steps,
            "tokens": record.tokens,
            **({} if record.together else {"train_seconds": self.clock.seconds}),
            "learning_rate": self.optimizer.param_groups[0]["lr"],
            "train_loss": loss_sum / epoch.steps,
            "gradient_norm": norm_sum / epoch.steps,
        }

    def _validate(self) -> None:
        """Score the validation split and keep the weights if they are the best so far."""
        record, epoch = self.record, self.epoch
        try:
            # Training is whole and waits here, so a signal need not.
            with self.interruption.immediate(), self.evaluation_clock.running():
                metrics = evaluate(
                    self.network,
                    self.task,
                    "validation",
                    self.settings.evaluation_batch_size,
                    self.settings.max_evaluation_batches,
                )
        finally:
            record.evaluation_seconds = self.evaluation_clock.seconds
        self.waited += 1
        if record.is_best(metrics, self.metric):
            self.waited = 0
            record.best_epoch = epoch.number
            record.best_metrics = metrics
            record.time_to_best_seconds = record.train_seconds
            record.best_weights = {
                # Off the accelerator, whose memory is being measured.
                name: tensor.detach().to("cpu", copy=True)
                for name, tensor in self.network.state_dict().items()
            }
        record.epochs = epoch.number
        validation = {f"validation_{name}": value for name, value in metrics.items()}
        record.history.append(self.line() | validation)
        self.progress.epoch(record.history[-1])

    def _reason_to_stop(self) -> str | None:
        """Name what ends the training after this epoch, if anything does."""
        limits = self.settings
        is_free = self.budget_seconds is None
        if is_free and limits.patience is not None and self.waited >= limits.patience:
            return "patience"
        if self.exhausted():
            return self.exhausted()
        return "epochs" if is_free and self.epoch.number >= limits.max_epochs else None

    def exhausted(self) -> str | None:
        """Name the bound that is reached, if any: steps or training seconds."""
        limits = self.settings
        if limits.max_steps is not None and self.record.steps >= limits.max_steps:
            return "steps"
        seconds = limits.max_seconds if self.budget_seconds is None else self.budget_seconds
        if seconds is None:
            return None
        if self.clock.seconds >= seconds - CLOSE_SECONDS:
            # Steps that an accelerator has yet to do would else come on top of the time.
            synchronise(self.clock.device)
        return "seconds" if self.clock.seconds >= seconds else None

    def set_learning_rate(self, step: int) -> None:
        """Give the optimiser the rate of a step, counted from 0."""
        if self.budget_seconds is not None:
            done = self.clock.seconds / self.budget_seconds
            factor = timed_factor(self.settings, step, done)
        else:
            assert self.total_steps is not None
            factor = schedule_factor(self.settings, step, self.total_steps)
        rate = self.peak_learning_rate * factor
        for group in self.optimizer.param_groups:
            group["lr"] = rate

    def state(self) -> tuple[dict[str, Tensor], dict[str, Any]]:
        """Everything that decides how the training goes on, tensors apart from the rest."""
        epoch, record = self.epoch, self.record
        tensors = {f"network.{name}": t for name, t in self.network.state_dict().items()}
        tensors |= {f"best.{name}": t for name, t in (record.best_weights or {}).items()}
        for index, moments in self.optimizer.state_dict()["state"].items():
            tensors |= {f"optimizer.{index}.{name}": t for name, t in moments.items()}
        tensors |= {f"random.{name}": t for name, t in random_states(self.clock.device).items()}
        tensors |= {"epoch.loss_sum": epoch.loss_sum, "epoch.norm_sum": epoch.norm_sum}
        if isinstance(epoch.state, tuple):
            tensors |= {f"state.{index}": part for index, part in enumerate(epoch.state)}
        plain = {e.name: getattr(record, e.name) for e in dataclasses.fields(record)}
        del plain["best_weights"]
        clocks = {
            "train_seconds": self.clock.seconds,
            "evaluation_seconds": self.evaluation_clock.seconds,
        }
        facts = {
            "epoch": epoch.number,
            "epoch_steps": epoch.steps,
            "waited": self.waited,
            "record": plain | clocks,
        }
        return tensors, facts

    def restore(self, tensors: dict[str, Tensor], facts: dict[str, Any]) -> None:
        """Go back to what `state` gave, in a trainer made from the same settings and data."""
        device = self.clock.device

        def part(prefix: str) -> dict[str, Tensor]:
            return {k.removeprefix(prefix): t for k, t in tensors.items() if k.startswith(prefix)}

        self.network.load_state_dict(part("network."))
        moments: dict[int, dict[str, Tensor]] = {}
        for name, tensor in part("optimizer.").items():
            index, _, moment = name.partition(".")
            moments.setdefault(int(index), {})[moment] = tensor
        groups = self.optimizer.state_dict()["param_groups"]
        self.optimizer.load_state_dict({"state": moments, "param_groups": groups})
        carried = sorted(part("state.").items(), key=lambda item: int(item[0]))
        self.record = TrainingRecord(**facts["record"])
        self.record.best_weights = part("best.") or None
        self.epoch = EpochInProgress(
            facts["epoch"],
            facts["epoch_steps"],
            tensors["epoch.loss_sum"].to(device),
            tensors["epoch.norm_sum"].to(device),
            tuple(tensor.to(device) for _, tensor in carried) or None,
        )
        self.waited = facts["waited"]
        self.clock.start_from(self.record.train_seconds)
        # An epoch whose last step was done before writes that step's rate into its line.
        self.set_learning_rate(max(0, self.record.steps - 1))
        self.evaluation_clock.start_from(self.record.evaluation_seconds)
        restore_random_states(part("random."), device)
