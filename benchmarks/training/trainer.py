"""The training loop: clipping, schedule, early stopping, best weights, exact resumption."""

from __future__ import annotations

import itertools
import math
import time
from collections.abc import Callable, Iterator
from contextlib import nullcontext
from typing import Any

import torch
from torch import Tensor, nn

from benchmarks.config.schema import Config
from benchmarks.system.energy import EnergyMeter
from benchmarks.system.signals import Interruption
from benchmarks.system.timer import Timer, synchronise
from benchmarks.training.averaging import WeightAverage, copy_values
from benchmarks.training.evaluation import NotFiniteError, evaluate
from benchmarks.training.optim import (
    clear_gradients,
    clip_gradients,
    make_optimizer,
    planned_steps,
    schedule_factor,
    set_rate,
    timed_factor,
)
from benchmarks.training.seeding import SeedStreams, random_states, restore_random_states
from benchmarks.training.state import EpochState, Progress, TrainingState
from tasks.base import Batch, Task

REPORT_SECONDS = 0.5
"""Interval between two reports of the loss, each of which synchronises with the device."""

SYNCHRONISED_SECONDS = 2 * REPORT_SECONDS
"""Before the end of its time, a training synchronises with the device after every step."""

Saved = tuple[dict[str, Tensor], dict[str, Any]]
"""The result of `Trainer.checkpoint`."""

SaveCheckpoint = Callable[[dict[str, Tensor], dict[str, Any]], None]
"""Saves the result of `Trainer.checkpoint`; see `benchmarks.training.checkpoint`."""


