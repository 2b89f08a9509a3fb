"""Measure what a sweep costs besides its training, with runs that only leave their rows.

    python scripts/simulate_sweep.py                                prints a table
    python scripts/simulate_sweep.py --cells 10 10000 100000        for sweeps of these sizes
    python scripts/simulate_sweep.py --write docs/scale.md          puts it into the page

Planning, driver, leases, index, view, collecting and status are the real ones. Each simulated run
leaves what a real one does except weights and learning curve. Use a quiet machine; each step is a
process of its own, so that its memory is its own too.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import os
import shutil
import sys
import tempfile
import time
from datetime import UTC, datetime
from pathlib import Path

from benchmarks.errors import UserError
from benchmarks.reporting.doc_blocks import put_between
from benchmarks.reporting.renderers import markdown_table
from benchmarks.system.terminal import print_log_messages

ROOT = Path(__file__).resolve().parent.parent
FEWEST = 10
"""Cells of each seed."""
COUNTED = 200
"""Cells of the sweep whose file-system operations are counted."""
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
        Measure("the runs' own leases, folders and rows, ms", first["own"] * milli, 2, grows=False),
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
    return markdown_table(header, table) + "\n"


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
    print_log_messages()
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
        # Here, as a process begins with the size of the one that starts it.
        from scripts.perf.simulated_sweep import sweep

        axes = axes_of(chosen.cells[0], chosen.step)
        print(json.dumps(sweep(axes, chosen.step, chosen.count)))
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
