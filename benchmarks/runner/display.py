"""What a run shows on the terminal: its data, its progress and its row."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

from rich.console import Console
from rich.table import Table
from rich.text import Text
from tqdm import tqdm

from benchmarks.results.row import FACTS, METRIC_UNIT, SECTIONS, Row, columns_where
from benchmarks.system.load import is_busy
from tasks.base import DataDescription, Metric

if TYPE_CHECKING:  # it needs torch, and status does not
    from benchmarks.system.environment import Environment


def show_start(model: str, task: str, seeds: Sequence[int], environment: Environment) -> None:
    """Print what is about to run, with what seeds, if chance has a part in it, and on what."""
    named = f", seed{'s' * (len(seeds) > 1)} {', '.join(map(str, seeds))}" if seeds else ""
    print(f"{model} on {task}{named}; {environment.device}, {environment.threads} threads")


def show_data(data: DataDescription) -> None:
    """Print what data a run uses, and what must be known about it."""
    print(f"data: {data.name}, sha256 {data.sha256[:12]}")
    print(
        f"      {data.train_size:,} train, {data.validation_size:,} validation, "
        f"{data.test_size:,} test {data.unit}; {data.split}"
    )
    if data.notice:
        print(f"NOTE: {data.notice}")
    sys.stdout.flush()


class StepDisplay:
    """A progress bar on a terminal, which the end of a block leaves; elsewhere nothing.

    Args:
        title: what is trained.
        total_steps: optimiser steps if nothing ends the training early; None if nobody knows.
    """

    def __init__(self, title: str, total_steps: int | None) -> None:
        self.is_terminal = sys.stderr.isatty()
        self.bar = tqdm(
            total=total_steps,
            desc=title,
            unit="step",
            disable=not self.is_terminal,
            dynamic_ncols=True,
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.bar.close()


class TrainingDisplay(StepDisplay):
    """A progress bar on a terminal, a line per epoch elsewhere.

    Args:
        title: what is trained.
        metric: the score to show.
        total_steps: optimiser steps if nothing ends the training early; None if nobody knows.
        max_epochs: epochs likewise.
        progress: filled with how far the run is, for whoever watches from elsewhere.
    """

    def __init__(
        self,
        title: str,
        metric: Metric,
        total_steps: int | None,
        max_epochs: int | None,
        progress: dict[str, Any],
    ) -> None:
        super().__init__(title, total_steps)
        self.progress = progress
        self.progress |= {"step": 0, "total_steps": total_steps, "epoch": 0, "score": None}
        self.metric = metric
        self.of_epochs = "" if max_epochs is None else f"/{max_epochs}"
        self.shown: dict[str, str] = {}

    def step(self, line: dict[str, float]) -> None:
        """Move the bar."""
        self.progress |= {"step": line["steps"], "epoch": line["epoch"]}
        epoch = f"{line['epoch']:.0f}{self.of_epochs}"
        self.shown |= {"epoch": epoch, "loss": f"{line['train_loss']:.4f}"}
        self.bar.set_postfix(self.shown, refresh=False)
        self.bar.update(line["steps"] - self.bar.n)

    def epoch(self, line: dict[str, float]) -> None:
        """Show an epoch's validation score."""
        score = line[f"validation_{self.metric.name}"]
        self.progress["score"] = score
        self.shown[f"val {self.metric.name}"] = f"{score:.4f}"
        self.bar.set_postfix(self.shown)
        if not self.is_terminal:
            # A run that was trained together with others for a while has no clock of its own.
            seconds = f"  {line['train_seconds']:.1f} s" if "train_seconds" in line else ""
            text = epoch_text(line, self.metric, self.of_epochs)
            print(f"{text}{seconds}", file=sys.stderr, flush=True)


def epoch_text(line: dict[str, float], metric: Metric, of_epochs: str) -> str:
    """Write what an epoch came to, of how many, as in `/20`."""
    score = line[f"validation_{metric.name}"]
    return (
        f"epoch {line['epoch']:.0f}{of_epochs}  train loss {line['train_loss']:.4f}  "
        f"validation {metric.name} {score:.4f}"
    )


def console() -> Console:
    """Where tables go: away from a terminal rich would guess 80 columns and cut names short."""
    return Console(width=None if sys.stdout.isatty() else 110, highlight=False)


def show_text(on: Console, text: str) -> None:
    """Print a text as it is, on one line however long."""
    on.print(text, markup=False, soft_wrap=True)


def show_row(row: Row, metric: Metric, folder: str) -> None:
    """Print a run's row as a table; what is empty is left out."""
    direction = "higher" if metric.higher_is_better else "lower"
    table = Table(
        title=f"{row.model} on {row.task}: {row.status} ({metric.name}, {direction} is better)",
        title_justify="left",
    )
    table.add_column("", no_wrap=True)
    table.add_column("column", no_wrap=True)
    # What may be long, a device's name, is folded; numbers never come near this width.
    table.add_column("value", justify="right", overflow="fold", min_width=12)
    table.add_column("unit", overflow="fold")
    for section in SECTIONS:
        names = columns_where(section=section)
        filled = [name for name in names if getattr(row, name) is not None]
        for name in filled:
            unit = FACTS[name].unit
            if unit == METRIC_UNIT:
                unit = metric.unit
            heading = section if name == filled[0] else ""
            table.add_row(heading, name, Text(readable(getattr(row, name))), unit)
        if filled:
            table.add_section()
    terminal = console()
    terminal.print(table)
    if is_busy(row.load_average, row.threads):
        print(
            f"NOTE: the machine's load was {row.load_average:.1f}, this run has {row.threads} "
            f"threads: other work slowed it, so do not trust its times"
        )
    if row.error:
        show_text(terminal, f"{row.status}: {row.error}")
    show_text(terminal, f"kept in {folder}")


def readable(value: object) -> str:
    """Write a value for people: four significant digits, thousands separated."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return str(value)
    if isinstance(value, int):
        return f"{value:,}"
    return f"{value:,.1f}" if abs(value) >= 1000 else f"{value:.4g}"