class Trainer:
    """Train a network on a task's training split and keep its best weights by validation.

    With `train.ema` the validation and the best weights are those of the moving average.
    Under `match=time` the budget replaces epochs and patience, and the schedule runs over it.

    Args:
        config: configuration of the run.
        network, task: already on the device.
        device: device of network and task.
        progress: receiver of the progress.
        save_checkpoint: called at the end, on an interruption and every `train.checkpoint_seconds`.
        interruption: checked after every step.
    """

    def __init__(
        self,
        config: Config,
        network: nn.Module,
        task: Task,
        device: torch.device,
        progress: Progress,
        save_checkpoint: SaveCheckpoint,
        interruption: Interruption,
    ) -> None:
        self.network = network
        self.parameters = list(network.parameters())  # walking the modules would cost every step
        self.task = task
        self.settings = config.train
        self.streams = SeedStreams.of(config)
        self.progress = progress
        self.state = TrainingState()
        self.metric = config.task.primary_metric
        self.training_timer = Timer(device, EnergyMeter(device))
        self.evaluation_timer = Timer(device)
        self.peak_learning_rate = config.train.learning_rate * config.model.learning_rate_factor
        self.optimizer = make_optimizer(network, config.train, self.peak_learning_rate, device)
        decay = config.train.ema
        self.average = None if decay is None else WeightAverage(self.parameters, decay)
        self.budget_seconds = config.match.budget_seconds
        self.total_steps = planned_steps(task, config.train, self.budget_seconds)
        self.save_checkpoint = save_checkpoint
        self.interruption = interruption
        self.epoch = EpochState()
        self.epochs_since_best = 0
        self._saved_at = time.perf_counter()
        self._in_step = False

    def forward_backward(self, batch: Batch, state: object) -> tuple[Tensor, Tensor, object]:
        """Compute gradients for a batch.

        Returns:
            The loss, the gradient norm before clipping and the recurrent state, detached.
        """
        outputs, state = self.network(batch.inputs, batch.lengths, state)
        loss = self.task.loss(outputs, batch)
        # PyTorch's `backward` has no annotations.
        loss.backward()  # type: ignore[no-untyped-call]
        norm = clip_gradients(self.parameters, self.settings.clip_norm)
        if isinstance(state, tuple):
            state = tuple(part.detach() for part in state)
        return loss.detach(), norm, state

    def warm_up(self) -> None:
        """Run two batches without learning, which excludes one-time costs from the clock."""
        self.network.train()
        for batch in itertools.islice(self.training_batches(0), 2):
            self.forward_backward(batch, None)
            clear_gradients(self.parameters)

    def training_batches(self, epoch: int) -> Iterator[Batch]:
        """Iterate over the batches of an epoch, counted from 0."""
        order = self.streams.data_order(epoch)
        return self.task.batches("train", self.settings.batch_size, order)

    def fit(self) -> None:
        """Train until a limit of epochs, steps, seconds or patience is reached.

        Raises:
            NotFiniteError: the loss became NaN or infinite.
            KeyboardInterrupt: a signal requested it; a checkpoint was saved.
        """
        with self.interruption.deferred():
            try:
                while self.state.stopped_by is None:
                    self._train_epoch()
                    self.end_epoch()
                    self.interruption.check()
                self.save()
            except KeyboardInterrupt:
                if not self._in_step:  # else the update is incomplete
                    self.save()
                raise

    def _train_epoch(self) -> None:
        """Train for one epoch, or the rest of it."""
        epoch = self.epoch
        batches = self.begin_epoch()
        reported = time.perf_counter()
        try:
            with self.training_timer.running():
                for batch in batches:
                    if epoch.steps and self.reached_limit():
                        break
                    self._step(batch)
                    now = time.perf_counter()
                    if now - reported > REPORT_SECONDS or self.is_checkpoint_due(now):
                        with self.training_timer.paused():
                            self.report()
                            if self.is_checkpoint_due(now):
                                self.save()
                            reported = time.perf_counter()
                    self.interruption.check()
        finally:
            self.state.train_seconds = self.training_timer.seconds
            self.state.train_joules = self.training_timer.joules
        self.report()

    def begin_epoch(self) -> Iterator[Batch]:
        """Prepare for the current epoch and return its remaining batches."""
        self.network.train()
        batches = self.training_batches(self.epoch.number - 1)
        for _ in itertools.islice(batches, self.epoch.steps):
            pass  # already trained on, before the checkpoint
        return batches

    def end_epoch(self) -> None:
        """Validate, decide whether to stop, and begin the next epoch."""
        # Interruptions are deferred here, so that none leaves the average in the network.
        with nullcontext() if self.average is None else self.average.applied():
            self._validate()
        self.state.stopped_by = self._reason_to_stop()
        self.epoch = EpochState(self.epoch.number + 1)

    def _step(self, batch: Batch) -> None:
        """Learn from one batch."""
        self._in_step = True
        epoch = self.epoch
        self.set_learning_rate(self.state.steps)
        before = epoch.encoder_state if batch.continues else None
        loss, norm, epoch.encoder_state = self.forward_backward(batch, before)
        self.optimizer.step()
        if self.average is not None:
            self.average.update(self.state.steps + 1)
        clear_gradients(self.parameters)
        count = batch.items.numel()  # the last batch of an epoch may be smaller
        epoch.loss_sum, epoch.norm_sum = epoch.loss_sum + count * loss, epoch.norm_sum + norm
        epoch.steps += 1
        epoch.items += count
        self.state.steps += 1
        self.state.tokens += batch.tokens
        self._in_step = False

    def is_checkpoint_due(self, now: float) -> bool:
        """Return True if the last checkpoint is old enough for another."""
        interval = self.settings.checkpoint_seconds
        return interval is not None and now - self._saved_at >= interval

    def save(self) -> None:
        """Save a checkpoint."""
        self.save_checkpoint(*self.checkpoint())
        self._saved_at = time.perf_counter()

    def report(self) -> None:
        """Report the epoch's line so far; raise NotFiniteError if its loss is not finite."""
        line = self.line()
        if not math.isfinite(line["train_loss"]):
            raise NotFiniteError(f"the training loss is not finite in epoch {self.epoch.number}")
        self.progress.step(line)

    def line(self) -> dict[str, float]:
        """Return the epoch's line so far; synchronises with the device once."""
        state, epoch = self.state, self.epoch
        loss_sum, norm_sum = torch.stack((epoch.loss_sum, epoch.norm_sum)).tolist()
        return {
            "epoch": epoch.number,
            "steps": state.steps,
            "tokens": state.tokens,
            **({} if state.trained_together else {"train_seconds": self.training_timer.seconds}),
            "learning_rate": self.optimizer.param_groups[0]["lr"],
            "train_loss": loss_sum / epoch.items,
            "gradient_norm": norm_sum / epoch.steps,
        }

    def _validate(self) -> None:
        """Score the validation split and keep the weights if they are the best so far."""
        state, epoch, limits = self.state, self.epoch, self.settings
        bounds = limits.evaluation_batch_size, limits.max_evaluation_batches
        try:
            # No update is in progress, so a signal may interrupt at once.
            with self.interruption.immediate(), self.evaluation_timer.running():
                metrics = evaluate(self.network, self.task, "validation", *bounds)
        finally:
            state.evaluation_seconds = self.evaluation_timer.seconds
        self.epochs_since_best += 1
        if state.is_best(metrics, self.metric):
            self.epochs_since_best = 0
            state.best_epoch = epoch.number
            state.best_metrics = metrics
            state.time_to_best_seconds = state.train_seconds
            state.best_weights = {
                # On the CPU, because the accelerator's memory is measured.
                name: tensor.detach().to("cpu", copy=True)
                for name, tensor in self.network.state_dict().items()
            }
        state.epochs = epoch.number
        validation = {f"validation_{name}": value for name, value in metrics.items()}
        state.history.append(self.line() | validation)
        self.progress.epoch(state.history[-1])

    def _reason_to_stop(self) -> str | None:
        """Return the limit that ends the training after this epoch, or None."""
        limits = self.settings
        is_free = self.budget_seconds is None
        if is_free and limits.patience is not None and self.epochs_since_best >= limits.patience:
            return "patience"
        if reached := self.reached_limit():
            return reached
        return "epochs" if is_free and self.epoch.number >= limits.max_epochs else None

    def reached_limit(self) -> str | None:
        """Return the limit within an epoch that is reached: steps, seconds or None."""
        limits = self.settings
        if limits.max_steps is not None and self.state.steps >= limits.max_steps:
            return "steps"
        seconds = limits.max_seconds if self.budget_seconds is None else self.budget_seconds
        if seconds is None:
            return None
        if self.training_timer.seconds >= seconds - SYNCHRONISED_SECONDS:
            # Else steps queued on an accelerator would exceed the time.
            synchronise(self.training_timer.device)
        return "seconds" if self.training_timer.seconds >= seconds else None

    def set_learning_rate(self, step: int) -> None:
        """Set the optimiser's learning rate for a step, counted from 0."""
        if self.budget_seconds is not None:
            before = self.state.pretrain_seconds or 0.0
            rest = max(1e-9, self.budget_seconds - before)
            done = (self.training_timer.seconds - before) / rest
            factor = timed_factor(self.settings, step, done)
        else:
            assert self.total_steps is not None
            factor = schedule_factor(self.settings, step, self.total_steps)
        set_rate(self.optimizer, self.peak_learning_rate * factor)

    def checkpoint(self) -> Saved:
        """Return everything needed to resume the training: tensors and JSON-serialisable data."""
        epoch, state = self.epoch, self.state
        tensors = {f"network.{name}": t for name, t in self.network.state_dict().items()}
        tensors |= {f"best.{name}": t for name, t in (state.best_weights or {}).items()}
        for index, moments in self.optimizer.state_dict()["state"].items():
            tensors |= {f"optimizer.{index}.{name}": t for name, t in moments.items()}
        if self.average is not None:
            tensors |= {f"average.{index}": t for index, t in enumerate(self.average.weights)}
        random = random_states(self.training_timer.device)
        tensors |= {f"random.{name}": t for name, t in random.items()}
        tensors |= {"epoch.loss_sum": epoch.loss_sum, "epoch.norm_sum": epoch.norm_sum}
        if isinstance(epoch.encoder_state, tuple):
            tensors |= {f"state.{index}": part for index, part in enumerate(epoch.encoder_state)}
        plain = {name: value for name, value in vars(state).items() if name != "best_weights"}
        plain["train_seconds"] = self.training_timer.seconds
        plain["train_joules"] = self.training_timer.joules
        plain["evaluation_seconds"] = self.evaluation_timer.seconds
        metadata = {"epoch": epoch.number, "epoch_steps": epoch.steps, "epoch_items": epoch.items}
        return tensors, metadata | {"epochs_since_best": self.epochs_since_best, "state": plain}

    def restore(self, tensors: dict[str, Tensor], metadata: dict[str, Any]) -> None:
        """Restore a checkpoint in a trainer made from the same settings and data."""
        device = self.training_timer.device

        def part(prefix: str) -> dict[str, Tensor]:
            return {k.removeprefix(prefix): t for k, t in tensors.items() if k.startswith(prefix)}

        self.network.load_state_dict(part("network."))
        if self.average is not None:
            averages = part("average.")
            stored = [averages[str(index)] for index in range(len(averages))]
            copy_values(stored, self.average.weights)
        moments: dict[int, dict[str, Tensor]] = {}
        for name, tensor in part("optimizer.").items():
            index, _, moment = name.partition(".")
            moments.setdefault(int(index), {})[moment] = tensor
        groups = self.optimizer.state_dict()["param_groups"]
        self.optimizer.load_state_dict({"state": moments, "param_groups": groups})
        carried = sorted(part("state.").items(), key=lambda item: int(item[0]))
        self.state = TrainingState(**metadata["state"])
        self.state.best_weights = part("best.") or None
        self.epoch = EpochState(
            metadata["epoch"],
            metadata["epoch_steps"],
            metadata["epoch_items"],
            tensors["epoch.loss_sum"].to(device),
            tensors["epoch.norm_sum"].to(device),
            tuple(tensor.to(device) for _, tensor in carried) or None,
        )
        self.epochs_since_best = metadata["epochs_since_best"]
        self.training_timer.start_from(self.state.train_seconds, self.state.train_joules)
        # A resumed epoch without further steps reports the rate of its last step.
        self.set_learning_rate(max(0, self.state.steps - 1))
        self.evaluation_timer.start_from(self.state.evaluation_seconds)
        restore_random_states(part("random."), device)
