"""What the training of several seeds shows: one bar on a terminal, a line per epoch elsewhere."""

from __future__ import annotations

import sys
from typing import Any, Literal

from rich.table import Table

from benchmarks.results.row import Row
from benchmarks.runner.display import StepDisplay, console, epoch_text, readable, show_text
from benchmarks.runner.stages import Work
from benchmarks.system.load import is_busy
from benchmarks.training.optim import planned_steps
from tasks.base import Metric


class SeedsDisplay(StepDisplay):
    """Shows how far all seeds are, in steps of all of them.

    Args:
        works: of the seeds; of one arm.

    Attributes:
        each: whom each seed's trainer tells.
    """

    def __init__(self, works: list[Work]) -> None:
        first = works[0]
        steps = planned_steps(first.task, first.config.train)
        super().__init__(
            f"{first.row.model} on {first.row.task}, {len(works)} seeds",
            None if steps is None else steps * len(works),
        )
        self.each = [SeedProgress(self, work, steps) for work in works]

    def move(self) -> None:
        """Move the bar."""
        self.bar.update(sum(each.progress["step"] for each in self.each) - self.bar.n)


class SeedProgress:
    """One seed's part of the display, and what whoever watches from elsewhere sees of it."""

    def __init__(self, display: SeedsDisplay, work: Work, steps: int | None) -> None:
        self.display = display
        self.seed = work.config.seed
        self.metric: Metric = work.config.task.metric
        self.of_epochs = f"/{work.config.train.max_epochs}"
        self.progress: dict[str, Any] = work.lease.progress
        self.progress |= {"step": 0, "total_steps": steps, "epoch": 0, "score": None}

    def step(self, line: dict[str, float]) -> None:
        """See `benchmarks.training.state.Progress`."""
        self.progress |= {"step": line["steps"], "epoch": line["epoch"]}
        self.display.move()

    def epoch(self, line: dict[str, float]) -> None:
        """See `benchmarks.training.state.Progress`."""
        self.progress["score"] = line[f"validation_{self.metric.name}"]
        if not self.display.is_terminal:
            text = epoch_text(line, self.metric, self.of_epochs)
            print(f"seed {self.seed}, {text}", file=sys.stderr, flush=True)


def show_rows(rows: list[Row], metric: Metric, folder: str) -> None:
    """Print the rows of an arm's seeds as a table, a line each."""
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
        print("NOTE: other work slowed these runs, so do not trust their times")
    show_text(terminal, f"kept in {folder}")
