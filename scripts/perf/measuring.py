"""What the performance benchmarks share: arms timed in turn, ratios with targets, the page.

A benchmark is a module of this package with one function and this at its end:

    def measure(chosen: argparse.Namespace, report: Report) -> None:
        times = interleaved({"bare": bare, "ours": ours}, chosen.repeats)
        report.say(f"bare {min(times['bare']):.3f} s, ours {min(times['ours']):.3f} s")
        report.ratio("ours / bare, gru on sp500", speed(times, "ours", over="bare"), at_least=0.98)

    def main(arguments: list[str] | None = None) -> int:
        parser = parser_of(__doc__)  # --threads, --write
        parser.add_argument("--repeats", type=int, default=5)
        return run_benchmark("NAME", parser, arguments, measure)

    if __name__ == "__main__":
        sys.exit(main())

`python -m scripts.perf.NAME --write results/published/perf/NAME.md` writes the output to that file.
`python scripts/write_docs.py` then updates the table of ratios in docs/performance.md.
Every ratio is printed with the load of the machine.
"""

from __future__ import annotations

import argparse
import itertools
import os
import platform
import re
import statistics
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path

from benchmarks.errors import UserError
from benchmarks.reporting.renderers import markdown_table
from benchmarks.system.load import ExternalLoad

AT_ONCE_SECONDS = 0.02
"""Ratios printed in quick succession are of one measurement."""

RATIO = re.compile(
    r"^ratio: (?P<name>.+) = (?P<value>-?[\d.]+) \(target (?P<sense>>=|<=) (?P<target>[\d.]+)\): "
    r"(?P<verdict>met|not met)(?P<busy>; busy machine)?$"
)
"""What `Report.ratio` prints."""

AMOUNTS = ("threads", "turns", "runs", "epochs", "seeds", "steps", "batches", "seconds")
"""Options, wherever they occur, of which there must be some."""

Times = Mapping[str, list[float]]
"""Seconds of each arm, by name, one for every turn."""


def interleaved(
    arms: Mapping[str, Callable[[], object]], repeats: int, device: str = "cpu"
) -> dict[str, list[float]]:
    """Time functions in turn, so that what disturbs the machine disturbs them alike.

    Each is called once beforehand, uncounted. Every other turn goes backwards.

    Args:
        arms: what to time, by name. One that returns a float has timed itself.
        repeats: turns.
        device: that is waited for at both ends of a call.
    """
    import torch

    from benchmarks.system.timer import synchronise

    where = torch.device(device)
    times: dict[str, list[float]] = {name: [] for name in arms}
    for turn, names in zip(range(-1, repeats), itertools.cycle([list(arms), list(arms)[::-1]])):
        for name in names:
            synchronise(where)
            started = time.perf_counter()
            own = arms[name]()
            synchronise(where)
            seconds = own if isinstance(own, float) else time.perf_counter() - started
            if turn >= 0:
                times[name].append(seconds)
    return times


def speed(times: Times, arm: str, over: str) -> float:
    """How many times as fast an arm is as another, by the least that each has taken."""
    return min(times[over]) / min(times[arm])


def spread(times: Times, arm: str, over: str) -> str:
    """The same turn by turn, as median and range: how far the ratio can be trusted."""
    turns = [slow / fast for slow, fast in zip(times[over], times[arm], strict=True)]
    return f"{statistics.median(turns):.3f} [{min(turns):.3f}, {max(turns):.3f}]"


@dataclass(frozen=True)
class Ratio:
    """A `ratio:` line, read back."""

    name: str
    value: float
    target: float
    is_met: bool
    was_busy: bool


def read_ratios(text: str) -> list[Ratio]:
    """Read the ratio lines in a benchmark's output."""
    found = [match for line in text.splitlines() if (match := RATIO.match(line))]
    return [
        Ratio(
            line["name"],
            float(line["value"]),
            float(line["target"]),
            line["verdict"] == "met",
            line["busy"] is not None,
        )
        for line in found
    ]


def load_text(load: ExternalLoad) -> str:
    """Return the load averages of 1 and 5 minutes, and the cores used by other processes."""
    average = os.getloadavg() if hasattr(os, "getloadavg") else (0.0, 0.0)
    return (
        f"load average {average[0]:.2f} (5 minutes: {average[1]:.2f}); "
        f"others kept {load.cores():.2f} of {os.cpu_count()} cores busy"
    )


