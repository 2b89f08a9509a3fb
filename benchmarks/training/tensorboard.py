"""Learning curves as TensorBoard reads them: event files in the run's folder.

Written record by record by the process that trains. torch's SummaryWriter would write from a thread
of its own, whose troubles with the disk nobody hears of, and names its files by the clock, which a
machine may set back.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import count
from pathlib import Path
from typing import TYPE_CHECKING, Any

from benchmarks.config.schema import LogSettings

if TYPE_CHECKING:  # it needs torch
    from benchmarks.training.state import Progress
    from benchmarks.training.trainer import Trainer

FOLDER = "tensorboard"
OF_STEPS = ("train_loss", "gradient_norm", "learning_rate")
NO_CURVE = ("epoch", "steps")


class EventFile:
    """Writes down what the loop tells, and tells it on.

    `step/...` are means over the epoch so far at the loop's reports, `epoch/...` the columns of
    `history.csv`; both against optimiser steps.

    Args:
        path: a new file.
        first_step: events of earlier files at this step and after it do not count.
        listener: who hears of it too.
    """

    def __init__(self, path: Path, first_step: int, listener: Progress) -> None:
        from tensorboard.compat.proto.event_pb2 import SessionLog
        from tensorboard.summary.writer.record_writer import RecordWriter

        self.listener = listener
        self.reported = -1
        self._file = path.open("xb")
        self._records = RecordWriter(self._file)
        self._write(first_step, file_version="brain.Event:2")
        self._write(first_step, session_log=SessionLog(status=SessionLog.START))

    def step(self, line: dict[str, float]) -> None:
        """Hear of the epoch's line as far as it has come."""
        self.write_step(line)
        self.listener.step(line)

    def epoch(self, line: dict[str, float]) -> None:
        """Hear of an epoch's line."""
        self.write_epoch(line)
        self.listener.epoch(line)

    def write_step(self, line: dict[str, float]) -> None:
        """Write down a report; the end of an epoch may have been reported already."""
        if line["steps"] > self.reported:
            self.reported = int(line["steps"])
            self._write_curves(line, {f"step/{name}": line[name] for name in OF_STEPS})

    def write_epoch(self, line: dict[str, float]) -> None:
        """Write down an epoch's line."""
        curves = {f"epoch/{name}": value for name, value in line.items() if name not in NO_CURVE}
        self._write_curves(line, curves)

    def _write_curves(self, line: dict[str, float], curves: dict[str, float]) -> None:
        from tensorboard.compat.proto.summary_pb2 import Summary

        values = [Summary.Value(tag=name, simple_value=value) for name, value in curves.items()]
        self._write(int(line["steps"]), summary=Summary(value=values))

    def _write(self, step: int, **content: Any) -> None:
        from tensorboard.compat.proto.event_pb2 import Event

        event = Event(wall_time=time.time(), step=step, **content)
        self._records.write(event.SerializeToString())
        # What a checkpoint has behind it must not be lost with the process.
        self._file.flush()

    def close(self) -> None:
        """End the file."""
        self._file.close()


@contextmanager
def tensorboard_log(trainer: Trainer, settings: LogSettings, folder: Path) -> Iterator[None]:
    """Write down what a trainer tells, if that is wanted.

    A training that goes on from a checkpoint takes back what was told after it. Readers drop whole
    steps, so what was told at the checkpoint's own step is written again.

    Args:
        trainer: at its first step, or at that of its checkpoint.
        settings: what is wanted.
        folder: the run's.
    """
    if not settings.tensorboard:
        yield
        return
    listener, steps = trainer.progress, trainer.record.steps
    file = EventFile(next_path(folder / FOLDER), steps, listener)
    try:
        for line in trainer.record.history:
            if line["steps"] == steps:
                file.write_step(line)
                file.write_epoch(line)
        if trainer.epoch.steps:
            file.write_step(trainer.line())
        trainer.progress = file
        yield
    finally:
        trainer.progress = listener
        file.close()


def next_path(folder: Path) -> Path:
    """Name a new event file; readers take them in the order of their names."""
    folder.mkdir(exist_ok=True)
    there = len(list(folder.iterdir()))
    paths = (folder / f"events.out.tfevents.{number:010d}.rnnbench" for number in count(there))
    return next(path for path in paths if not path.exists())
