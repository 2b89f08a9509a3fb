"""Training of several seeds in the same steps, each to its own end."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass

import torch

from benchmarks.runner.multiseed.stacked import StackedTrainers, detach
from benchmarks.runner.multiseed.step import torch_generator
from benchmarks.system.signals import Interruption
from benchmarks.training.evaluation import NotFiniteError
from benchmarks.training.trainer import REPORT_SECONDS, Trainer
from tasks.base import Batch


@dataclass(eq=False)
class SeedTrainer:
    """The trainer of one seed and its dropout generator.

    Attributes:
        generator: holds the dropout state instead of torch's global generator.
        error: the exception that ended the training, if any.
    """

    trainer: Trainer
    generator: torch.Generator
    error: BaseException | None = None

    @property
    def is_finished(self) -> bool:
        """True if nothing is left to train."""
        return self.error is not None or self.trainer.state.stopped_by is not None

    @property
    def position(self) -> tuple[int, int, int]:
        """Position in the training; seed trainers at one position can share their steps."""
        trainer = self.trainer
        return trainer.epoch.number, trainer.epoch.steps, trainer.state.steps

    def save(self) -> None:
        """Save a checkpoint, from which this seed can resume alone or with others."""
        with torch_generator(self.generator):
            self.trainer.save()


def fit_seeds(
    seed_trainers: list[SeedTrainer], interruption: Interruption, seeds_per_step: int
) -> None:
    """Train all seeds to the end, in the same steps where several are at one position.

    An exception of a single seed becomes its `error`.

    Args:
        seed_trainers: of one arm.
        interruption: also that of the trainers; all save a checkpoint before it is raised.
        seeds_per_step: largest number of seeds in one forward and backward pass.
    """
    while waiting := [each for each in seed_trainers if not each.is_finished]:
        active = [each for each in waiting if each.position == waiting[0].position]
        group: SeedGroup | None = None
        try:
            if len(active) > 1:
                group = SeedGroup(active, interruption, seeds_per_step)
                group.fit()
            else:
                with torch_generator(active[0].generator):
                    active[0].trainer.fit()
        except Exception as error:
            # Seeds dropped from the group before are not affected.
            for each in active if group is None else group.active:
                if not each.is_finished:
                    each.error = error


class SeedGroup:
    """Seed trainers that share their steps, until fewer than two are left.

    One that stops, diverges or has another number of batches is dropped, with a checkpoint.

    Args:
        active: seed trainers at one position.
        interruption: checked after every step.
        seeds_per_step: largest number of seeds in one forward and backward pass.
    """

    def __init__(
        self, active: list[SeedTrainer], interruption: Interruption, seeds_per_step: int
    ) -> None:
        self.active = active
        self.interruption = interruption
        self.seeds_per_step = seeds_per_step
        self._in_step = False
        for each in active:
            state = each.trainer.state
            state.trained_together = max(state.trained_together, len(active))
        self.stacked = self._stack()

    def _stack(self) -> StackedTrainers:
        trainers = [each.trainer for each in self.active]
        generators = [each.generator for each in self.active]
        return StackedTrainers(trainers, generators, self.seeds_per_step)

    def fit(self) -> None:
        """Train; on KeyboardInterrupt save a checkpoint of every seed first."""
        with self.interruption.deferred():
            try:
                while len(self.active) > 1:
                    self._train_epoch()
                    self._end_epoch()
                    self.interruption.check()
            except KeyboardInterrupt:
                if not self._in_step:  # else the update is incomplete
                    self.stacked.update_trainers()
                    for each in self.active:
                        each.save()
                raise
            finally:
                for each in self.active:
                    detach(each.trainer)

    def _train_epoch(self) -> None:
        """Train for one epoch, or the rest of it."""
        batches = {each: each.trainer.begin_epoch() for each in self.active}
        reported = time.perf_counter()
        while drawn := self._next_batches(batches):
            self._in_step = True
            self.stacked.step(drawn)
            self._in_step = False
            now = time.perf_counter()
            is_due = self.active[0].trainer.is_checkpoint_due(now)
            if now - reported > REPORT_SECONDS or is_due:
                self._report()
                if is_due:
                    for each in self.active:
                        each.save()
                reported = time.perf_counter()
            self.interruption.check()
        self._report()

    def _next_batches(self, batches: dict[SeedTrainer, Iterator[Batch]]) -> list[Batch]:
        """Return the next batch of each seed trainer; none at the end of the epoch.

        Drop those that have a batch left when others have none: they would be a step ahead.
        """
        first = self.active[0].trainer if self.active else None
        if first is None or (first.epoch.steps and first.reached_limit()):
            return []
        drawn = {each: next(batches[each], None) for each in self.active}
        left = [each for each, batch in drawn.items() if batch is not None]
        if 0 < len(left) < len(self.active):
            self._drop(left)
            return []
        return [batch for batch in drawn.values() if batch is not None]

    def _report(self) -> None:
        """Report the losses; drop seed trainers that have diverged."""
        if self.active:
            self.stacked.update_trainers()
        diverged: list[SeedTrainer] = []
        for each in self.active:
            try:
                each.trainer.report()
            except NotFiniteError as error:
                each.error = error
                diverged.append(each)
        self._drop(diverged)

    def _end_epoch(self) -> None:
        """Validate; drop seed trainers that are finished."""
        for each in self.active:
            try:
                with torch_generator(each.generator):
                    each.trainer.end_epoch()
            except NotFiniteError as error:
                each.error = error
        finished = [each for each in self.active if each.is_finished]
        self._drop(finished)
        if not finished:
            self.stacked.begin_epoch()

    def _drop(self, dropped: list[SeedTrainer]) -> None:
        """Drop seed trainers from the group."""
        if not dropped:
            return
        self.stacked.update_trainers()
        for each in dropped:
            detach(each.trainer)
            if each.error is None:
                each.save()
        self.active = [each for each in self.active if each not in dropped]
        if self.active:
            self.stacked = self._stack()
