"""A sweep whose runs only leave their rows: what `scripts/simulate_sweep.py` measures.

Planning, driver, leases, index and view are the real ones.
"""

from __future__ import annotations

import contextlib
import dataclasses
import io
import os
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from benchmarks import PROJECT_ROOT
from benchmarks.config.compose import CellComposer, hydra_at, sweep_axes
from benchmarks.config.registry import register_schemas
from benchmarks.results.csv_table import TableView
from benchmarks.results.leases import new_lease
from benchmarks.results.row import Row, Status
from benchmarks.results.store import Store, new_run_id
from benchmarks.runner.row_columns import configuration_columns, data_columns
from benchmarks.sweeps.cell import Cell, Completion
from benchmarks.sweeps.directory import SweepDirectory
from benchmarks.sweeps.launchers.base import Launcher, SweepContext, WorkItem
from benchmarks.sweeps.plan import DataDescriptions, local_device_types, make_plan
from benchmarks.sweeps.progress import SweepProgress
from benchmarks.sweeps.scheduler import Scheduler
from benchmarks.system.atomic_files import write_atomically
from benchmarks.system.signals import Interruption
from tasks.base import DataDescription

AT_ONCE = 64
FAILING = 100
"""One run in so many fails."""

COUNTED = {"open", "os.mkdir", "os.rename", "os.remove", "os.link", "os.scandir", "os.chmod"}
"""Audited events that are file-system operations; `stat` and `fsync` are not audited."""


def sweep(overrides: list[str], results: Path, count: bool) -> dict[str, float]:
    """Run a simulated sweep as `python run.py -m` would, and measure it.

    Args:
        overrides: its command line; all cells are on the same data.
        results: the results folder that they name.
        count: the file-system operations, instead of taking times.

    Returns:
        Seconds and MiB by what they were measured of, or operations of each cell by whose they are.
    """
    from benchmarks.system.memory import peak_rss_mib

    conf = PROJECT_ROOT / "conf"
    register_schemas(conf)
    with hydra_at(conf):
        axes = sweep_axes(overrides)
        describe = DataDescriptions()
        # The time to read the data is none of the plan's.
        data = describe(CellComposer(axes.fixed).compose(["model=gru"]))
        before_rss = peak_rss_mib()
        watch = Watch()
        plan = make_plan(axes, describe, local_device_types)
        measured = {"planning": watch.lap()}
    store = Store(results)
    folder = SweepDirectory(results / "sweeps" / plan.sweep_id)
    folder.write(plan.cells, overrides, "simulated", len(plan.cells))
    measured["writing down"] = watch.lap()
    context = SweepContext(store, store.index(), folder, conf)
    measured["index"] = watch.lap()
    launcher = SimulatedLauncher(context, data)
    cells = len(plan.cells)
    driver = Scheduler(
        plan.cells, launcher, context, "skip_failed", SweepProgress(cells), Interruption()
    )
    with view_clock(driver.view) as views, contextlib.redirect_stderr(io.StringIO()):
        if count:
            counts = count_operations(driver.run, launcher)
            return {name: value / cells for name, value in counts.items()}
        driver.run()
    assert len(driver.outcomes) == cells
    measured["driver"] = watch.lap() - launcher.seconds
    measured["own"] = launcher.seconds
    measured["views"] = len(views)
    measured["view"] = max(views)
    measured["rss"] = peak_rss_mib()
    measured["rss before"] = before_rss
    return measured


class Watch:
    """Tells the time since it was last asked."""

    def __init__(self) -> None:
        self.at = time.perf_counter()

    def lap(self) -> float:
        """Seconds since the last lap."""
        before, self.at = self.at, time.perf_counter()
        return self.at - before


@contextlib.contextmanager
def view_clock(view: TableView) -> Iterator[list[float]]:
    """Note how long each update of a table takes that does anything."""
    times: list[float] = [0.0]
    rewrite = view._rewrite

    def timed(outdated: set[str]) -> None:
        started = time.perf_counter()
        rewrite(outdated)
        times.append(time.perf_counter() - started)

    view._rewrite = timed  # type: ignore[method-assign]
    yield times


