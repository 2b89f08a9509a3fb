"""What a sweep shows: a live line while it runs, a table of all cells at its end."""

from __future__ import annotations

import sys
import time

from rich.console import Console
from rich.table import Table
from rich.text import Text
from tqdm import tqdm

from benchmarks.display import readable
from benchmarks.sweeps.cell import Outcome

LONGEST_TABLE = 100
"""More cells than this are not all shown; those that did not end well are."""


class Board:
    """Counts cells and tells of them: a bar on a terminal, a line per cell elsewhere.

    Args:
        total: cells in all.
    """

    def __init__(self, total: int) -> None:
        self.total = total
        self.done = self.failed = self.old = 0
        self.failed_logs: dict[int, str] = {}
        self.started = time.monotonic()
        self.is_terminal = sys.stderr.isatty()
        self.bar = tqdm(disable=True)

    def start(self) -> None:
        """Begin to count time, once the cells that need no run are noted."""
        if self.old:
            print(f"{self.old} of {self.total} cells were finished before", flush=True)
        self.started = time.monotonic()
        self.bar = tqdm(
            total=self.total,
            initial=self.done,
            unit="cell",
            desc="sweep",
            disable=not self.is_terminal,
            dynamic_ncols=True,
        )

    def note(self, outcome: Outcome, log: str) -> None:
        """Tell of a cell that has ended, or was finished before."""
        self.done += 1
        if outcome.status != "ok":
            self.failed += 1
            self.failed_logs[outcome.cell.number] = log
        if outcome.is_old:
            self.old += 1
            return
        self.bar.update(1)
        if not self.is_terminal:
            score = "" if outcome.score is None else f", score {readable(outcome.score)}"
            print(
                f"{self.counts()}: {outcome.cell.label}: {outcome.status}{score}",
                file=sys.stderr,
                flush=True,
            )

    def show(self, running: int, elsewhere: int) -> None:
        """Tell how many cells run now, here and in other sweeps."""
        told = f"{running} running, {self.failed} failed"
        self.bar.set_postfix_str(told + (f", {elsewhere} elsewhere" if elsewhere else ""))

    def counts(self) -> str:
        """How far the sweep is, its rate and the time left."""
        minutes = (time.monotonic() - self.started) / 60
        return counts_text(self.done, self.total, self.failed, self.done - self.old, minutes)

    def close(self) -> None:
        """Leave the line."""
        self.bar.close()


def counts_text(done: int, total: int, failed: int, new: int, minutes: float) -> str:
    """Say how far a sweep is.

    Args:
        done: cells that have ended, the failed among them.
        total: cells in all.
        failed: cells that did not end well.
        new: cells that have ended in so many minutes.
        minutes: since the sweep began.
    """
    text = f"{done}/{total} done"
    if failed:
        text += f", {failed} failed"
    if new:
        rate = new / max(minutes, 1e-9)
        text += f", {rate:.1f}/min, {duration((total - done) / rate)} left"
    return text


def duration(minutes: float) -> str:
    """Write a time for people."""
    if minutes < 1:
        return f"{60 * minutes:.0f} s"
    return f"{minutes:.0f} min" if minutes < 100 else f"{minutes / 60:.1f} h"


def show_outcomes(outcomes: list[Outcome], total: int, logs: dict[int, str]) -> None:
    """Print the table of all cells, and where to look for what went wrong."""
    counts = dict.fromkeys(("ok",), 0)
    for outcome in outcomes:
        counts[outcome.status] = counts.get(outcome.status, 0) + 1
    if len(outcomes) < total:
        counts["not run"] = total - len(outcomes)
    summary = ", ".join(f"{count} {status}" for status, count in counts.items() if count)
    old = sum(outcome.is_old for outcome in outcomes)
    shown = outcomes
    if len(outcomes) > LONGEST_TABLE:
        shown = [outcome for outcome in outcomes if outcome.status != "ok"][:LONGEST_TABLE]
    console = Console(width=None if sys.stdout.isatty() else 110)
    if shown:
        table = Table(title_justify="left")
        table.add_column("cell", overflow="fold")
        table.add_column("status", no_wrap=True)
        table.add_column("test score", justify="right", no_wrap=True)
        table.add_column("training s", justify="right", no_wrap=True)
        table.add_column("", no_wrap=True)
        for outcome in shown:
            table.add_row(
                Text(outcome.cell.label),
                outcome.status,
                "" if outcome.score is None else readable(outcome.score),
                "" if outcome.train_seconds is None else readable(outcome.train_seconds),
                "before" if outcome.is_old else "",
            )
        console.print(table, highlight=False)
    for outcome in shown:
        if outcome.status != "ok":
            text = f"{outcome.status}: {outcome.cell.label}: {outcome.error}"
            console.print(text, markup=False, highlight=False, soft_wrap=True)
            log = logs.get(outcome.cell.number)
            console.print(f"  log: {log}", markup=False, highlight=False, soft_wrap=True)
    before = f", {old} of them before" if old else ""
    print(f"{len(outcomes)} of {total} cells: {summary}{before}")
