"""Terminal output of a run: its data, its progress and its row."""

from __future__ import annotations

import logging
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.table import Table
from rich.text import Text
from tqdm import tqdm

from benchmarks.errors import counted
from benchmarks.results.row import FACTS, METRIC_UNIT, SECTIONS, SERIES_UNIT, Row, columns_where
from benchmarks.results.undertrained import advice
from benchmarks.system.console import console
from benchmarks.system.load import is_busy, load_average
from benchmarks.system.terminal import visible
from tasks.base import DataDescription, Metric

if TYPE_CHECKING:  # it imports torch, and status does not need it
    from benchmarks.system.environment import Environment

logger = logging.getLogger(__name__)

LARGEST = 1e12  # from here on, numbers have an exponent
MOST_CHARACTERS = 200  # of a text in a table; results.csv contains all of it


def show_start(model: str, task: str, seeds: Sequence[int], environment: Environment) -> None:
    """Print model, task, seeds, device and threads of a run; without seeds if it uses none."""
    named = f", seed{'s' * (len(seeds) > 1)} {', '.join(map(str, seeds))}" if seeds else ""
    threads, load = environment.threads, load_average()
    print(f"{model} on {task}{named}; {environment.device}, {counted(threads, 'thread')}")
    if threads > 1 and is_busy(load, threads, environment.device):
        # OpenMP's threads wait for each other actively (docs/performance.md).
        logger.info(
            "other processes use this machine (load %.1f): training on %s threads may take many "
            "times as long; train.threads=1 depends less on them",
            *(load, threads),
        )


def show_data(data: DataDescription) -> None:
    """Print the data of a run and its notice."""
    print(f"data: {visible(data.name)}, sha256 {data.sha256[:12]}")
    print(f"      {sizes_text(data)}; {visible(data.split)}")
    for notice in data.notices:
        logger.info("%s", notice)
    sys.stdout.flush()


def sizes_text(data: DataDescription) -> str:
    """Return the sizes of the splits as text."""
    train, validation, test = data.sizes
    return f"{train:,} train, {validation:,} validation, {test:,} test {data.unit}"


def step_bar(title: str, total_steps: int | None) -> tqdm[Any]:
    """Return a progress bar over optimiser steps, which only a terminal shows."""
    is_hidden = not sys.stderr.isatty()
    return tqdm(total=total_steps, desc=title, unit="step", disable=is_hidden, dynamic_ncols=True)


class TrainingDisplay:
    """Show a progress bar on a terminal, a line per epoch elsewhere.

    Args:
        bar: from `step_bar`; seeds of one arm share it.
        metric: metric of the shown score.
        total_steps: optimiser steps if nothing ends the training early; None if unknown.
        max_epochs: epochs, likewise.
        progress: receives the progress, for `scripts/status.py`.
        seed: named in each line if several seeds are trained.
    """

    def __init__(
        self,
        bar: tqdm[Any],
        metric: Metric,
        total_steps: int | None,
        max_epochs: int | None,
        progress: dict[str, Any],
        seed: int | None = None,
    ) -> None:
        self.bar, self.metric, self.progress, self.seed = bar, metric, progress, seed
        self.progress |= {"step": 0, "total_steps": total_steps, "epoch": 0, "score": None}
        self.of_epochs = "" if max_epochs is None else f"/{max_epochs}"
        self.shown: dict[str, str] = {}

    def step(self, line: dict[str, float]) -> None:
        """Update the bar."""
        self.bar.update(line["steps"] - self.progress["step"])
        self.progress |= {"step": line["steps"], "epoch": line["epoch"]}
        epoch = f"{line['epoch']:.0f}{self.of_epochs}"
        self.shown |= {"epoch": epoch, "loss": fixed(line["train_loss"])}
        if self.seed is None:
            self.bar.set_postfix(self.shown, refresh=False)

    def epoch(self, line: dict[str, float]) -> None:
        """Show an epoch's validation score."""
        score = line[f"validation_{self.metric.name}"]
        self.progress["score"] = score
        self.shown[f"val {self.metric.name}"] = fixed(score)
        if self.seed is None:
            self.bar.set_postfix(self.shown)
        if self.bar.disable:
            text = "" if self.seed is None else f"seed {self.seed}, "
            text += f"epoch {line['epoch']:.0f}{self.of_epochs}  "
            loss = fixed(line["train_loss"])
            text += f"train loss {loss}  validation {self.metric.name} {fixed(score)}"
            if "train_seconds" in line:  # not in epochs of multi-seed training
                text += f"  {line['train_seconds']:.1f} s"
            print(text, file=sys.stderr, flush=True)


def show_text(on: Console, text: str) -> None:
    """Print a text, on one line unless it has several."""
    on.print(visible(text), markup=False, soft_wrap=True)


def show_row(row: Row, metric: Metric, folder: str) -> None:
    """Print the non-empty columns of a row as a table."""
    direction = "higher" if metric.higher_is_better else "lower"
    table = Table(
        title=f"{row.model} on {row.task}: {row.status} ({metric.name}, {direction} is better)",
        title_justify="left",
    )
    table.add_column("", no_wrap=True)
    table.add_column("column", no_wrap=True)
    # Long values, such as device names, are folded; numbers are always shorter.
    table.add_column("value", justify="right", overflow="fold", min_width=12)
    table.add_column("unit", overflow="fold")
    own_units = {METRIC_UNIT}
    if metric.name in FACTS and FACTS[metric.name].unit == SERIES_UNIT:
        own_units.add(SERIES_UNIT)
    for section in SECTIONS:
        names = columns_where(section=section)
        filled = [name for name in names if getattr(row, name) is not None]
        for name in filled:
            unit = FACTS[name].unit
            if name == metric.name or unit in own_units:
                unit = metric.unit
            heading = section if name == filled[0] else ""
            table.add_row(heading, name, Text(readable(getattr(row, name))), unit)
        if filled:
            table.add_section()
    terminal = console()
    terminal.print(table)
    if is_busy(row.load_average, row.threads, row.device):
        logger.info(
            "the machine's load was %.1f and this run has %s: other processes slowed it, "
            "its times are not reliable",
            *(row.load_average, counted(row.threads or 1, "thread")),
        )
    show_undertrained([row])
    if row.error:
        show_text(terminal, f"{row.status}: {row.error}")
    show_text(terminal, f"stored in {folder}")


def show_undertrained(rows: Sequence[Row]) -> None:
    """Print how many runs are undertrained, and the settings to raise; smoke tests always are."""
    found = [row for row in rows if row.undertrained and not row.smoke]
    if found:
        text = advice((str(row.stopped_by), str(row.match)) for row in found)
        which = "undertrained" if len(rows) == 1 else f"{len(found)} of {len(rows)} undertrained"
        logger.info("%s: %s", which, text)


def readable(value: object) -> str:
    """Format a value: four significant digits, thousands separated; a long text is cut."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        text = visible(str(value))
        return text if len(text) <= MOST_CHARACTERS else f"{text[:MOST_CHARACTERS]}…"
    if isinstance(value, int):
        return f"{value:,}"
    return fixed(value, 1) if abs(value) >= 1000 else f"{value:.4g}"


def fixed(value: float, decimals: int = 4) -> str:
    """Format a number with fixed decimals, a large one with an exponent."""
    return f"{value:,.{decimals}f}" if abs(value) < LARGEST else f"{value:.3e}"