class Report:
    """Prints what was measured, and keeps it for the page."""

    def __init__(self) -> None:
        self.lines: list[str] = []
        self.tables: list[str] = []
        self.load = ExternalLoad()
        self.was_busy = False

    def say(self, text: str = "") -> None:
        """Print lines."""
        self.lines += text.split("\n")
        print(text, flush=True)

    def table(self, header: list[str], rows: list[list[str]]) -> None:
        """Print a Markdown table, numbers to the right; it follows the lines on the page."""
        text = markdown_table(header, rows)
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
        """Print a ratio, or any number that has a target, and whether the target is met.

        What others did meanwhile stands before it, once for all ratios of one measurement.
        """
        assert (at_least is None) != (at_most is None)
        target = at_least if at_least is not None else at_most
        is_met = value >= at_least if at_least is not None else value <= (at_most or 0.0)
        if self.load.seconds > AT_ONCE_SECONDS:
            self.say(f"load: {load_text(self.load)}")
            self.was_busy = self.load.is_busy()
        sense = "<=" if at_least is None else ">="
        verdict = ("met" if is_met else "not met") + ("; busy machine" if self.was_busy else "")
        self.say(f"ratio: {name} = {value:.3f} (target {sense} {target:g}): {verdict}")
        self.load = ExternalLoad()


def parser_of(description: str | None) -> argparse.ArgumentParser:
    """Begin the command line of a benchmark: `--threads` and `--write`."""
    parser = argparse.ArgumentParser(
        description=description, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--threads", type=int, metavar="N", help="of torch (default: one for each physical core)"
    )
    parser.add_argument("--write", type=Path, metavar="FILE", help="write the output to this file")
    return parser


def run_benchmark(
    name: str,
    parser: argparse.ArgumentParser,
    arguments: list[str] | None,
    measure: Callable[[argparse.Namespace, Report], None],
) -> int:
    """Measure what the command line asks for; returns the exit code.

    Args:
        name: of the module.
        parser: made by `parser_of`.
        arguments: None for the command line's.
        measure: gets what was chosen, `threads` filled in and given to torch.
    """
    # Read by torch's profiler as it is loaded: what its library logs on its own is of no use.
    os.environ.setdefault("KINETO_LOG_LEVEL", "99")
    given = sys.argv[1:] if arguments is None else arguments
    chosen = parser.parse_args(given)
    try:
        check_numbers(chosen)
        if chosen.write is not None and not chosen.write.parent.is_dir():
            raise UserError(f"--write {chosen.write}: there is no folder {chosen.write.parent}")
        chosen.threads = with_threads(chosen.threads)
        report = Report()
        report.say(conditions(chosen.threads))
        measure(chosen, report)
        if chosen.write is not None:
            chosen.write.write_text(output_block(name, given, report), encoding="utf-8")
    except UserError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    return 0


def check_numbers(chosen: argparse.Namespace) -> None:
    """Refuse amounts that measure nothing, and threads that would wait for each other.

    Raises:
        UserError: the first of them.
    """
    from benchmarks.system.environment import available_cores

    for name in AMOUNTS:
        amount = getattr(chosen, name, None)
        if amount is not None and not amount > 0:
            least = "above 0" if isinstance(amount, float) else "at least 1"
            raise UserError(f"--{name} {amount}: must be {least}")
    if chosen.threads is not None and chosen.threads > available_cores():
        raise UserError(f"--threads {chosen.threads}: this process has {available_cores()} cores")


def with_threads(wanted: int | None) -> int:
    """Set torch's threads, and memory as runs do; returns how many threads."""
    import torch

    from benchmarks.system.environment import available_cores, keep_freed_memory

    keep_freed_memory()
    torch.set_num_threads(wanted or available_cores())
    return torch.get_num_threads()


def conditions(threads: int) -> str:
    """Say on what and with what is measured."""
    import torch

    from benchmarks.system.environment import device_name

    return (
        f"{device_name(torch.device('cpu'))}, {os.cpu_count()} cores, {threads} threads; "
        f"Python {platform.python_version()}, torch {version('torch')}, "
        f"rnnbench {version('rnnbench')}; {datetime.now(UTC):%Y-%m-%d}"
    )


def output_block(name: str, arguments: list[str], report: Report) -> str:
    """Return the output of a program as Markdown, with its command.

    Paths are shortened to their last part.
    """
    told = [Path(word).name if os.sep in word else word for word in without_write(arguments)]
    command = " ".join(["python -m", f"scripts.perf.{name}", *told])
    text = "\n".join(line.rstrip() for line in report.lines)
    tables = "".join(f"\n{table}\n" for table in report.tables)
    return f"```\n$ {command}\n{text}\n```\n{tables}"


def without_write(arguments: list[str]) -> list[str]:
    """Remove `--write FILE` from a command line."""
    left = [word for word in arguments if not word.startswith("--write=")]
    if "--write" in left:
        place = left.index("--write")
        del left[place : place + 2]
    return left
