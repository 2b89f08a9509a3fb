"""Measure what a sweep costs besides its training, with runs that only leave their rows.

    python scripts/simulate_sweep.py                                prints a table
    python scripts/simulate_sweep.py --cells 10 10000 100000        for sweeps of these sizes
    python scripts/simulate_sweep.py --write docs/scale.md          puts it into the page

Planning, driver, claims, index, view, collecting and status are the real ones. Each simulated run
leaves what a real one does except weights and learning curve. Use a quiet machine; each step is a
process of its own, so that its memory is its own too.
"""

from __future__ import annotations

import argparse
import contextlib
import dataclasses
import io
import json
import os
import resource
import shutil
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from benchmarks.errors import UserError
from benchmarks.pages import put_between

ROOT = Path(__file__).resolve().parent.parent
AT_ONCE = 64
FAILING = 100
"""One run in so many fails."""
COUNTED = 200
"""Cells of the sweep whose file-system operations are counted."""
FEWEST = 10
MILLION = 1_000_000
MARKS = ("<!-- table: scripts/simulate_sweep.py -->\n", "<!-- end -->")


def axes_of(cells: int, results: Path) -> list[str]:
    """Write the command line of a sweep of so many cells."""
    return [
        "model=gru,lstm",
        "task=sp500",
        "train.learning_rate=1e-3,2e-3,3e-3,4e-3,5e-3",
        f"seed=range(0,{cells // FEWEST})",
        "train.device=cpu",
        f"results_dir={results}",
        "resume=skip_failed",
    ]


def sweep(cells: int, results: Path, count: bool) -> dict[str, float]:
    """Run a simulated sweep as `python run.py -m` would, and measure it."""
    from benchmarks.compose import hydra_at, sweep_axes
    from benchmarks.config import register_schemas
    from benchmarks.interruption import Interruption
    from benchmarks.launchers.base import Surroundings
    from benchmarks.results import Store
    from benchmarks.sweeps.board import Board
    from benchmarks.sweeps.driver import Driver
    from benchmarks.sweeps.folder import SweepFolder
    from benchmarks.sweeps.plan import DataDescriptions, here, make_plan

    conf = ROOT / "conf"
    register_schemas(conf)
    overrides = axes_of(cells, results)
    with hydra_at(conf):
        axes = sweep_axes(overrides)
        describe = DataDescriptions()
        describe_once(describe, axes.fixed)
        before_rss = peak_mib()
        watch = Watch()
        plan = make_plan(axes, describe, here)
        measured = {"planning": watch.lap()}
    store = Store(results)
    folder = SweepFolder(results / "sweeps" / plan.sweep_id)
    folder.write(plan.cells, overrides, "simulated", len(plan.cells))
    measured["writing down"] = watch.lap()
    around = Surroundings(store, store.index(), folder, conf)
    measured["index"] = watch.lap()
    launcher = simulated_launcher(around, describe(plan.cells[0].config))
    driver = Driver(plan.cells, launcher, around, "skip_failed", Board(cells), Interruption())
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
    measured["rss"] = peak_mib()
    measured["rss before"] = before_rss
    return measured


def describe_once(describe: Any, fixed: list[str]) -> None:
    """Read the data set, whose time is none of the plan's."""
    from benchmarks.compose import CellComposer

    describe(CellComposer(fixed).compose(["model=gru"]))


class Watch:
    """Tells the time since it was last asked."""

    def __init__(self) -> None:
        self.at = time.perf_counter()

    def lap(self) -> float:
        """Seconds since the last lap."""
        before, self.at = self.at, time.perf_counter()
        return self.at - before


def peak_mib() -> float:
    """The largest this process has been."""
    scale = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * scale / 2**20


@contextlib.contextmanager
def view_clock(view: Any) -> Iterator[list[float]]:
    """Note how long each update of a table takes that does anything."""
    times: list[float] = [0.0]
    rewrite = view._rewrite

    def timed(old: set[str]) -> None:
        started = time.perf_counter()
        rewrite(old)
        times.append(time.perf_counter() - started)

    view._rewrite = timed
    yield times


