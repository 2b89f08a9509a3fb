"""Learning curves as TensorBoard event files in the run's folder."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from benchmarks.config.schema import LogSettings
from benchmarks.training.state import Progress
from benchmarks.training.trainer import Trainer

FOLDER = "tensorboard"
STEP_CURVES = ("train_loss", "gradient_norm", "learning_rate")
NO_CURVE = ("epoch", "steps")


class TensorBoardLog:
    """Write progress to an event file and pass it on.

    `step/...` are means over the epoch so far, `epoch/...` the columns of `history.csv`; both over
    optimiser steps.

    Args:
        folder: folder of the event files.
        first_step: readers ignore this step and later ones in earlier event files.
        progress: further receiver of the progress.
    """

    def __init__(self, folder: Path, first_step: int, progress: Progress) -> None:
        from torch.utils.tensorboard import SummaryWriter

        self.progress = progress
        self.last_step = -1
        self.writer = SummaryWriter(str(folder), purge_step=first_step)

    def step(self, line: dict[str, float]) -> None:
        """Write the line of the current epoch so far and pass it on."""
        self.write_step(line)
        self.progress.step(line)

    def epoch(self, line: dict[str, float]) -> None:
        """Write the line of an epoch and pass it on."""
        self.write_epoch(line)
        self.progress.epoch(line)

    def write_step(self, line: dict[str, float]) -> None:
        """Write a report, unless the last report was at the same step."""
        if line["steps"] > self.last_step:
            self.last_step = int(line["steps"])
            self._write(line, {f"step/{name}": line[name] for name in STEP_CURVES})

    def write_epoch(self, line: dict[str, float]) -> None:
        """Write the line of an epoch."""
        curves = {f"epoch/{name}": value for name, value in line.items() if name not in NO_CURVE}
        self._write(line, curves)

    def _write(self, line: dict[str, float], curves: dict[str, float]) -> None:
        for name, value in curves.items():
            self.writer.add_scalar(name, value, int(line["steps"]))
        # A checkpoint may follow: what it continues from must be on the disk.
        self.writer.flush()


@contextmanager
def tensorboard_log(trainer: Trainer, settings: LogSettings, folder: Path) -> Iterator[None]:
    """Log a trainer's progress to TensorBoard within the block, if the settings request it.

    A training that resumes from a checkpoint purges what was logged after it. Readers drop whole
    steps, so the values at the checkpoint's own step are written again.
    """
    if not settings.tensorboard:
        yield
        return
    progress, steps = trainer.progress, trainer.state.steps
    log = TensorBoardLog(folder / FOLDER, steps, progress)
    try:
        for line in trainer.state.history:
            if line["steps"] == steps:
                log.write_step(line)
                log.write_epoch(line)
        if trainer.epoch.steps:
            log.write_step(trainer.line())
        trainer.progress = log
        yield
    finally:
        trainer.progress = progress
        log.writer.close()
