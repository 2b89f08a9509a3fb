"""What the training of several seeds shows: one bar on a terminal, a line per epoch elsewhere."""

from __future__ import annotations

import sys
from types import TracebackType
from typing import Any, Literal

from rich.console import Console
from rich.table import Table
from tqdm import tqdm

from benchmarks.display import readable
from benchmarks.measurement import Work
from benchmarks.optimisation import planned_steps
from benchmarks.results import Row
from tasks.base import Metric


class SeedsDisplay:
    """Shows how far all seeds are, in steps of all of them.

    Args:
        works: of the seeds; of one arm.

    Attributes:
        each: whom each seed's trainer tells.
    """

    def __init__(self, works: list[Work]) -> None:
        first = works[0]
        steps = planned_steps(first.task, first.config.train)
        self.bar = tqdm(
            total=None if steps is None else steps * len(works),
            desc=f"{first.row.model} on {first.row.task}, {len(works)} seeds",
            unit="step",
            disable=not sys.stderr.isatty(),
            dynamic_ncols=True,
        )
        self.each = [SeedProgress(self, work, steps) for work in works]

    def __enter__(self) -> SeedsDisplay:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.bar.close()

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
        self.progress: dict[str, Any] = work.claim.progress
        self.progress |= {"step": 0, "total_steps": steps, "epoch": 0, "score": None}

    def step(self, line: dict[str, float]) -> None:
        """See `benchmarks.record.Progress`."""
        self.progress |= {"step": line["steps"], "epoch": line["epoch"]}
        self.display.move()

    def epoch(self, line: dict[str, float]) -> None:
        """See `benchmarks.record.Progress`."""
        score = line[f"validation_{self.metric.name}"]
        self.progress["score"] = score
        if self.display.bar.disable:
            print(
                f"seed {self.seed}, epoch {line['epoch']:.0f}{self.of_epochs}  "
                f"train loss {line['train_loss']:.4f}  "
                f"validation {self.metric.name} {score:.4f}",
                file=sys.stderr,
                flush=True,
            )


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
    console = Console(width=None if sys.stdout.isatty() else 110)
    console.print(table, highlight=False)
    for row in rows:
        if row.error:
            text = f"seed {row.seed}, {row.status}: {row.error}"
            console.print(text, markup=False, highlight=False, soft_wrap=True)
    console.print(f"kept in {folder}", markup=False, highlight=False, soft_wrap=True)
