"""Display of a sweep: a live line while it runs, a table of all cells at its end."""

from __future__ import annotations

import logging
import sys
import threading
import time
from collections import Counter

from rich.console import Console
from rich.table import Table
from rich.text import Text
from tqdm import tqdm

from benchmarks.errors import counted
from benchmarks.results.row import Status
from benchmarks.results.source import named
from benchmarks.runner.display import readable, show_text
from benchmarks.sweeps.cell import Outcome
from benchmarks.system.console import console
from benchmarks.system.terminal import visible
from models.baseline import BaselineSettings

REFRESH_SECONDS = 1.0
MOST_NAMED = 2  # running cells in the live line
MOST_ROWS = 100  # of a table; of a larger sweep, the cells that need attention are shown

logger = logging.getLogger(__name__)


class SweepProgress:
    """Count and report outcomes: in a bar on a terminal, otherwise in a line per cell."""

    def __init__(self, total: int) -> None:
        self.total = total
        self.done = self.failed = self.previous = 0
        self.new_networks = 0
        self.running: list[str] = []
        self.leased = 0
        self.failed_logs: dict[int, str] = {}
        self.other_source: list[str] = []
        self.started = time.monotonic()
        self.is_terminal = sys.stderr.isatty()
        self.bar = tqdm(disable=True)
        self._closed = threading.Event()

    def start(self) -> None:
        """Start the clock, once the outcomes of earlier sweeps are recorded."""
        if self.previous:
            print(f"{self.previous} of {count_of_cells(self.total)} already finished", flush=True)
        if self.other_source:
            logger.warning(
                "code of the model, task or training has changed since %s finished: %s; "
                "resume=never runs every cell of the command again",
                *(count_of_cells(len(self.other_source)), named(self.other_source)),
            )
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
            threading.Thread(target=self._keep_refreshing, daemon=True).start()

    def record(self, outcome: Outcome, log: str) -> None:
        """Count and report the outcome of a cell."""
        self.done += outcome.status != Status.INTERRUPTED
        self.failed += outcome.status.is_failure
        if outcome.status != Status.OK:
            self.failed_logs[outcome.cell.number] = log
        if outcome.is_previous:
            self.previous += 1
            if outcome.is_of_other_source:
                self.other_source.append(outcome.cell.label)
            return
        is_baseline = isinstance(outcome.cell.config.model, BaselineSettings)
        self.new_networks += outcome.status != Status.INTERRUPTED and not is_baseline
        self.bar.update(self.done - self.bar.n)
        if not self.is_terminal:
            is_search = bool(outcome.cell.study) or not outcome.cell.config.train.test
            name = "validation" if is_search else "test"
            value = final_score(outcome, is_search)
            score = "" if value is None else f", {name} {readable(value)}"
            label = visible(outcome.cell.label)
            line = f"{self.counts()}: {label}: {outcome.status}{score}"
            print(line, file=sys.stderr, flush=True)

    def update(self, running: list[str], leased: int) -> None:
        """Show the labels of running cells, and the number of cells in other processes."""
        self.running, self.leased = running, leased
        self._refresh()

    def _refresh(self) -> None:
        counts = [f"{len(self.running)} running", f"{self.failed} failed"]
        if self.leased:
            counts.append(f"{self.leased} in other processes")
        self.bar.set_postfix_str("; ".join([", ".join(counts), *self.running[:MOST_NAMED]]))

    def _keep_refreshing(self) -> None:
        while not self._closed.wait(REFRESH_SECONDS):
            self._refresh()

    def counts(self) -> str:
        """Return the counts so far, the rate and the time left."""
        minutes = (time.monotonic() - self.started) / 60
        return counts_text(self.done, self.total, self.failed, self.new_networks, minutes)

    def close(self) -> None:
        """Remove the live line."""
        self._closed.set()
        self.bar.close()


def counts_text(done: int, total: int, failed: int, new: int, minutes: float) -> str:
    """Return a sweep's progress as text; `new` networks have ended in the last `minutes`.

    Baselines take seconds, so that the time left does not follow from them.
    """
    text = f"{done}/{total} done"
    if failed:
        text += f", {failed} failed"
    if new:
        rate = new / max(minutes, 1e-9)
        text += f", {rate:.1f}/min, {duration((total - done) / rate)} left"
    return text


