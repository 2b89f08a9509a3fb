"""Terminal output of multi-seed training."""

from __future__ import annotations

import logging
from typing import Literal

from rich.table import Table

from benchmarks.results.row import Row
from benchmarks.runner.display import (
    TrainingDisplay,
    readable,
    show_text,
    show_undertrained,
    step_bar,
)
from benchmarks.runner.stages import RunContext
from benchmarks.system.console import console
from benchmarks.system.load import is_busy
from benchmarks.training.optim import planned_steps
from tasks.base import Metric

logger = logging.getLogger(__name__)


def seed_displays(contexts: list[RunContext]) -> list[TrainingDisplay]:
    """Return a display for each seed of an arm, with one bar over the steps of all."""
    first, count = contexts[0], len(contexts)
    steps, epochs = planned_steps(first.task, first.config.train), first.config.train.max_epochs
    title = f"{first.row.model} on {first.row.task}, {count} seeds"
    bar = step_bar(title, None if steps is None else steps * count)
    metric = first.config.task.primary_metric
    return [
        TrainingDisplay(bar, metric, steps, epochs, each.lease.progress, each.config.seed)
        for each in contexts
    ]


def show_rows(rows: list[Row], metric: Metric, folder: str) -> None:
    """Print the rows of an arm's seeds as a table, one line each."""
    direction = "higher" if metric.higher_is_better else "lower"
    title = f"{rows[0].model} on {rows[0].task} ({metric.name}, {direction} is better)"
    table = Table(title=title, title_justify="left")
    for heading in ("seed", "status", "best epoch", "validation", "test", "training s", "run"):
        kind: Literal["left", "right"] = "left" if heading in ("status", "run") else "right"
        table.add_column(heading, justify=kind, overflow="fold")
    for row in rows:
        numbers = (row.best_epoch, row.val_score, row.test_score, row.train_seconds)
        cells = ["" if number is None else readable(number) for number in numbers]
        table.add_row(str(row.seed), row.status, *cells, row.run_id)
    terminal = console()
    terminal.print(table)
    for row in rows:
        if row.error:
            show_text(terminal, f"seed {row.seed}, {row.status}: {row.error}")
    show_undertrained(rows)
    if any(is_busy(row.load_average, row.threads, row.device) for row in rows):
        logger.info("other processes slowed these runs, their times are not reliable")
    show_text(terminal, f"stored in {folder}")
