"""Export the trained network of a run for other programs, and measure what it costs to use.

    python scripts/export_model.py RUN                  a run's id, how it begins, or its folder
    python scripts/export_model.py latest --csv t.csv   the latest run; its numbers as a table too
    python scripts/export_model.py RUN --device cuda    times on the GPU, of PyTorch's forms alone
    python scripts/export_model.py RUN --no-times       the files alone

It computes with as many threads as the run had, at most the cores there are, or with --threads,
in proving the files equal too.
It writes model.onnx, model.int8.onnx, model.pt2 (torch.export), inputs.json and what else is needed
to use them into the run's folder export/, once they are proved equal to the network, and prints
sizes, validation scores, latency and throughput: docs/inference.md. Exit codes: 0, 1 if an exported
network is not equal, 2 for your mistake.
"""

from __future__ import annotations

import argparse
import importlib.util
import sys
from pathlib import Path

from benchmarks.errors import UserError
from benchmarks.results.find_run import find_run
from benchmarks.system.terminal import print_log_messages

NEEDED = ("onnx", "onnxruntime")


def main(arguments: list[str] | None = None) -> int:
    """Export and measure; returns the exit code."""
    chosen = parser().parse_args(arguments)
    print_log_messages()
    try:
        refuse(chosen)
        folder = find_run(chosen.run, chosen.results)
        # Here, for what can be answered at once needs no torch.
        from benchmarks.export.command import export_and_measure

        return export_and_measure(chosen, folder)
    except UserError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2


def parser() -> argparse.ArgumentParser:
    """Describe the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add = parser.add_argument
    add("run", metavar="RUN", help="id, beginning of one, folder, or latest")
    add("--results", type=Path, default=Path("results"), metavar="DIR", help="where runs are")
    add("--out", type=Path, metavar="DIR", help="default: the run's folder export/")
    add("--csv", type=Path, metavar="FILE", help="write what was measured as a table")
    add("--device", choices=("cpu", "cuda"), help="that is timed (default: cpu)")
    add("--threads", type=int, metavar="N", help="of proofs and times (default: as in training)")
    add("--seconds", type=float, metavar="S", help="per form and batch (default: 1)")
    add("--write", type=Path, metavar="PAGE", help="put the tables into this page")
    add(
        "--no-times",
        action="store_true",
        help="only write the files and prove them equal, in seconds: no table of sizes, scores, "
        "latency and throughput, whose times want a quiet machine",
    )
    return parser


def refuse(chosen: argparse.Namespace) -> None:
    """Refuse what cannot be done.

    Raises:
        UserError: a package is not installed, or an option has no effect or sense.
    """
    missing = [name for name in NEEDED if importlib.util.find_spec(name) is None]
    if missing:
        raise UserError(f"export needs {' and '.join(missing)}: pip install -e '.[export]'")
    if chosen.threads is not None and chosen.threads < 1:
        raise UserError(f"--threads {chosen.threads}: must be at least 1")
    if chosen.seconds is not None and not 0 < chosen.seconds < float("inf"):
        raise UserError(
            f"--seconds {chosen.seconds:g}: must be a number above 0 (for none: --no-times)"
        )
    for option, file in (("--csv", chosen.csv), ("--write", chosen.write)):
        if chosen.no_times and file is not None:
            raise UserError(f"{option} {file}: there is nothing to write with --no-times")
    for option, value in (("--seconds", chosen.seconds), ("--device", chosen.device)):
        if chosen.no_times and value is not None:
            raise UserError(f"{option} {value}: there is nothing to time with --no-times")
    if chosen.csv is not None and not chosen.csv.parent.is_dir():
        raise UserError(f"--csv {chosen.csv}: there is no folder {chosen.csv.parent}")
    if chosen.csv is not None and chosen.csv.is_dir():
        raise UserError(f"--csv {chosen.csv}: is a folder, name a file in it")


if __name__ == "__main__":
    sys.exit(main())