def count_of_cells(count: int) -> str:
    """Return a number of cells as text."""
    return f"{count} cell{'' if count == 1 else 's'}"


def duration(minutes: float) -> str:
    """Return a duration as text."""
    if minutes < 1:
        return f"{60 * minutes:.0f} s"
    return f"{minutes:.0f} min" if minutes < 100 else f"{minutes / 60:.1f} h"


def show_outcomes(outcomes: list[Outcome], total: int, logs: dict[int, str]) -> None:
    """Print the table of cells, the errors of failed ones with their logs, and the counts."""
    shown = outcomes
    if len(outcomes) > MOST_ROWS:
        shown = [outcome for outcome in outcomes if outcome.status != Status.OK][:MOST_ROWS]
    terminal = console()
    if shown:
        terminal.print(table_of(shown))
    for outcome in shown:
        if outcome.status != Status.OK:
            log = logs.get(outcome.cell.number)
            show_failure(terminal, outcome.status, outcome.cell.label, outcome.error, log)
    counts = Counter[str]({Status.OK: 0})
    counts.update(outcome.status for outcome in outcomes)
    counts["not run"] = total - len(outcomes)
    summary = ", ".join(f"{count} {status}" for status, count in counts.items() if count)
    previous = sum(outcome.is_previous for outcome in outcomes)
    earlier = f" ({previous} already finished)" if previous else ""
    print(f"{len(outcomes)} of {count_of_cells(total)}: {summary}{earlier}")
    slowed = sum(outcome.is_slowed for outcome in outcomes)
    if slowed:
        logger.info(
            "training times of %s are unreliable: the machine's load exceeded the run's threads; "
            "scores are not affected. To measure times, rerun without other load and resume=never",
            count_of_cells(slowed),
        )
    undertrained = sum(outcome.is_undertrained for outcome in outcomes)
    if undertrained:
        logger.info(
            "%s undertrained: longer training may improve the score; scripts/compare.py names the "
            "arms, the reasons and the settings to raise",
            counted(undertrained, "run"),
        )
    fallbacks = sum(outcome.used_fallback for outcome in outcomes)
    if fallbacks:
        logger.warning(
            "model.kernel=fused: PyTorch's kernel ran in %s, and the times are those of that "
            "kernel; the logs contain the reason",
            count_of_cells(fallbacks),
        )


def table_of(outcomes: list[Outcome]) -> Table:
    """Return a table with a row for each outcome."""
    is_search = any(o.cell.study or not o.cell.config.train.test for o in outcomes)
    table = Table(title_justify="left")
    table.add_column("cell", overflow="fold")
    table.add_column("status", no_wrap=True)
    # Settings are chosen by validation score, so test scores are not shown.
    heading = "validation" if is_search else "test score"
    for name in (heading, "training s"):
        table.add_column(name, justify="right", no_wrap=True)
    table.add_column("run", no_wrap=True)
    for outcome in outcomes:
        table.add_row(
            Text(visible(outcome.cell.label)),
            outcome.status,
            readable_or_empty(final_score(outcome, is_search)),
            readable_or_empty(outcome.train_seconds),
            "new"
            if not outcome.is_previous
            else "earlier, other code"
            if outcome.is_of_other_source
            else "earlier",
        )
    return table


def final_score(outcome: Outcome, is_validation: bool) -> float | None:
    """Return the score of a cell; None if it was interrupted, as it may change."""
    if outcome.status == Status.INTERRUPTED:
        return None
    return outcome.val_score if is_validation else outcome.score


def show_failure(terminal: Console, status: str, label: str, error: object, log: object) -> None:
    """Print the error and the log's path of a cell that failed."""
    show_text(terminal, f"{status}: {label}: {error}")
    show_text(terminal, f"  log: {log}")


def readable_or_empty(value: float | None) -> str:
    """Return a number as text, empty for None."""
    return "" if value is None else readable(value)
