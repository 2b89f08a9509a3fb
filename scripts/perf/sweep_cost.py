"""What a run costs beside its training and evaluation when a sweep has many in one process.

    python -m scripts.perf.sweep_cost
    python -m scripts.perf.sweep_cost --full                     also evaluation's share, by
                                                                    running every pair as it is
    python -m scripts.perf.sweep_cost --table results/*.csv      or from tables of such runs

Sweeps by the basic launcher of runs cut to a few steps and evaluation batches; nets, data, latency
and memory pass are those of default runs. Cost is the time from the start of one run to the start
of the next, less what its row says of training and evaluation. The first run of a process pays for
what is done once and is told apart.
"""

from __future__ import annotations

import argparse
import contextlib
import csv
import json
import statistics
import subprocess
import sys
import tempfile
from datetime import datetime
from pathlib import Path
from typing import Any

from benchmarks import PROJECT_ROOT
from benchmarks.errors import UserError
from scripts.perf.measuring import Report, parser_of, run_benchmark
from scripts.perf.pairs import add_run_options, composed, pairs
from scripts.perf.phases import FIRST_OF_A_RUN, Watch, by_phase

COST_SECONDS = 0.5
EVALUATION_SHARE = 0.15
"""Targets."""

NOT_COUNTED = ("training", "validation", "test")
MEASURED = ("latency", "memory", "sample", "utilisation")

Calls = list[tuple[str, float]]
"""See `Watch.calls`."""

SHORT = ["train.max_epochs=1", "train.max_steps=5", "train.max_evaluation_batches=2"]


def sweep(overrides: list[str]) -> None:
    """Be `python run.py -m`, and say at the end which phases took how long."""
    from benchmarks import cli

    watch = Watch()
    sys.argv = ["run.py", "-m", *overrides]
    with watch.watching(), contextlib.redirect_stdout(sys.stderr):
        code = cli.main(lambda: None)
    print(json.dumps(watch.calls))
    sys.exit(code)


def run_sweep(overrides: list[str], folder: str) -> tuple[list[dict[str, Any]], Calls]:
    """Run a sweep in a process of its own; returns its rows in order, and its calls of phases.

    Raises:
        UserError: it failed.
    """
    command = [sys.executable, "-m", "scripts.perf.sweep_cost", "--part", "--set", *overrides]
    command += [f"results_dir={folder}", "train.device=cpu"]
    ended = subprocess.run(command, cwd=PROJECT_ROOT, capture_output=True, text=True)
    if ended.returncode:
        said = (ended.stderr.strip().splitlines() or ["a sweep failed"])[-1]
        raise UserError(said.removeprefix("error: "))
    files = sorted(Path(folder).glob("runs/*/row.json"))  # named by when they started
    rows = [json.loads(file.read_text(encoding="utf-8")) for file in files]
    calls: Calls = json.loads(ended.stdout.splitlines()[-1])
    return rows, calls


def calls_of_later_runs(calls: Calls) -> Calls:
    """Leave out what belongs to the first run of a process."""
    begins = [place for place, (phase, _) in enumerate(calls) if phase == FIRST_OF_A_RUN]
    return calls[begins[1] :]


def costs_of(rows: list[dict[str, Any]]) -> list[float]:
    """Seconds beside training and evaluation of every run but the last, whose end no row tells."""
    starts = [datetime.fromisoformat(row["started_at"]).timestamp() for row in rows]
    spent = [row["train_seconds"] + row["eval_seconds"] for row in rows]
    return [
        after - start - busy
        for start, after, busy in zip(starts[:-1], starts[1:], spent[:-1], strict=True)
    ]


