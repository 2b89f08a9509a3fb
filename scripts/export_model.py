"""Export the trained network of a run for other programs and measure its speed.

    python scripts/export_model.py RUN                  run id, its beginning, or a run folder
    python scripts/export_model.py latest --csv t.csv   latest run, with measurements as CSV
    python scripts/export_model.py RUN --device cuda    times on the GPU (PyTorch's forms only)
    python scripts/export_model.py RUN --no-times       files only

Writes model.onnx, model.int8.onnx, model.pt2 (torch.export) and inputs.json to the folder export/
of the run. The files are kept only if they reproduce the outputs of the network. Prints sizes,
validation scores, latency and throughput: see docs/inference.md.

Exit codes: 0; 1 if an exported network differs; 2 for an invalid option or run.
"""

from __future__ import annotations

import argparse
import importlib.util
from pathlib import Path

from benchmarks.errors import UserError
from benchmarks.results.find_run import find_run
from benchmarks.system.output_file import check_output
from benchmarks.system.program import ScriptParser, prints_user_errors, run_script
from benchmarks.system.terminal import print_log_messages


@prints_user_errors
def main(arguments: list[str] | None = None) -> int:
    """Export and measure; return the exit code."""
    parser = ScriptParser(__doc__)
    add = parser.add_argument
    add("run", metavar="RUN", help="run id, its beginning, a run folder, latest or best")
    add("moved", nargs="*", metavar="task.KEY=PATH", help="new place of data that was moved")
    add("--results", type=Path, default=Path("results"), metavar="DIR", help="results folder")
    add("--out", type=Path, metavar="DIR", help="default: export/ in the run folder")
    add("--csv", type=Path, metavar="FILE", help="write the measurements as CSV")
    add("--device", choices=("cpu", "cuda"), help="device of the times (default: cpu)")
    add("--threads", type=int, metavar="N", help="default: as in training")
    add("--seconds", type=float, metavar="S", help="time per form and batch size (default: 1)")
    add("--write", type=Path, metavar="PAGE", help="write the tables into this page")
    files_only = "write and verify the files only, without sizes, scores and times"
    add("--no-times", action="store_true", help=files_only)
    options = parser.parse_with_settings(arguments)
    print_log_messages()
    check_options(options)
    options.run = find_run(options.run, options.results)
    # Imports torch, which mistakes of the command line do not need.
    from benchmarks.export.command import export_and_measure

    return export_and_measure(options)


def check_options(options: argparse.Namespace) -> None:
    """Check that packages are installed and options can be used."""
    missing = [name for name in ("onnx", "onnxruntime") if importlib.util.find_spec(name) is None]
    if missing:
        raise UserError(f"export needs {' and '.join(missing)}: pip install -e '.[export]'")
    if options.threads is not None and options.threads < 1:
        raise UserError(f"--threads {options.threads}: must be at least 1")
    if options.seconds is not None and not 0 < options.seconds < float("inf"):
        raise UserError(
            f"--seconds {options.seconds:g}: must be a number above 0 (without times: --no-times)"
        )
    for name in ("csv", "write", "seconds", "device"):
        value = getattr(options, name)
        if options.no_times and value is not None:
            raise UserError(f"--{name} {value}: has no effect with --no-times")
    if options.csv is not None:
        check_output("--csv", options.csv)


if __name__ == "__main__":
    run_script(main)
