"""Export a run and measure the exported network, as scripts/export_model.py does."""

from __future__ import annotations

import argparse
import contextlib
import io
import os
import sys
from importlib.metadata import version

import torch

from benchmarks.errors import UserError
from benchmarks.export.benchmark import as_csv, measure, sections
from benchmarks.export.exporter import INT8, ONNX, export_run
from benchmarks.export.verification import UnequalError
from benchmarks.reporting.doc_blocks import code_block, put_between
from benchmarks.reporting.renderers import Section, show
from benchmarks.runner.load_run import FinishedRun, load_run, parse_moved
from benchmarks.system.atomic_files import write_atomically
from benchmarks.system.environment import available_cores, device_name, keep_freed_memory
from benchmarks.system.output_file import writing
from benchmarks.training.precision import use_precision


def export_and_measure(options: argparse.Namespace) -> int:
    """Export the network of a run and measure it; return the exit code.

    Raises:
        UserError: an option or the run cannot be used.
    """
    if options.device == "cuda" and not torch.cuda.is_available():
        raise UserError("--device cuda: no CUDA device is available (allowed: cpu)")
    device = torch.device(options.device or "cpu")
    use_precision("highest", device)
    try:
        run = load_run(options.run, options.results, parse_moved(options.moved))
        threads = options.threads or default_threads(run)
        torch.set_num_threads(threads)
        keep_freed_memory()  # as in runs, and as ONNX Runtime does
        page, end = options.write, "<!-- end -->"
        begin = f"<!-- export: {run.row['model']} on {run.row['task']} -->\n"
        if page and not (page.is_file() and begin in page.read_text(encoding="utf-8")):
            raise UserError(f"{page}: no line {begin.strip()} to write after")
        out = options.out or run.folder.export
        with writing("--out", out):
            exports = export_run(run, out, threads)
    except UnequalError as error:
        print(f"error: nothing was written to {out}: {error}", file=sys.stderr)
        return 1
    for name, difference in exports.differences.items():
        print(f"written: {out / name}, equal to the network to {difference:.1e}")
    if exports.without_onnx is not None:
        print(f"not written: {ONNX} and {INT8}: {exports.without_onnx}")
    for name in (*([INT8] if INT8 in exports.networks else []), *exports.others):
        print(f"written: {out / name}")
    if options.no_times:
        return 0
    seconds = options.seconds or 1.0
    found = measure(run, exports, device, seconds)
    if options.csv is not None:
        with writing("--csv", options.csv):
            write_atomically(options.csv, as_csv(run, found, str(device), threads))
    shown = sections(run, found, conditions(run, device, threads))
    show(shown)
    if page is not None:
        command = f"python scripts/export_model.py latest --device {device} --threads {threads}"
        put_between(page, (begin, end), page_block(run, f"{command} --seconds {seconds:g}", shown))
    return 0


def default_threads(run: FinishedRun) -> int:
    """Return the threads of the training, at most the available cores; these if not recorded."""
    return min(run.row.get("threads") or available_cores(), available_cores())


def page_block(run: FinishedRun, export_command: str, shown: list[Section]) -> str:
    """Return the printed tables as a Markdown block, after the commands that produce them."""
    printed = io.StringIO()
    with contextlib.redirect_stdout(printed):
        show(shown)
    file = run.folder.command  # older folders do not have it
    trained = file.read_text("utf-8", "backslashreplace").splitlines() if file.is_file() else []
    commands = (f"$ {command}" for command in [*trained, export_command])
    text = "\n".join(line.rstrip() for line in [*commands, *printed.getvalue().splitlines()])
    return code_block(text)


def conditions(run: FinishedRun, device: torch.device, threads: int) -> str:
    """Return the hardware and the versions that times depend on."""
    versions = ", ".join(f"{name} {version(name)}" for name in ("torch", "onnxruntime"))
    if device.type == "cuda":
        return f"{device_name(device)}, {versions}"
    trained = run.row.get("threads")
    note = {None: "", threads: " as in training"}.get(trained, f" ({trained} in training)")
    count = f"{threads} thread{'s' if threads > 1 else ''}{note}"
    return f"{device_name(device)}, {os.cpu_count()} cores, {count}, {versions}"
