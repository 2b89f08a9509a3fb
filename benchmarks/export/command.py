"""What scripts/export_model.py does once the command line is understood."""

from __future__ import annotations

import argparse
import contextlib
import io
import os
import sys
from collections.abc import Iterator
from importlib.metadata import version
from pathlib import Path

import torch

from benchmarks.errors import UserError
from benchmarks.export.benchmark import as_csv, measured, sections
from benchmarks.export.exporter import INT8, export_run
from benchmarks.export.training_command import training_command
from benchmarks.export.verification import UnequalError
from benchmarks.reporting.doc_blocks import put_between
from benchmarks.reporting.renderers import Section, show
from benchmarks.runner.load_run import FinishedRun, load_run
from benchmarks.system.atomic_files import write_atomically
from benchmarks.system.environment import available_cores, device_name, keep_freed_memory
from benchmarks.training.precision import use_precision
from tasks.base import DataError

SECONDS = 1.0
"""Of each form at each batch size, if the command line does not say."""


def export_and_measure(chosen: argparse.Namespace, folder: Path) -> int:
    """Export a run's network and measure it; returns the exit code.

    Args:
        chosen: on the command line.
        folder: of the run.

    Raises:
        UserError: a mistake.
    """
    if chosen.device == "cuda" and not torch.cuda.is_available():
        raise UserError("--device cuda: this machine has no such device (allowed: cpu)")
    device = torch.device(chosen.device or "cpu")
    use_precision("highest", device)
    try:
        run = load_run(folder)
        threads = chosen.threads or usual_threads(run)
        torch.set_num_threads(threads)
        keep_freed_memory()  # as runs do, and as ONNX Runtime does by itself
        if chosen.write is not None:
            begin, _ = marks_of(run)
            if not chosen.write.is_file() or begin not in chosen.write.read_text(encoding="utf-8"):
                raise UserError(f"{chosen.write}: has no line {begin.strip()} to write after")
        out = chosen.out or run.folder.export
        with told_of(out):
            exports = export_run(run, out, threads)
    except DataError as error:
        raise UserError(str(error)) from error
    except UnequalError as error:
        print(f"error: nothing was kept in {out}: {error}", file=sys.stderr)
        return 1
    for name, difference in exports.differences.items():
        print(f"written: {out / name}, equal to the network to {difference:.1e}")
    for name in (INT8, *exports.others):
        print(f"written: {out / name}")
    if chosen.no_times:
        return 0
    seconds = chosen.seconds or SECONDS
    found = measured(run, exports, device, seconds)
    if chosen.csv is not None:
        with told_of(chosen.csv):
            write_atomically(chosen.csv, as_csv(run, found, str(device), threads))
    shown = sections(run, found, conditions(run, device, threads))
    show(shown)
    if chosen.write is not None:
        command = f"python scripts/export_model.py latest --device {device} --threads {threads}"
        block = page_block(run, f"{command} --seconds {seconds:g}", shown)
        put_between(chosen.write, marks_of(run), block)
    return 0


def usual_threads(run: FinishedRun) -> int:
    """As many as the run trained with, at most the cores there are; these if it does not tell."""
    return min(run.row.get("threads") or available_cores(), available_cores())


@contextlib.contextmanager
def told_of(path: Path) -> Iterator[None]:
    """Answer a file or folder that cannot be written in one line.

    Raises:
        UserError: it cannot.
    """
    try:
        yield
    except OSError as error:
        raise UserError(f"{path}: cannot be written ({error.strerror})") from error


def marks_of(run: FinishedRun) -> tuple[str, str]:
    """Between which lines of a page a pair's numbers stand."""
    return f"<!-- export: {run.row['model']} on {run.row['task']} -->\n", "<!-- end -->"


def page_block(run: FinishedRun, command: str, found: list[Section]) -> str:
    """Write what was shown as a block of a page, after the commands that lead to it."""
    shown = io.StringIO()
    with contextlib.redirect_stdout(shown):
        show(found)
    lines = [f"$ {training_command(run)}", f"$ {command}", *shown.getvalue().splitlines()]
    text = "\n".join(line.rstrip() for line in lines)
    return f"```\n{text}\n```\n"


def conditions(run: FinishedRun, device: torch.device, threads: int) -> str:
    """Say on what was measured."""
    versions = ", ".join(f"{name} {version(name)}" for name in ("torch", "onnxruntime"))
    if device.type == "cuda":
        return f"{device_name(device)}, {versions}"
    trained = run.row.get("threads")
    told = {None: "", threads: " as in training"}.get(trained, f" ({trained} in training)")
    count = f"{threads} thread{'s' if threads > 1 else ''}{told}"
    return f"{device_name(device)}, {os.cpu_count()} cores, {count}, {versions}"