def measure_cost(model: str, task: str, chosen: argparse.Namespace, report: Report) -> None:
    """Sweep over seeds, and tell the cost of a run and what it is made of."""
    later = chosen.runs + 1  # the last run's end is not known
    seeds = f"seed=range(0,{1 + later})"
    wanted = [f"model={model}", f"task={task}", seeds, f"train.threads={chosen.threads}"]
    with tempfile.TemporaryDirectory(prefix="rnnbench-sweep-") as folder:
        rows, calls = run_sweep([*wanted, *SHORT, *chosen.set], folder)
    first, *costs = costs_of(rows)
    phases = by_phase(calls_of_later_runs(calls))
    each = {name: phases[name] / later for name in phases if name not in NOT_COUNTED}
    told = sorted(each.items(), key=lambda item: -item[1])
    parts = ", ".join(f"{name} {seconds:.3f}" for name, seconds in told if seconds >= 0.0005)
    report.say(
        f"{model} on {task}, seconds beside training and evaluation: {statistics.median(costs):.3f}"
        f" [{min(costs):.3f}, {max(costs):.3f}], of the first run {first:.3f}; without what the "
        f"row measures {statistics.median(costs) - sum(each[name] for name in MEASURED):.3f}\n"
        f"    by phase, without the first run: {parts}"
    )
    report.ratio(f"seconds beside training, {model} on {task}", min(costs), at_most=COST_SECONDS)


def measure_shares(rows: list[dict[str, Any]], report: Report) -> None:
    """Tell evaluation's share of the training time of each pair; the largest where it ran often."""
    shares: dict[tuple[str, str], list[float]] = {}
    for row in rows:
        share = float(row["eval_seconds"]) / float(row["train_seconds"])
        shares.setdefault((row["model"], row["task"]), []).append(share)
    for (model, task), found in sorted(shares.items()):
        report.ratio(
            f"evaluation / training time at defaults, {model} on {task}",
            max(found),
            at_most=EVALUATION_SHARE,
        )


def rows_of(tables: list[Path], found: list[tuple[str, str]]) -> list[dict[str, Any]]:
    """Read the rows of these pairs' runs at defaults that ended well and have a time of training.

    Raises:
        UserError: a table cannot be read or is none of ours.
    """
    rows: list[dict[str, Any]] = []
    for table in tables:
        try:
            with table.open(newline="", encoding="utf-8") as file:
                read = csv.DictReader(file)
                if not {"model", "task", "status", "eval_seconds"} <= set(read.fieldnames or ()):
                    raise UserError(f"--table {table}: not a table of results")
                rows += read
        except (OSError, UnicodeDecodeError) as error:
            raise UserError(f"--table {table}: cannot be read ({error})") from error
    return [
        row
        for row in rows
        if row["status"] == "ok" and (row["model"], row["task"]) in found
        if row.get("train_seconds") and not row.get("overrides")
    ]


def measure(chosen: argparse.Namespace, report: Report) -> None:
    """Measure the cost of a run, then evaluation's share if it is asked for."""
    found = pairs(chosen.models, chosen.tasks)
    known = rows_of(chosen.table, found)
    for model, task in found:
        measure_cost(model, task, chosen, report)
    if chosen.table:
        for model, task in found:
            if not any((row["model"], row["task"]) == (model, task) for row in known):
                report.say(f"no row of {model} on {task} at defaults in the table")
        measure_shares(known, report)
    if chosen.full:
        with tempfile.TemporaryDirectory(prefix="rnnbench-sweep-") as folder:
            for model, task in found:
                composed(model, task, *chosen.set)
                wanted = [f"model={model}", f"task={task}", f"train.threads={chosen.threads}"]
                run_sweep([*wanted, *chosen.set], folder)
            rows = [json.loads(file.read_text()) for file in Path(folder).glob("runs/*/row.json")]
        measure_shares(rows, report)


def main(arguments: list[str] | None = None) -> int:
    """Measure; returns the exit code."""
    parser = parser_of(__doc__)
    add_run_options(parser)
    parser.add_argument("--tasks", nargs="+", default=[], metavar="T", help="default: all")
    parser.add_argument("--runs", type=int, default=4, help="counted, in each sweep")
    parser.add_argument("--full", action="store_true", help="run every pair at its defaults too")
    parser.add_argument("--table", nargs="+", type=Path, default=[], help="of runs at defaults")
    parser.add_argument("--part", action="store_true", help=argparse.SUPPRESS)
    chosen, _ = parser.parse_known_args(arguments)
    if chosen.part:
        sweep(chosen.set)
    return run_benchmark("sweep_cost", parser, arguments, measure)


if __name__ == "__main__":
    sys.exit(main())
