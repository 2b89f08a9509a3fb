"""Measure the overhead of a sweep with simulated runs, which write their rows only.

    python -m scripts.perf.simulate_sweep                           prints a table
    python -m scripts.perf.simulate_sweep --cells 10 10000 100000   sizes of the sweeps
    python -m scripts.perf.simulate_sweep --write docs/scale.md     writes the table into the page

A simulated run writes the files of a real one except weights and learning curve. Each step runs in
a new process, so that its memory can be measured. Use a machine without other work.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import tempfile
import time
from datetime import UTC, datetime
from pathlib import Path
from platform import python_version
from typing import NamedTuple

from benchmarks import PROJECT_ROOT
from benchmarks.errors import UserError
from benchmarks.reporting.doc_blocks import put_between
from benchmarks.reporting.renderers import markdown_table
from benchmarks.system.program import ScriptParser, prints_user_errors, run_script
from benchmarks.system.terminal import print_log_messages

CELLS_PER_SEED = 10
COUNTED = 200  # cells of the sweep whose file-system operations are counted
MILLION = 1_000_000
MARKS = ("<!-- table: scripts/perf/simulate_sweep.py -->\n", "<!-- end -->")


def axes_of(cells: int, results: Path) -> list[str]:
    """Return the command line of a sweep."""
    return [
        "model=gru,lstm",
        "task=sp500",
        "train.learning_rate=1e-3,2e-3,3e-3,4e-3,5e-3",
        f"seed=range(0,{cells // CELLS_PER_SEED})",
        "train.device=cpu",
        f"results_dir={results}",
        "resume=skip_failed",
    ]


def child(module: str, *arguments: str) -> tuple[str, float, float]:
    """Run a module of `scripts`; return its output, wall-clock seconds and peak MiB."""
    with tempfile.TemporaryFile("w+") as output:
        started = time.perf_counter()
        pid = os.posix_spawn(
            sys.executable,
            [sys.executable, "-m", f"scripts.{module}", *arguments],
            os.environ | {"PYTHONPATH": str(PROJECT_ROOT)},
            file_actions=[(os.POSIX_SPAWN_DUP2, output.fileno(), 1)],
        )
        _, status, usage = os.wait4(pid, 0)
        seconds = time.perf_counter() - started
        output.seek(0)
        text = output.read()
    if os.waitstatus_to_exitcode(status) not in (0, 1):
        raise RuntimeError(f"{module} {' '.join(arguments)} failed: {text[-1000:]}")
    scale = 1 if sys.platform == "darwin" else 1024
    return text, seconds, usage.ru_maxrss * scale / 2**20


class Measure(NamedTuple):
    """A row of the table: label, value, decimals, and whether it grows with the sweep."""

    name: str
    value: float
    digits: int
    grows: bool = True


def step(cells: int, results: Path, *flags: str) -> dict[str, float]:
    """Run one sweep in a new process."""
    given = ["perf.simulate_sweep", "--step", str(results), "--cells", str(cells), *flags]
    measured: dict[str, float] = json.loads(child(*given)[0].splitlines()[-1])
    return measured


def measure(cells: int, parent: Path) -> list[Measure]:
    """Simulate a sweep and return a column of the table."""
    with tempfile.TemporaryDirectory(prefix=f"simulated-{cells}-", dir=parent) as folder:
        results = Path(folder)
        first = step(cells, results)
        again = step(cells, results)
        _, status_seconds, status_rss = child("status", folder)
        _, collect_seconds, collect_rss = child("collect", folder)
        merged = ["--out", str(results / "merged.csv"), "--runs", "last"]
        _, merge_seconds, merge_rss = child("collect", folder, *merged)
        blocks = [path.lstat().st_blocks for path in (results / "runs").rglob("*")]
        table = (results / "results.csv").stat().st_size
        index = (results / ".index.jsonl").stat().st_size
        plan = sum(f.stat().st_size for f in results.glob("sweeps/*/cells.jsonl"))
    with tempfile.TemporaryDirectory(prefix="counted-", dir=parent) as folder:
        operations = step(min(cells, COUNTED), Path(folder), "--count")
    milli, mega = 1000 / cells, 2**20
    skipping = again["scheduler"] + again["index"]
    return [
        Measure("planning, ms per cell", first["planning"] * milli, 2, grows=False),
        Measure("launching and collecting, ms per cell", first["scheduler"] * milli, 2, False),
        Measure("skipping finished cells, ms per cell", skipping * milli, 2, grows=False),
        Measure("leases, folders and rows of a run, ms", first["runs"] * milli, 2, False),
        Measure("writing `cells.jsonl`, s", first["writing the plan"], 2),
        Measure("writing `results.csv` at the end, s", first["table"], 2),
        Measure("`scripts/status.py`, s", status_seconds, 2),
        Measure("`scripts/collect.py RESULTS`, s", collect_seconds, 1),
        Measure("`scripts/collect.py RESULTS --out`, s", merge_seconds, 1),
        Measure("peak memory of the sweep, MiB", max(first["rss"], again["rss"]), 0),
        Measure("memory before planning, MiB", first["rss before"], 0, grows=False),
        Measure("peak memory of status, MiB", status_rss, 0),
        Measure("peak memory of collect, MiB", max(collect_rss, merge_rss), 0),
        Measure("files and folders in `runs/`", len(blocks), 0),
        Measure("disk usage, MiB", 512 * sum(blocks) / mega, 1),
        Measure("`results.csv`, MiB", table / mega, 2),
        Measure("`.index.jsonl`, MiB", index / mega, 2),
        Measure("`cells.jsonl`, MiB", plan / mega, 2),
        Measure("file-system operations of a run", operations["runs"], 0, grows=False),
        Measure(
            "file-system operations of the scheduler, per run", operations["scheduler"], 0, False
        ),
    ]


def table_of(columns: dict[int, list[Measure]]) -> str:
    """Return a Markdown table, with an extrapolation to a million cells as the last column."""
    header = ["cells", *(f"{cells:,}" for cells in columns)]
    lines = [list(line) for line in zip(*columns.values(), strict=True)]
    values = [[measure.value for measure in line] for line in lines]
    if len(columns) > 1:
        header.append(f"{MILLION:,}, extrapolated")
        for found, line in zip(values, lines, strict=True):
            found.append(extrapolated(list(columns), line))
    rows = [
        [line[0].name, *(f"{value:,.{line[0].digits}f}" for value in found)]
        for line, found in zip(lines, values, strict=True)
    ]
    return markdown_table(header, rows) + "\n"


def extrapolated(sizes: list[int], line: list[Measure]) -> float:
    """Return the value at a million cells on the line through the two largest sizes."""
    (before, last), (smaller, larger) = line[-2:], sizes[-2:]
    if not last.grows:
        return last.value
    slope = max(0.0, (last.value - before.value) / (larger - smaller))
    return last.value + slope * (MILLION - larger)


@prints_user_errors
def main(arguments: list[str] | None = None) -> int:
    """Simulate sweeps; return the exit code."""
    parser = ScriptParser(__doc__)
    parser.add_argument("--cells", type=int, nargs="+", default=[10, 1000, 10_000], metavar="N")
    parser.add_argument("--folder", type=Path, help="parent folder (default: a temporary folder)")
    parser.add_argument("--write", type=Path, metavar="PAGE", help="write the table into this page")
    parser.add_argument("--step", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--count", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args(arguments)
    print_log_messages()
    for cells in options.cells:
        if cells < CELLS_PER_SEED or cells % CELLS_PER_SEED:
            raise UserError(f"--cells {cells}: must be a multiple of {CELLS_PER_SEED}")
    if options.folder is not None and not options.folder.is_dir():
        raise UserError(f"--folder {options.folder}: no such folder")
    if options.write is not None:
        put_between(options.write, MARKS, "")
    if options.step is not None:
        # Imports torch, and a new process starts with the memory of its parent.
        from scripts.perf.simulated_sweep import sweep

        axes = axes_of(options.cells[0], options.step)
        print(json.dumps(sweep(axes, options.step, options.count)))
        return 0
    parent = options.folder or Path(tempfile.gettempdir())
    columns = {cells: measure(cells, parent) for cells in sorted(set(options.cells))}
    sizes = " ".join(map(str, options.cells))
    about = f"{datetime.now(UTC):%Y-%m-%d}, {os.cpu_count()} cores, Python {python_version()}"
    command = f"python -m scripts.perf.simulate_sweep --cells {sizes}"
    content = f"`{command}`, {about}:\n\n{table_of(columns)}"
    print(content)
    if options.write is not None:
        put_between(options.write, MARKS, content)
    return 0


if __name__ == "__main__":
    run_script(main)