class SimulatedLauncher(Launcher):
    """Keeps so many runs going that each `poll` ends them all.

    A run leaves what a real one does except weights and learning curve.

    Args:
        around: the results folder and the sweep's own.
        data: what all runs say they were trained on.

    Attributes:
        seconds: spent in the runs themselves.
    """

    def __init__(self, context: SweepContext, data: DataDescription) -> None:
        self.context = context
        self.data = data
        self.items: list[WorkItem] = []
        self.seconds = 0.0
        self.pool = ThreadPoolExecutor(AT_ONCE)

    def free_slots(self) -> int:
        """See `Launcher`."""
        return AT_ONCE - len(self.items)

    def submit(self, items: list[WorkItem]) -> None:
        """See `Launcher`."""
        self.items += items

    def poll(self) -> list[Completion]:
        """See `Launcher`."""
        started = time.perf_counter()
        items, self.items = self.items, []
        ended = list(self.pool.map(self.run, items))
        self.seconds += time.perf_counter() - started
        return ended

    def run(self, item: WorkItem) -> Completion:
        """Lease a cell's question and leave its row."""
        cell, now, store = item.cell, datetime.now(UTC), self.context.store
        row = self.plausible(cell, now)
        lease = new_lease(cell.fingerprints[0], row.run_id, dataclasses.asdict(row))
        assert store.leases.acquire(lease)
        folder = store.run(row.run_id).create()
        write_atomically(folder.config, " ".join(cell.overrides) + " " * 900)
        self.context.directory.log(cell).write_text(f"{row.model} on {row.task}\n")
        store.write_row(row)
        store.leases.release(lease)
        return Completion(cell, row.run_id)

    def plausible(self, cell: Cell, now: datetime) -> Row:
        """Make up a row as long as a real one."""
        config, number = cell.config, cell.number
        fails = number % FAILING == FAILING - 1
        row = Row(
            new_run_id(config.model.label, config.task.name, config.seed, now),
            Status.FAILED if fails else Status.OK,
            error="RuntimeError: this run was to fail" if fails else None,
            fingerprint=cell.fingerprints[0],
            starts=1,
            sweep=self.context.directory.sweep_id,
            started_at=now.isoformat(timespec="milliseconds"),
            **configuration_columns(config),
            **data_columns(self.data),
        )
        for name in ("val_score", "test_score", "val_loss", "test_loss", "rmse", "mae", "mase"):
            setattr(row, name, 1.0 + (number * 0.6180339887498949) % 1)
        for name in ("train_seconds", "eval_seconds", "total_seconds", "tokens_per_second"):
            setattr(row, name, 100 * (1.0 + (number * 0.7548776662466927) % 1))
        row.device, row.device_name, row.dtype = "cpu", "a processor of some kind", "float32"
        row.threads, row.concurrent_runs, row.epochs, row.steps = 1, AT_ONCE, 20, 12345
        return row

    def interrupt(self) -> None:
        """Nothing runs between calls."""

    kill = interrupt


def count_operations(run: Callable[[], object], launcher: SimulatedLauncher) -> Counter[str]:
    """Count the file-system operations of the runs themselves and of the driver."""
    counts: Counter[str] = Counter()
    whose = "driver"
    poll = launcher.poll

    def inside_poll() -> list[Completion]:
        nonlocal whose
        whose = "own"
        try:
            return poll()
        finally:
            whose = "driver"

    launcher.poll = inside_poll  # type: ignore[method-assign]
    is_on = True

    def hear(event: str, arguments: tuple[Any, ...]) -> None:
        if is_on and event in COUNTED and not (event == "open" and isinstance(arguments[0], int)):
            counts[whose] += 1

    def counted(function: Callable[..., Any]) -> Callable[..., Any]:
        def call(*arguments: Any, **options: Any) -> Any:
            counts[whose] += 1
            return function(*arguments, **options)

        return call

    real = {name: getattr(os, name) for name in ("stat", "fsync")}
    sys.addaudithook(hear)
    for name, function in real.items():
        setattr(os, name, counted(function))
    try:
        run()
    finally:
        is_on = False
        for name, function in real.items():
            setattr(os, name, function)
    return counts