def simulated_launcher(around: Any, data: Any) -> Any:
    """Make a launcher whose runs leave their rows and nothing else."""
    from benchmarks.claims import new_claim
    from benchmarks.columns import data_columns, question_columns
    from benchmarks.files import write_atomically
    from benchmarks.launchers.base import Launcher, Order
    from benchmarks.results import Row, new_run_id
    from benchmarks.sweeps.cell import Cell, Ended

    class SimulatedLauncher(Launcher):
        """Keeps so many runs going that each `poll` ends them all."""

        def __init__(self) -> None:
            self.orders: list[Order] = []
            self.seconds = 0.0
            self.pool = ThreadPoolExecutor(AT_ONCE)

        def room(self) -> int:
            return AT_ONCE - len(self.orders)

        def start(self, orders: list[Order]) -> None:
            self.orders += orders

        def poll(self) -> list[Ended]:
            started = time.perf_counter()
            orders, self.orders = self.orders, []
            ended = list(self.pool.map(self.run, orders))
            self.seconds += time.perf_counter() - started
            return ended

        def run(self, order: Order) -> Ended:
            cell, now = order.cell, datetime.now(UTC)
            row = plausible(cell, now)
            claim = new_claim(cell.fingerprints[0], row.run_id, dataclasses.asdict(row))
            assert around.store.claims.take(claim)
            folder = around.store.folder(row.run_id)
            write_atomically(folder / "config.yaml", " ".join(cell.overrides) + " " * 900)
            around.folder.log(cell).write_text(f"{row.model} on {row.task}\n")
            around.store.keep(row)
            around.store.claims.release(claim)
            return Ended(cell, row.run_id)

        def interrupt(self) -> None:
            """Nothing runs between calls."""

        kill = interrupt

    def plausible(cell: Cell, now: datetime) -> Row:
        config, number = cell.config, cell.number
        fails = number % FAILING == FAILING - 1
        row = Row(
            new_run_id(config.model.label, config.task.name, config.seed, now),
            "failed" if fails else "ok",
            error="RuntimeError: this run was to fail" if fails else None,
            fingerprint=cell.fingerprints[0],
            starts=1,
            sweep=around.folder.sweep_id,
            started_at=now.isoformat(timespec="milliseconds"),
            **question_columns(config),
            **data_columns(data),
        )
        for name in ("val_score", "test_score", "val_loss", "test_loss", "rmse", "mae", "mase"):
            setattr(row, name, 1.0 + (number * 0.6180339887498949) % 1)
        for name in ("train_seconds", "eval_seconds", "total_seconds", "tokens_per_second"):
            setattr(row, name, 100 * (1.0 + (number * 0.7548776662466927) % 1))
        row.device, row.device_name, row.dtype = "cpu", "a processor of some kind", "float32"
        row.threads, row.concurrent_runs, row.epochs, row.steps = 1, AT_ONCE, 20, 12345
        return row

    return SimulatedLauncher()


def count_operations(run: Any, launcher: Any) -> Counter[str]:
    """Count the file-system operations of the runs themselves and of the driver."""
    counts: Counter[str] = Counter()
    inside = {"own": False}
    poll = launcher.poll

    def inside_poll() -> Any:
        inside["own"] = True
        try:
            return poll()
        finally:
            inside["own"] = False

    launcher.poll = inside_poll
    watched = {"open", "os.mkdir", "os.rename", "os.remove", "os.link", "os.scandir", "os.chmod"}
    is_on = True

    def hear(event: str, arguments: tuple[Any, ...]) -> None:
        if is_on and event in watched and not (event == "open" and isinstance(arguments[0], int)):
            counts["own" if inside["own"] else "driver"] += 1

    def counted(function: Any) -> Any:
        def call(*arguments: Any, **options: Any) -> Any:
            counts["own" if inside["own"] else "driver"] += 1
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


