"""Shared parts of the performance programs: timing in turns, ratios with targets, output files."""

from __future__ import annotations

import argparse
import itertools
import json
import os
import platform
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

from benchmarks import PROJECT_ROOT
from benchmarks.errors import UserError
from benchmarks.reporting.doc_blocks import code_block
from benchmarks.reporting.renderers import in_markdown, markdown_table
from benchmarks.system.load import ExternalLoad
from benchmarks.system.program import ScriptParser, prints_user_errors

SAME_MEASUREMENT_SECONDS = 0.02  # between ratios of one measurement, at most
AMOUNTS = ("threads", "turns", "runs", "epochs", "seeds", "steps", "batches", "seconds")

Variants = Mapping[str, Callable[[], object]]
Times = Mapping[str, list[float]]  # seconds of each turn by variant


def interleaved(
    variants: Variants, repeats: int, device: str = "cpu", calls: int = 1
) -> dict[str, list[float]]:
    """Time functions in turns, after an uncounted call; a returned float is the measured time."""
    import torch

    from benchmarks.system.timer import synchronise

    where = torch.device(device)
    times: dict[str, list[float]] = {name: [] for name in variants}
    orders = itertools.cycle([list(variants), list(variants)[::-1]])
    for turn, names in zip(range(-1, repeats), orders, strict=False):
        for name in names:
            synchronise(where)
            started = time.perf_counter()
            for _ in range(calls):
                own = variants[name]()
            synchronise(where)
            seconds = own if isinstance(own, float) else time.perf_counter() - started
            if turn >= 0:
                times[name].append(seconds)
    return times


def speed(times: Times, variant: str, over: str) -> float:
    """Return the speed of a variant relative to another, by their shortest times."""
    return min(times[over]) / min(times[variant])


def spread(times: Times, variant: str, over: str) -> str:
    """Return median and range of the relative speeds of the turns."""
    turns = [slow / fast for slow, fast in zip(times[over], times[variant], strict=True)]
    return f"{statistics.median(turns):.3f} [{min(turns):.3f}, {max(turns):.3f}]"


def program(name: str, *options: str) -> list[str]:
    """Return the command that runs a program of this package."""
    return [sys.executable, "-m", f"scripts.perf.{name}", *options]


def run_process(command: Sequence[str], failure: str = "") -> tuple[Any, str]:
    """Run a command in the project's folder; return the JSON of its last line, and its stderr."""
    ended = subprocess.run(command, cwd=PROJECT_ROOT, capture_output=True, text=True)
    lines = ended.stdout.splitlines()
    if ended.returncode or not lines:
        error = (ended.stderr.strip().splitlines() or ["the process printed nothing"])[-1]
        raise UserError(failure + error.removeprefix("error: "))
    return json.loads(lines[-1]), ended.stderr


def load_text(load: ExternalLoad) -> str:
    """Return the load averages of 1 and 5 minutes, and the cores used by other processes."""
    average = os.getloadavg() if hasattr(os, "getloadavg") else (0.0, 0.0)
    return f"load average {average[0]:.2f} (5 minutes: {average[1]:.2f}); {load.text(load.cores())}"


class Report:
    """Output of a program: printed, and kept for the file of `--write`."""

    def __init__(self) -> None:
        self.lines: list[str] = []
        self.tables: list[str] = []
        self.load = ExternalLoad()
        self.was_busy = False

    def write(self, text: str) -> None:
        """Print lines."""
        self.lines += text.split("\n")
        print(text, flush=True)

    def table(self, header: list[str], rows: list[list[str]]) -> None:
        """Print a Markdown table; in the file it follows the lines."""
        cells = [[in_markdown(cell) for cell in row] for row in (header, *rows)]
        text = markdown_table(cells[0], cells[1:])
        self.tables.append(text)
        print(text, flush=True)

    def ratio(
        self,
        name: str,
        value: float,
        *,
        at_least: float | None = None,
        at_most: float | None = None,
    ) -> None:
        """Print a number with its target, and before it the load during the measurement."""
        if at_least is not None:
            is_met, target = value >= at_least, f">= {at_least:g}"
        else:
            assert at_most is not None
            is_met, target = value <= at_most, f"<= {at_most:g}"
        if self.load.seconds > SAME_MEASUREMENT_SECONDS:
            self.write(f"load: {load_text(self.load)}")
            self.was_busy = self.load.is_busy()
        verdict = ("met" if is_met else "not met") + ("; busy machine" if self.was_busy else "")
        self.write(f"ratio: {name} = {value:.3f} (target {target}): {verdict}")
        self.load = ExternalLoad()


