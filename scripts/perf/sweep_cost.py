"""Time per run besides training and evaluation in a sweep of many runs in one process.

    python -m scripts.perf.sweep_cost
    python -m scripts.perf.sweep_cost --full                     run every pair at its defaults too
                                                                 (share of evaluation)
    python -m scripts.perf.sweep_cost --table results/*.csv      the same from tables of such runs

Sweeps with the sequential launcher over short runs. The cost is the time from the start of a run to
the start of the next, minus training and evaluation in its row. The first run is printed apart.
"""

from __future__ import annotations

import argparse
import contextlib
import csv
import itertools
import json
import statistics
import sys
import tempfile
from datetime import datetime
from pathlib import Path
from typing import Any

from benchmarks.errors import UserError
from benchmarks.results.row import Status
from benchmarks.results.run_folder import ROW
from benchmarks.system.program import run_script
from scripts.perf.measuring import Report, parser_of, program, run_benchmark, run_process
from scripts.perf.pairs import add_run_options, composed, pairs
from scripts.perf.phases import PhaseTimer, by_phase

COST_SECONDS, EVALUATION_SHARE = 0.5, 0.15
"""Targets."""

NOT_COUNTED = ("training", "validation", "test")
MEASURED = ("latency", "memory", "sample", "utilisation")

Calls = list[tuple[str, float]]  # see `PhaseTimer`
SHORT = ["train.max_epochs=1", "train.max_steps=5", "train.max_evaluation_batches=2"]


def sweep(overrides: list[str]) -> None:
    """Run `python run.py -m` and print the seconds of each call of a phase."""
    from benchmarks import cli

    timer = PhaseTimer()
    sys.argv = ["run.py", "-m", *overrides]
    with timer.patched(), contextlib.redirect_stdout(sys.stderr):
        code = cli.main(lambda: None)
    print(json.dumps(timer.calls))
    sys.exit(code)


def run_sweep(overrides: list[str], folder: str) -> tuple[list[dict[str, Any]], Calls]:
    """Run a sweep in a new process; return its rows in order and its calls of phases."""
    given = [*overrides, f"results_dir={folder}", "train.device=cpu"]
    calls, _ = run_process(program("sweep_cost", "--part", "sweep", "--set", *given))
    files = sorted(Path(folder).glob(f"runs/*/{ROW}"))  # sorted by start
    return [json.loads(file.read_text(encoding="utf-8")) for file in files], calls


def calls_of_later_runs(calls: Calls) -> Calls:
    """Return the calls without those of the first run of a process."""
    begins = [place for place, (phase, _) in enumerate(calls) if phase == "clean-up"]
    return calls[begins[1] :]


def costs_of(rows: list[dict[str, Any]]) -> list[float]:
    """Return seconds besides training and evaluation of every run except the last."""
    starts = [datetime.fromisoformat(row["started_at"]).timestamp() for row in rows]
    return [
        after - start - (row["train_seconds"] + row["eval_seconds"])
        for row, (start, after) in zip(rows, itertools.pairwise(starts), strict=False)
    ]


def measure_cost(model: str, task: str, options: argparse.Namespace, report: Report) -> None:
    """Sweep over seeds and print the cost of a run by phase."""
    later = options.runs + 1  # the end of the last run is not recorded
    seeds = f"seed=range(0,{1 + later})"
    given = [f"model={model}", f"task={task}", seeds, f"train.threads={options.threads}"]
    with tempfile.TemporaryDirectory(prefix="rnnbench-sweep-") as folder:
        rows, calls = run_sweep([*given, *SHORT, *options.set], folder)
    first, *costs = costs_of(rows)
    phases = by_phase(calls_of_later_runs(calls))
    each = {name: phases[name] / later for name in phases if name not in NOT_COUNTED}
    parts = sorted(each.items(), key=lambda item: -item[1])
    text = ", ".join(f"{name} {seconds:.3f}" for name, seconds in parts if seconds >= 0.0005)
    report.write(
        f"{model} on {task}, seconds per run without training and evaluation: "
        f"{statistics.median(costs):.3f} [{min(costs):.3f}, {max(costs):.3f}], first run "
        f"{first:.3f}; without {', '.join(MEASURED[:-1])} and {MEASURED[-1]} "
        f"{statistics.median(costs) - sum(each[name] for name in MEASURED):.3f}\n"
        f"    by phase, without the first run: {text}"
    )
    name = f"seconds per run without training and evaluation, {model} on {task}"
    report.ratio(name, min(costs), at_most=COST_SECONDS)


def measure_shares(rows: list[dict[str, Any]], report: Report) -> None:
    """Print the largest share of evaluation relative to training for each pair."""
    shares: dict[tuple[str, str], list[float]] = {}
    for row in rows:
        share = float(row["eval_seconds"]) / float(row["train_seconds"])
        shares.setdefault((row["model"], row["task"]), []).append(share)
    for (model, task), found in sorted(shares.items()):
        name = f"evaluation / training time at defaults, {model} on {task}"
        report.ratio(name, max(found), at_most=EVALUATION_SHARE)


def rows_of(tables: list[Path], found: list[tuple[str, str]]) -> list[dict[str, Any]]:
    """Return the rows of finished runs of these pairs at their defaults."""
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
        if row["status"] == Status.OK and (row["model"], row["task"]) in found
        if row.get("train_seconds") and not row.get("overrides")
    ]


def measure(options: argparse.Namespace, report: Report) -> None:
    """Measure the cost of a run, and the share of evaluation if requested."""
    found = pairs(options.models, options.tasks)
    given_rows = rows_of(options.table, found)
    for model, task in found:
        measure_cost(model, task, options, report)
    if options.table:
        for model, task in found:
            if not any((row["model"], row["task"]) == (model, task) for row in given_rows):
                report.write(f"no rows for {model} on {task} at defaults in the table")
        measure_shares(given_rows, report)
    if options.full:
        with tempfile.TemporaryDirectory(prefix="rnnbench-sweep-") as folder:
            for model, task in found:
                composed(model, task, *options.set)
                given = [f"model={model}", f"task={task}", f"train.threads={options.threads}"]
                run_sweep([*given, *options.set], folder)
            rows = [json.loads(file.read_text()) for file in Path(folder).glob(f"runs/*/{ROW}")]
        measure_shares(rows, report)


def main(arguments: list[str] | None = None) -> int:
    """Run the program; return the exit code."""
    parser = parser_of(__doc__)
    add_run_options(parser, tasks=[])
    parser.add_argument("--runs", type=int, default=4, help="counted, in each sweep")
    parser.add_argument("--full", action="store_true", help="run every pair at its defaults too")
    parser.add_argument("--table", nargs="+", type=Path, default=[], help="of runs at defaults")
    return run_benchmark("sweep_cost", parser, arguments, measure, {"sweep": sweep})


if __name__ == "__main__":
    run_script(main)