def child(arguments: list[str]) -> tuple[str, float, float]:
    """Run a script of this project; returns its output, wall seconds and peak MiB.

    Raises:
        RuntimeError: it failed.
    """
    with tempfile.TemporaryFile("w+") as output:
        started = time.perf_counter()
        pid = os.posix_spawn(
            sys.executable,
            [sys.executable, *arguments],
            os.environ | {"PYTHONPATH": str(ROOT)},
            file_actions=[(os.POSIX_SPAWN_DUP2, output.fileno(), 1)],
        )
        _, status, usage = os.wait4(pid, 0)
        seconds = time.perf_counter() - started
        output.seek(0)
        text = output.read()
    if os.waitstatus_to_exitcode(status) not in (0, 1):
        raise RuntimeError(f"{' '.join(arguments)} failed: {text[-1000:]}")
    scale = 1 if sys.platform == "darwin" else 1024
    return text, seconds, usage.ru_maxrss * scale / 2**20


def step(cells: int, results: Path, *flags: str) -> dict[str, float]:
    """Run one sweep in a process of its own."""
    me = str(Path(__file__).resolve())
    text, _, _ = child([me, "--step", str(results), "--cells", str(cells), *flags])
    measured: dict[str, float] = json.loads(text.splitlines()[-1])
    return measured


def measure(cells: int, parent: Path) -> list[Measure]:
    """Simulate a sweep of so many cells; returns a column of the table."""
    results = Path(tempfile.mkdtemp(prefix=f"simulated-{cells}-", dir=parent))
    try:
        first = step(cells, results)
        again = step(cells, results)
        scripts = ROOT / "scripts"
        _, status_seconds, status_rss = child([str(scripts / "status.py"), str(results)])
        _, collect_seconds, collect_rss = child([str(scripts / "collect.py"), str(results)])
        merged = ["--out", str(results / "merged.csv"), "--runs", "last"]
        _, merge_seconds, merge_rss = child([str(scripts / "collect.py"), str(results), *merged])
        files, used = disk_use(results / "runs")
        view = (results / "results.csv").stat().st_size
        index = (results / ".index.jsonl").stat().st_size
        plan = sum(f.stat().st_size for f in results.glob("sweeps/*/cells.jsonl"))
    finally:
        shutil.rmtree(results)
    counted_in = Path(tempfile.mkdtemp(prefix="counted-", dir=parent))
    try:
        operations = step(min(cells, COUNTED), counted_in, "--count")
    finally:
        shutil.rmtree(counted_in)
    milli, mega = 1000 / cells, 2**20
    skipping = again["driver"] + again["index"]
    return [
        Measure("planning, ms per cell", first["planning"] * milli, 2, grows=False),
        Measure("launching and collecting, ms per cell", first["driver"] * milli, 2, grows=False),
        Measure("skipping what is done, ms per cell", skipping * milli, 2, grows=False),
        Measure("the runs' own claims, folders and rows, ms", first["own"] * milli, 2, grows=False),
        Measure("writing `cells.jsonl`, s", first["writing down"], 2),
        Measure("writing `results.csv` at the end, s", first["view"], 2),
        Measure("`scripts/status.py`, s", status_seconds, 2),
        Measure("`scripts/collect.py RESULTS`, s", collect_seconds, 1),
        Measure("`scripts/collect.py RESULTS --out`, s", merge_seconds, 1),
        Measure("peak memory of the sweep, MiB", max(first["rss"], again["rss"]), 0),
        Measure("of that before planning, MiB", first["rss before"], 0, grows=False),
        Measure("peak memory of status, MiB", status_rss, 0),
        Measure("peak memory of collect, MiB", max(collect_rss, merge_rss), 0),
        Measure("files and folders in `runs/`", files, 0),
        Measure("disk they take, MiB", used / mega, 1),
        Measure("`results.csv`, MiB", view / mega, 2),
        Measure("`.index.jsonl`, MiB", index / mega, 2),
        Measure("`cells.jsonl`, MiB", plan / mega, 2),
        Measure("file-system operations of a run", operations["own"], 0, grows=False),
        Measure("and of the driver for it", operations["driver"], 0, grows=False),
    ]


