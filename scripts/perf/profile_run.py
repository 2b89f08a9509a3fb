"""Time of a run by phase, from the start of its process to its end.

    python -m scripts.perf.profile_run
    python -m scripts.perf.profile_run --models gru --tasks imdb

Runs each pair at its defaults as `python run.py` does. The arithmetic of the training is the time
of its matrix products at the measured peak. The kinds of operations are shares of further training
steps under PyTorch's profiler, which takes time too.
"""

from __future__ import annotations

import argparse
import contextlib
import itertools
import json
import os
import sys
import tempfile
import time
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from benchmarks import PROJECT_ROOT
from benchmarks.config.schema import Config
from benchmarks.results.run_folder import ROW
from benchmarks.system.program import run_script
from scripts.perf.measuring import Report, load_text, parser_of, program, run_benchmark, run_process
from scripts.perf.pairs import add_run_options, composed, load, pairs, trainer_of
from scripts.perf.phases import PHASES, PhaseTimer, by_phase

KINDS = {
    "recurrences in one call": ("mkldnn_rnn_layer", "FusedLayer"),
    "matrix products": ("aten::mm", "aten::addmm", "aten::bmm", "aten::baddbmm"),
    "embedding": ("aten::embedding",),
    "optimiser and clipping": ("aten::_fused_adam", "aten::_foreach_"),
    "pointwise and copies": ("aten::", "Memcpy", "Memset"),
}
"""Prefixes of the names of operations, by kind; the first match counts."""

PYTHON = "Python, autograd's engine"  # the rest of the time


def run(overrides: list[str]) -> None:
    """Run `python run.py` and print the seconds of each phase."""
    import runpy

    import psutil

    born = psutil.Process().create_time()
    timer = PhaseTimer()
    sys.argv = ["run.py", *overrides]
    code: Any = 0
    with timer.patched(), contextlib.redirect_stdout(sys.stderr):
        before = time.time() - born
        try:
            runpy.run_path(str(PROJECT_ROOT / "run.py"), run_name="__main__")
        except SystemExit as end:
            code = end.code
    calls = [("imports", before), *timer.calls]
    print(json.dumps({"seconds": time.time() - born, "phases": by_phase(calls)}), flush=True)
    os._exit(code or 0)


def profile(config: Config, steps: int) -> dict[str, float]:
    """Return the share of the time of training steps by kind of operation."""
    import torch
    from torch.autograd.profiler import profile as recorder

    from benchmarks.training.seeding import SeedStreams

    device = torch.device("cpu")
    task = load(config, device)
    trainer = trainer_of(config, task, device)
    trainer.warm_up()
    order = SeedStreams.of(config).data_order(0)
    batches = task.batches("train", config.train.batch_size, order)
    with recorder() as recording:
        started = time.perf_counter()
        for batch in itertools.islice(batches, steps):
            trainer._step(batch)
        elapsed = time.perf_counter() - started
    operations = ((e.key, 1e-6 * e.self_cpu_time_total) for e in recording.key_averages())
    return shares_of(operations, elapsed)


def shares_of(operations: Iterable[tuple[str, float]], elapsed: float) -> dict[str, float]:
    """Return shares of the elapsed time by kind, from names and seconds of operations."""
    seconds = dict.fromkeys(KINDS, 0.0)
    for name, spent in operations:
        plain = name.removeprefix("aten::") if "rnn_layer" in name else name
        kind = next((kind for kind, begins in KINDS.items() if plain.startswith(begins)), None)
        if kind is not None:
            seconds[kind] += spent
    shares = {kind: spent / elapsed for kind, spent in seconds.items()}
    return shares | {PYTHON: 1 - sum(shares.values())}


def measure_pair(
    model: str, task: str, options: argparse.Namespace, report: Report
) -> dict[str, str]:
    """Run a pair and return a column of the table."""
    given = [f"train.threads={options.threads}", "train.device=cpu", *options.set]
    config = composed(model, task, *given)
    with tempfile.TemporaryDirectory(prefix="rnnbench-profile-") as folder:
        overrides = [f"model={model}", f"task={task}", f"results_dir={folder}", *given]
        result, _ = run_process(program("profile_run", "--part", "run", "--set", *overrides))
        (file,) = Path(folder).glob(f"runs/*/{ROW}")
        row = json.loads(file.read_text(encoding="utf-8"))
    phases, whole = result["phases"], result["seconds"]
    column = {"whole run, s": f"{whole:.2f}"}
    column |= {phase: percent(phases[phase] / whole) for phase in PHASES}
    del column["clean-up"]
    column["everything else"] = percent(1 - sum(phases.values()) / whole)
    column["training, s"] = f"{row['train_seconds']:.2f}"
    column |= {
        f"training: {kind}": percent(s) for kind, s in profile(config, options.steps).items()
    }
    arithmetic = row["model_flops_utilisation"]
    if arithmetic is not None:
        column["training: arithmetic at peak"] = percent(arithmetic)
        column["training: other"] = percent(1 - arithmetic)
        share = arithmetic * row["train_seconds"] / whole
        column["arithmetic / whole run"] = percent(share)
    load = load_text(report.load)
    report.write(f"{model} on {task}, kernel {row['kernel']}: {whole:.1f} s; {load}")
    return column


def percent(share: float) -> str:
    """Format a share."""
    return f"{100 * share:.1f} %"


def measure(options: argparse.Namespace, report: Report) -> None:
    """Profile each pair and print one table."""
    columns = {
        f"{model} on {task}": measure_pair(model, task, options, report)
        for model, task in pairs(options.models, options.tasks)
    }
    names = list(dict.fromkeys(name for column in columns.values() for name in column))
    rows = [[name, *(column.get(name, "") for column in columns.values())] for name in names]
    report.table(["", *columns], rows)


def main(arguments: list[str] | None = None) -> int:
    """Run the program; return the exit code."""
    parser = parser_of(__doc__)
    add_run_options(parser, tasks=[], models=["lstm"])
    parser.add_argument("--steps", type=int, default=20, help="under the profiler")
    return run_benchmark("profile_run", parser, arguments, measure, {"run": run})


if __name__ == "__main__":
    run_script(main)
