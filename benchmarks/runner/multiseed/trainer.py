"""Training several seeds in step with each other, each to its own end."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass

import torch

from benchmarks.runner.multiseed.stacked import StackedTrainers, detach
from benchmarks.runner.multiseed.step import chance_of
from benchmarks.system.signals import Interruption
from benchmarks.training.evaluation import NotFiniteError
from benchmarks.training.trainer import REPORT_SECONDS, Trainer
from tasks.base import Batch


@dataclass(eq=False)
class SeedTrainer:
    """A seed's training among others.

    Attributes:
        generator: of its dropout; where it stands is kept here and not in torch's global one.
        error: what ended it, if it did not end well.
    """

    trainer: Trainer
    generator: torch.Generator
    error: BaseException | None = None

    @property
    def is_over(self) -> bool:
        """Whether nothing is left to train."""
        return self.error is not None or self.trainer.record.stopped_by is not None

    @property
    def place(self) -> tuple[int, int, int]:
        """Where it is: those in one place can take their steps together."""
        trainer = self.trainer
        return trainer.epoch.number, trainer.epoch.steps, trainer.record.steps

    def keep(self) -> None:
        """Keep a checkpoint from which it goes on, alone or with others."""
        with chance_of(self.generator):
            self.trainer.keep_now()


def fit_seeds(members: list[SeedTrainer], interruption: Interruption, at_once: int) -> None:
    """Train everybody to the end, together where several are in step.

    What ends one of them alone is its `error`.

    Args:
        members: of one arm.
        interruption: the trainers' own.
        at_once: how many go through one forward and backward pass, at most.

    Raises:
        KeyboardInterrupt: a signal asked for it; all have a checkpoint.
    """
    while waiting := [member for member in members if not member.is_over]:
        in_step = [member for member in waiting if member.place == waiting[0].place]
        company: SeedGroup | None = None
        try:
            if len(in_step) > 1:
                company = SeedGroup(in_step, interruption, at_once)
                company.fit()
            else:
                with chance_of(in_step[0].generator):
                    in_step[0].trainer.fit()
        except Exception as error:
            # Who has left a company has no part in what came after.
            for member in in_step if company is None else company.members:
                if not member.is_over:
                    member.error = error


class SeedGroup:
    """Members that take their steps together, until fewer than two are left.

    Whoever has stopped, has diverged or has fallen out of step leaves with a checkpoint.

    Args:
        members: all in one place.
        interruption: asked after every step whether to end.
        at_once: how many go through one forward and backward pass, at most.
    """

    def __init__(
        self, members: list[SeedTrainer], interruption: Interruption, at_once: int
    ) -> None:
        self.members = members
        self.interruption = interruption
        self.at_once = at_once
        self._in_step = False
        for member in members:
            record = member.trainer.record
            record.together = max(record.together, len(members))
        self.stack = self._stacked()

    def _stacked(self) -> StackedTrainers:
        trainers = [member.trainer for member in self.members]
        return StackedTrainers(
            trainers, [member.generator for member in self.members], self.at_once
        )

    def fit(self) -> None:
        """Train.

        Raises:
            KeyboardInterrupt: a signal asked for it; a checkpoint of every member was kept.
        """
        with self.interruption.deferred():
            try:
                while len(self.members) > 1:
                    self._train_epoch()
                    self._end_epoch()
                    self.interruption.check()
            except KeyboardInterrupt:
                if not self._in_step:  # a second signal may come in the middle of an update
                    self.stack.settle()
                    for member in self.members:
                        member.keep()
                raise
            finally:
                for member in self.members:
                    detach(member.trainer)

    def _train_epoch(self) -> None:
        """Run one pass over the training split, or what is left of it."""
        batches = {member: member.trainer.begin_epoch() for member in self.members}
        reported = time.perf_counter()
        while drawn := self._drawn(batches):
            self._in_step = True
            self.stack.step(drawn)
            self._in_step = False
            now = time.perf_counter()
            is_due = self.members[0].trainer.is_due(now)
            if now - reported > REPORT_SECONDS or is_due:
                self._report()
                if is_due:
                    for member in self.members:
                        member.keep()
                reported = time.perf_counter()
            self.interruption.check()
        self._report()

    def _drawn(self, batches: dict[SeedTrainer, Iterator[Batch]]) -> list[Batch]:
        """Draw everybody's next batch; none once the epoch is over.

        Whoever has one when others have none leaves: it would be a step ahead of them.
        """
        first = self.members[0].trainer if self.members else None
        if first is None or (first.epoch.steps and first.exhausted()):
            return []
        drawn = {member: next(batches[member], None) for member in self.members}
        left = [member for member, batch in drawn.items() if batch is not None]
        if 0 < len(left) < len(self.members):
            self._part_with(left)
            return []
        return [batch for batch in drawn.values() if batch is not None]

    def _report(self) -> None:
        """Look at the losses and tell of them; whoever has diverged leaves."""
        if self.members:
            self.stack.settle()
        diverged: list[SeedTrainer] = []
        for member in self.members:
            try:
                member.trainer.report()
            except NotFiniteError as error:
                member.error = error
                diverged.append(member)
        self._part_with(diverged)

    def _end_epoch(self) -> None:
        """Validate everybody; whoever has come to an end leaves."""
        for member in self.members:
            try:
                with chance_of(member.generator):
                    member.trainer.end_epoch()
            except NotFiniteError as error:
                member.error = error
        over = [member for member in self.members if member.is_over]
        self._part_with(over)
        if not over:
            self.stack.begin_epoch()

    def _part_with(self, leaving: list[SeedTrainer]) -> None:
        """Detach members and go on with the others."""
        if not leaving:
            return
        self.stack.settle()
        for member in leaving:
            detach(member.trainer)
            if member.error is None:
                member.keep()
        self.members = [member for member in self.members if member not in leaving]
        if self.members:
            self.stack = self._stacked()
