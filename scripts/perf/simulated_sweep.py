"""The simulated sweep that `simulate_sweep` measures: its runs write their rows only."""

from __future__ import annotations

import dataclasses
import io
import itertools
import os
import sys
import time
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import redirect_stderr
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from unittest.mock import patch

from benchmarks.config.compose import CellComposer, hydra_at, sweep_axes
from benchmarks.config.help import CONF
from benchmarks.config.registry import register_schemas
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
from scripts.perf.phases import PhaseTimer
from tasks.base import DataDescription

CONCURRENT_RUNS = 64
FAILING = 100  # one of this number of runs fails

COUNTED = {"open", "os.mkdir", "os.rename", "os.remove", "os.link", "os.scandir", "os.chmod"}
"""Audited events that are file-system operations; `stat` and `fsync` are not audited."""


def sweep(overrides: list[str], results: Path, count: bool) -> dict[str, float]:
    """Run a simulated sweep; return seconds and MiB, or with `count` operations per cell."""
    from benchmarks.system.memory import peak_rss_mib

    register_schemas()
    with hydra_at(CONF):
        axes = sweep_axes(overrides)
        describe = DataDescriptions()
        # Read before, as reading the data is not part of planning.
        data = describe(CellComposer(axes.fixed).compose(["model=gru"]))
        before_rss = peak_rss_mib()
        moments = [time.perf_counter()]
        plan = make_plan(axes, describe, local_device_types)
        moments.append(time.perf_counter())
    store = Store(results)
    folder = SweepDirectory(results / "sweeps" / plan.sweep_id)
    folder.write(plan.cells, overrides, "simulated", len(plan.cells))
    moments.append(time.perf_counter())
    context = SweepContext(store, store.index(), folder, CONF)
    moments.append(time.perf_counter())
    launcher = SimulatedLauncher(context, data)
    cells = len(plan.cells)
    scheduler = Scheduler(
        plan.cells, launcher, context, "skip_failed", SweepProgress(cells), Interruption()
    )
    rewrites = PhaseTimer()
    rewrite = rewrites.timed("table", scheduler.view._rewrite)
    with patch.object(scheduler.view, "_rewrite", rewrite), redirect_stderr(io.StringIO()):
        if count:
            counts = count_operations(scheduler.run, launcher)
            return {name: value / cells for name, value in counts.items()}
        scheduler.run()
    assert len(scheduler.outcomes) == cells
    moments.append(time.perf_counter())
    planning, writing, index, whole = (b - a for a, b in itertools.pairwise(moments))
    return {
        "planning": planning,
        "writing the plan": writing,
        "index": index,
        "scheduler": whole - launcher.seconds,
        "runs": launcher.seconds,
        "table writes": len(rewrites.calls),
        "table": max((seconds for _, seconds in rewrites.calls), default=0.0),
        "rss": peak_rss_mib(),
        "rss before": before_rss,
    }


class SimulatedLauncher(Launcher):
    """Runs all submitted items in each `poll`, and sums the seconds spent in them."""

    def __init__(self, context: SweepContext, data: DataDescription) -> None:
        self.context = context
        self.data = data
        self.items: list[WorkItem] = []
        self.seconds = 0.0
        self.is_running = False
        self.pool = ThreadPoolExecutor(CONCURRENT_RUNS)

    def free_slots(self) -> int:
        """See `Launcher`."""
        return CONCURRENT_RUNS - len(self.items)

    def submit(self, items: list[WorkItem]) -> None:
        """See `Launcher`."""
        self.items += items

    def poll(self) -> list[Completion]:
        """See `Launcher`."""
        started = time.perf_counter()
        items, self.items = self.items, []
        self.is_running = True
        ended = list(self.pool.map(self.run, items))
        self.is_running = False
        self.seconds += time.perf_counter() - started
        return ended

    def run(self, item: WorkItem) -> Completion:
        """Acquire the lease of a cell and write its files and its row."""
        cell, now, store = item.cell, datetime.now(UTC), self.context.store
        row = self.simulated_row(cell, now)
        lease = new_lease(cell.fingerprints[0], row.run_id, dataclasses.asdict(row))
        assert store.leases.acquire(lease)
        folder = store.run(row.run_id).create()
        write_atomically(folder.config, " ".join(cell.overrides) + " " * 900)
        self.context.directory.log(cell).write_text(f"{row.model} on {row.task}\n")
        store.write_row(row)
        store.leases.release(lease)
        return Completion(cell, row.run_id)

    def simulated_row(self, cell: Cell, now: datetime) -> Row:
        """Return a row of the length of a real one."""
        config, number = cell.config, cell.number
        fails = number % FAILING == FAILING - 1
        row = Row(
            new_run_id(config.model.label, config.task.name, config.seed, now),
            Status.FAILED if fails else Status.OK,
            error="RuntimeError: simulated failure" if fails else None,
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
        row.threads, row.concurrent_runs, row.epochs, row.steps = 1, CONCURRENT_RUNS, 20, 12345
        return row

    def interrupt(self) -> None:
        """See `Launcher`; no run is active between calls."""

    kill = interrupt


def count_operations(run: Callable[[], object], launcher: SimulatedLauncher) -> Counter[str]:
    """Count the file-system operations of the runs and of the scheduler."""
    counts: Counter[str] = Counter()
    is_active = True

    def audit(event: str, arguments: tuple[Any, ...]) -> None:
        is_descriptor = event == "open" and isinstance(arguments[0], int)
        if is_active and event in COUNTED and not is_descriptor:
            counts["runs" if launcher.is_running else "scheduler"] += 1

    def counted(function: Callable[..., Any]) -> Callable[..., Any]:
        def call(*arguments: Any, **options: Any) -> Any:
            counts["runs" if launcher.is_running else "scheduler"] += 1
            return function(*arguments, **options)

        return call

    sys.addaudithook(audit)
    with patch.multiple(os, stat=counted(os.stat), fsync=counted(os.fsync)):
        run()
    is_active = False  # an audit hook cannot be removed
    return counts