def parser_of(description: str | None) -> argparse.ArgumentParser:
    """Return a parser with the options `--threads` and `--write`."""
    parser = ScriptParser(description)
    parser.add_argument(
        "--threads", type=int, metavar="N", help="of torch (default: one per physical core)"
    )
    parser.add_argument("--write", type=Path, metavar="FILE", help="write the output to this file")
    return parser


@prints_user_errors
def run_benchmark(
    name: str,
    parser: argparse.ArgumentParser,
    arguments: list[str] | None,
    measure: Callable[[argparse.Namespace, Report], None],
    parts: Mapping[str, Callable[[list[str]], None]] | None = None,
) -> int:
    """Run a program, or one of its parts in a process of its own; return the exit code."""
    # Set before torch's profiler is imported: silences messages of its library.
    os.environ.setdefault("KINETO_LOG_LEVEL", "99")
    given = sys.argv[1:] if arguments is None else arguments
    parser.add_argument("--part", choices=[*(parts or ())], help=argparse.SUPPRESS)
    options = parser.parse_args(given)
    if parts and options.part:
        parts[options.part](options.set)
        return 0
    check_options(options)
    import torch

    from benchmarks.system.environment import available_cores, device_name, keep_freed_memory

    keep_freed_memory()
    torch.set_num_threads(options.threads or available_cores())
    options.threads = torch.get_num_threads()
    report = Report()
    report.write(
        f"{device_name(torch.device('cpu'))}, {os.cpu_count()} cores, {options.threads} "
        f"threads; Python {platform.python_version()}, torch {version('torch')}, "
        f"rnnbench {version('rnnbench')}; {datetime.now(UTC):%Y-%m-%d}"
    )
    measure(options, report)
    if options.write is not None:
        options.write.write_text(output_block(name, given, report), encoding="utf-8")
    return 0


def check_options(options: argparse.Namespace) -> None:
    """Raise UserError for invalid amounts, numbers of threads and output folders."""
    from benchmarks.system.environment import available_cores

    for name in AMOUNTS:
        amount = getattr(options, name, None)
        if amount is not None and not amount > 0:
            least = "above 0" if isinstance(amount, float) else "at least 1"
            raise UserError(f"--{name} {amount}: must be {least}")
    if options.threads is not None and options.threads > available_cores():
        raise UserError(f"--threads {options.threads}: this process has {available_cores()} cores")
    if options.write is not None and not options.write.parent.is_dir():
        raise UserError(f"--write {options.write}: no folder {options.write.parent}")


def output_block(name: str, arguments: list[str], report: Report) -> str:
    """Return the output of a program as Markdown, with its command; paths lose their folders."""
    words = [word for word in arguments if not word.startswith("--write=")]
    if "--write" in words:
        place = words.index("--write")
        del words[place : place + 2]
    words = [Path(word).name if os.sep in word else word for word in words]
    module = name if "." in name else f"scripts.perf.{name}"
    command = " ".join(["python -m", module, *words])
    text = "\n".join([f"$ {command}", *(line.rstrip() for line in report.lines)])
    tables = "".join(f"\n{table}\n" for table in report.tables)
    return code_block(text) + tables
