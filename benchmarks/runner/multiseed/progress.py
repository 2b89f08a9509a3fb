"""Terminal output of multi-seed training: one bar on a terminal, a line per epoch elsewhere."""

from __future__ import annotations

import sys
from typing import Any, Literal

from rich.table import Table

from benchmarks.results.row import Row
from benchmarks.runner.display import console, epoch_text, readable, show_text, step_bar
from benchmarks.runner.stages import RunContext
from benchmarks.system.load import is_busy
from benchmarks.training.optim import planned_steps
from tasks.base import Metric


class SeedsDisplay:
    """Show the progress of all seeds, in steps of all of them.

    Args:
        contexts: the runs, of one arm.

    Attributes:
        each: progress receiver of each seed's trainer.
    """

    def __init__(self, contexts: list[RunContext]) -> None:
        first = contexts[0]
        steps = planned_steps(first.task, first.config.train)
        self.bar = step_bar(
            f"{first.row.model} on {first.row.task}, {len(contexts)} seeds",
            None if steps is None else steps * len(contexts),
        )
        self.each = [SeedProgress(self, context, steps) for context in contexts]

    def update(self) -> None:
        """Update the bar."""
        self.bar.update(sum(each.progress["step"] for each in self.each) - self.bar.n)


class SeedProgress:
    """Progress of one seed."""

    def __init__(self, display: SeedsDisplay, context: RunContext, steps: int | None) -> None:
        self.display = display
        self.seed = context.config.seed
        self.metric: Metric = context.config.task.metric
        self.of_epochs = f"/{context.config.train.max_epochs}"
        self.progress: dict[str, Any] = context.lease.progress
        self.progress |= {"step": 0, "total_steps": steps, "epoch": 0, "score": None}

    def step(self, line: dict[str, float]) -> None:
        """Update step and epoch."""
        self.progress |= {"step": line["steps"], "epoch": line["epoch"]}
        self.display.update()

    def epoch(self, line: dict[str, float]) -> None:
        """Show an epoch's validation score."""
        self.progress["score"] = line[f"validation_{self.metric.name}"]
        if self.display.bar.disable:
            text = epoch_text(line, self.metric, self.of_epochs)
            print(f"seed {self.seed}, {text}", file=sys.stderr, flush=True)


def show_rows(rows: list[Row], metric: Metric, folder: str) -> None:
    """Print the rows of an arm's seeds as a table, one line each."""
    direction = "higher" if metric.higher_is_better else "lower"
    first = rows[0]
    table = Table(
        title=f"{first.model} on {first.task} ({metric.name}, {direction} is better)",
        title_justify="left",
    )
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
    if any(is_busy(row.load_average, row.threads) for row in rows):
        print("NOTE: other processes slowed these runs, their times are not reliable")
    show_text(terminal, f"stored in {folder}")
