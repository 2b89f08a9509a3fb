"""What a sweep shows: a live line while it runs, a table of all cells at its end."""

from __future__ import annotations

import sys
import threading
import time

from rich.table import Table
from rich.text import Text
from tqdm import tqdm

from benchmarks.results.row import Status
from benchmarks.runner.display import console, readable, show_text
from benchmarks.sweeps.cell import Outcome

TICK_SECONDS = 1.0

LONGEST_LINE = 2
"""Running cells named in the live line."""

LONGEST_TABLE = 100
"""More cells than this are not all shown; those that did not end well are."""


class SweepProgress:
    """Counts cells and tells of them: a bar on a terminal, a line per cell elsewhere.

    Args:
        total: cells in all.
    """

    def __init__(self, total: int) -> None:
        self.total = total
        self.done = self.failed = self.interrupted = self.old = 0
        self.running: list[str] = []
        self.elsewhere = 0
        self.failed_logs: dict[int, str] = {}
        self.started = time.monotonic()
        self.is_terminal = sys.stderr.isatty()
        self.bar = tqdm(disable=True)
        self._closed = threading.Event()

    def start(self) -> None:
        """Begin to count time, once the cells that need no run are noted."""
        if self.old:
            print(f"{self.old} of {cells(self.total)} were finished before", flush=True)
        self.started = time.monotonic()
        self.bar = tqdm(
            total=self.total,
            initial=self.done,
            unit="cell",
            desc="sweep",
            disable=not self.is_terminal,
            dynamic_ncols=True,
        )
        if self.is_terminal:
            threading.Thread(target=self._tick, daemon=True).start()

    def note(self, outcome: Outcome, log: str) -> None:
        """Tell of a cell that has ended, or was finished before."""
        self.done += outcome.status != Status.INTERRUPTED
        self.interrupted += outcome.status == Status.INTERRUPTED
        self.failed += outcome.status.is_failure
        if outcome.status != Status.OK:
            self.failed_logs[outcome.cell.number] = log
        if outcome.is_previous:
            self.old += 1
            return
        self.bar.update(self.done - self.bar.n)
        if not self.is_terminal:
            value = outcome.val_score if outcome.cell.study else outcome.score
            kind = "validation" if outcome.cell.study else "score"
            score = "" if value is None else f", {kind} {readable(value)}"
            print(
                f"{self.counts()}: {outcome.cell.label}: {outcome.status}{score}",
                file=sys.stderr,
                flush=True,
            )

    def show(self, running: list[str], elsewhere: int) -> None:
        """Tell which cells run now, and how many do in other sweeps."""
        self.running, self.elsewhere = running, elsewhere
        self._refresh()

    def _refresh(self) -> None:
        told = [f"{len(self.running)} running", f"{self.failed} failed"]
        if self.elsewhere:
            told.append(f"{self.elsewhere} elsewhere")
        self.bar.set_postfix_str("; ".join([", ".join(told), *self.running[:LONGEST_LINE]]))

    def _tick(self) -> None:
        """Let the line's clock go on while nothing else happens."""
        while not self._closed.wait(TICK_SECONDS):
            self._refresh()

    def counts(self) -> str:
        """How far the sweep is, its rate and the time left."""
        minutes = (time.monotonic() - self.started) / 60
        return counts_text(self.done, self.total, self.failed, self.done - self.old, minutes)

    def close(self) -> None:
        """Leave the line."""
        self._closed.set()
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


def cells(count: int) -> str:
    """Count cells in words."""
    return f"{count} cell{'' if count == 1 else 's'}"


def duration(minutes: float) -> str:
    """Write a time for people."""
    if minutes < 1:
        return f"{60 * minutes:.0f} s"
    return f"{minutes:.0f} min" if minutes < 100 else f"{minutes / 60:.1f} h"


def show_outcomes(outcomes: list[Outcome], total: int, logs: dict[int, str]) -> None:
    """Print the table of all cells, and where to look for what went wrong."""
    counts: dict[str, int] = {Status.OK: 0}
    for outcome in outcomes:
        counts[outcome.status] = counts.get(outcome.status, 0) + 1
    if len(outcomes) < total:
        counts["not run"] = total - len(outcomes)
    summary = ", ".join(f"{count} {status}" for status, count in counts.items() if count)
    old = sum(outcome.is_previous for outcome in outcomes)
    shown = outcomes
    if len(outcomes) > LONGEST_TABLE:
        shown = [outcome for outcome in outcomes if outcome.status != Status.OK][:LONGEST_TABLE]
    terminal = console()
    if shown:
        table = Table(title_justify="left")
        table.add_column("cell", overflow="fold")
        table.add_column("status", no_wrap=True)
        is_search = any(outcome.cell.study for outcome in shown)
        # Trials are chosen on validation; showing their test scores would invite to peek.
        heading = "validation" if is_search else "test score"
        table.add_column(heading, justify="right", no_wrap=True)
        table.add_column("training s", justify="right", no_wrap=True)
        table.add_column("", no_wrap=True)
        for outcome in shown:
            table.add_row(
                Text(outcome.cell.label),
                outcome.status,
                readable_or_empty(outcome.val_score if is_search else outcome.score),
                readable_or_empty(outcome.train_seconds),
                "before" if outcome.is_previous else "",
            )
        terminal.print(table)
    for outcome in shown:
        if outcome.status != Status.OK:
            text = f"{outcome.status}: {outcome.cell.label}: {outcome.error}"
            show_text(terminal, text)
            log = logs.get(outcome.cell.number)
            show_text(terminal, f"  log: {log}")
    before = f", {old} of them before" if old else ""
    print(f"{len(outcomes)} of {cells(total)}: {summary}{before}")
    slowed = sum(outcome.is_slowed for outcome in outcomes)
    if slowed:
        print(
            f"NOTE: the times of training of {cells(slowed)} are in doubt: the machine's load was "
            f"above the threads of the run"
        )
    without = sum(outcome.used_fallback for outcome in outcomes)
    if without:
        print(
            f"warning: model.kernel=fused: PyTorch's kernel ran in {cells(without)}, and their "
            f"times are its; the logs say why"
        )


def readable_or_empty(value: float | None) -> str:
    """Write a number for people, and nothing for none."""
    return "" if value is None else readable(value)