@dataclasses.dataclass(frozen=True)
class Measure:
    """A number of the table.

    Attributes:
        name: what was measured.
        value: of a sweep of some size.
        digits: behind the point.
        grows: with the sweep.
    """

    name: str
    value: float
    digits: int
    grows: bool = True

    def text(self, value: float) -> str:
        """Write a value of this."""
        return f"{value:,.{self.digits}f}"


def disk_use(folder: Path) -> tuple[int, int]:
    """Count the entries below a folder, and the bytes their blocks take."""
    entries = used = 0
    for where, folders, files in os.walk(folder):
        for name in [*folders, *files]:
            entries += 1
            used += os.lstat(os.path.join(where, name)).st_blocks * 512  # noqa: PTH118
    return entries, used


def table_of(columns: dict[int, list[Measure]]) -> str:
    """Write what was measured as Markdown, with a last column of what it comes to for a million."""
    header = ["cells", *(f"{cells:,}" for cells in columns)]
    lines = [list(line) for line in zip(*columns.values(), strict=True)]
    table = [[line[0].name, *(measure.text(measure.value) for measure in line)] for line in lines]
    if len(columns) > 1:
        header.append(f"{MILLION:,}, reckoned")
        for cells, line in zip(table, lines, strict=True):
            cells.append(line[-1].text(reckoned(list(columns), line)))
    table = [header, ["---", *("---:" for _ in header[1:])], *table]
    return "".join("| " + " | ".join(line) + " |\n" for line in table)


def reckoned(sizes: list[int], line: list[Measure]) -> float:
    """Draw a straight line through the two largest sizes to a million cells."""
    (before, last), (smaller, larger) = line[-2:], sizes[-2:]
    if not last.grows:
        return last.value
    slope = max(0.0, (last.value - before.value) / (larger - smaller))
    return last.value + slope * (MILLION - larger)


def main(arguments: list[str] | None = None) -> int:
    """Simulate; returns the exit code."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--cells", type=int, nargs="+", default=[10, 1000, 10_000], metavar="N")
    parser.add_argument("--folder", type=Path, help="where to simulate (default: a temporary one)")
    parser.add_argument("--write", type=Path, metavar="PAGE", help="put the table into this page")
    parser.add_argument("--step", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--count", action="store_true", help=argparse.SUPPRESS)
    chosen = parser.parse_args(arguments)
    try:
        return simulate(chosen)
    except UserError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2


def simulate(chosen: argparse.Namespace) -> int:
    """Do what the command line asks for.

    Raises:
        UserError: it cannot be done.
    """
    for cells in chosen.cells:
        if cells < FEWEST or cells % FEWEST:
            raise UserError(f"--cells {cells}: must be a multiple of {FEWEST}")
    if chosen.step is not None:
        print(json.dumps(sweep(chosen.cells[0], chosen.step, chosen.count)))
        return 0
    if chosen.folder is not None and not chosen.folder.is_dir():
        raise UserError(f"--folder {chosen.folder}: there is no such folder")
    if chosen.write is not None:
        put_between(chosen.write, MARKS, "")
    parent = chosen.folder or Path(tempfile.gettempdir())
    columns = {cells: measure(cells, parent) for cells in sorted(set(chosen.cells))}
    wanted = " ".join(map(str, chosen.cells))
    moment = datetime.now(UTC).strftime("%Y-%m-%d")
    content = f"`python scripts/simulate_sweep.py --cells {wanted}`, {moment}, "
    content += f"{os.cpu_count()} cores, Python {sys.version.split()[0]}:\n\n{table_of(columns)}"
    print(content)
    if chosen.write is not None:
        put_between(chosen.write, MARKS, content)
    return 0


if __name__ == "__main__":
    sys.exit(main())
