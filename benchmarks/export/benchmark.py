"""Score and time a trained network in every exported form."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass

import torch
from torch import nn

from benchmarks.errors import UserError
from benchmarks.export.exporter import INT8, ONNX, PROGRAM, Exports, program_on
from benchmarks.export.timing import BATCH_SIZES, Speed, speeds, speedup
from benchmarks.reporting.renderers import Section, TextTable
from benchmarks.results.csv_cells import csv_text
from benchmarks.runner.load_run import FinishedRun
from benchmarks.system.load import ExternalLoad
from benchmarks.system.memory import MIB
from benchmarks.training.evaluation import evaluate
from tasks.base import Metric

EAGER = "PyTorch"
FUSED = "PyTorch, fused"
RUNTIME = "ONNX Runtime"
SCORE_TOLERANCE = 0.02  # relative; rounding depends on the machine


@dataclass(frozen=True)
class Form:
    """Size, score and speeds by batch size of one form; its difference only if it was verified."""

    name: str
    mib: float
    difference: float | None
    score: float
    speeds: dict[int, Speed]


@dataclass(frozen=True)
class Measurement:
    """Measurements, the reference first; `others` is the number of cores other processes used."""

    forms: list[Form]
    others: float
    is_busy: bool


def measure(
    run: FinishedRun, exports: Exports, device: torch.device, seconds: float
) -> Measurement:
    """Score every form that runs on a device, and time it for some seconds per batch size."""
    run.task.to(device, torch.float32)
    networks, files = forms_on(run, exports, device)
    train, metric = run.config.train, run.config.task.primary_metric.name
    sizes = train.evaluation_batch_size, train.max_evaluation_batches
    scores = {
        name: evaluate(network, run.task, "validation", *sizes)[metric]
        for name, network in networks.items()
    }
    trained = run.row.get("val_score")
    if trained is not None and not math.isclose(scores[EAGER], trained, rel_tol=SCORE_TOLERANCE):
        raise UserError(
            f"{run.row['run_id']}: the validation score is {scores[EAGER]:.6g} now and "
            f"{trained:.6g} in the row: the code has changed since the run was trained"
        )
    load = ExternalLoad()  # a load average would include the minute before
    found = {size: speeds(networks, run.task, size, seconds, device) for size in BATCH_SIZES}
    others, is_busy = load.cores(), load.is_busy()
    forms = []
    for name in networks:
        path = exports.folder / files[name] if name in files else run.folder.weights
        difference = exports.differences.get(path.name)
        by_size = {size: found[size][name] for size in BATCH_SIZES}
        forms.append(Form(name, path.stat().st_size / MIB, difference, scores[name], by_size))
    return Measurement(forms, others, is_busy)


def forms_on(
    run: FinishedRun, exports: Exports, device: torch.device
) -> tuple[dict[str, nn.Module], dict[str, str]]:
    """Return the networks that run on a device, and the names of the exported files, by form."""
    forms: dict[str, nn.Module] = {EAGER: run.network("torch")[0].to(device)}
    if device.type != "cpu":
        return forms | {"torch.export": program_on(run, exports, device)}, {"torch.export": PROGRAM}
    fused, encoder = run.network("fused")
    with torch.inference_mode():  # the encoder chooses its kernel in the first call
        batch = next(run.task.single_sequences(1))
        fused(batch.inputs, batch.lengths, None)
    if encoder.kernel == "fused":
        forms[FUSED] = fused
    files = {"torch.export": PROGRAM, RUNTIME: ONNX, int8_name(run): INT8}
    files = {form: name for form, name in files.items() if name in exports.networks}
    return forms | {name: exports.networks[file] for name, file in files.items()}, files


def is_lstm(run: FinishedRun) -> bool:
    """Return True for the one cell that ONNX Runtime computes in int8 arithmetic."""
    return getattr(run.config.model, "cell", "") == "lstm"


def int8_name(run: FinishedRun) -> str:
    """Return the name of the int8 form: of the LSTM the arithmetic is int8 too."""
    return f"{RUNTIME}, int8" if is_lstm(run) else f"{RUNTIME}, int8 weights"


def sections(run: FinishedRun, found: Measurement, conditions: str) -> list[Section]:
    """Return tables of sizes, scores and times, and statements about them."""
    metric = run.config.task.primary_metric.name
    title = f"{run.row['model']} on {run.row['task']}, {run.row['run_id']}"
    load = f"load: {ExternalLoad.text(found.others)}"
    about = [
        f"times: {conditions}; speeds are relative to {EAGER}; the fastest form is bold: by p50 "
        "at batch 1, by throughput at larger batches",
        f"{load}: these times are not reliable" if found.is_busy else load,
    ]
    rows = [
        [
            form.name,
            four_digits(form.mib),
            "" if form.difference is None else f"{form.difference:.1e}",
            f"{form.score:.6g}",
        ]
        for form in found.forms
    ]
    header = ["form", "file\nMiB", "largest\ndifference", f"validation\n{metric}"]
    files = TextTable(header, rows, frozenset({0}))
    return [
        Section(title, [f"data: {run.row['dataset']}"], files, [], []),
        Section("", about, times_table(found.forms), conclusions(run, found), []),
    ]


def times_table(forms: Sequence[Form]) -> TextTable:
    """Return latency and throughput of every form at every batch size; the fastest is bold."""
    header = ["batch", "form", "p50\nms", "p95\nms", "speed\nby p50"]
    header += ["sequences\nper s", "tokens\nper s", "speed by\nthroughput"]
    rows: list[list[str]] = []
    bold = set()
    for size in BATCH_SIZES:
        first = forms[0].speeds[size]
        bold.add(len(rows) + forms.index(fastest(forms, size)))
        for form in forms:
            speed = form.speeds[size]
            rows.append(
                [
                    str(size),
                    form.name,
                    four_digits(speed.latency_ms_p50),
                    four_digits(speed.latency_ms_p95),
                    f"{first.latency_ms_p50 / speed.latency_ms_p50:.2f}x",
                    f"{speed.sequences_per_second:,.0f}",
                    f"{speed.tokens_per_second:,.0f}",
                    f"{speed.sequences_per_second / first.sequences_per_second:.2f}x",
                ]
            )
    return TextTable(header, rows, frozenset({1}), frozenset(bold))


def four_digits(number: float) -> str:
    """Format a time or a size with four significant digits, without rounding whole numbers."""
    return f"{number:,.0f}" if number >= 1000 else f"{number:#.4g}"


def fastest(forms: Sequence[Form], batch_size: int) -> Form:
    """Return the form with the lowest latency at batch 1, or the highest throughput above."""
    first = forms[0].speeds[batch_size]
    return max(forms, key=lambda form: speedup(form.speeds[batch_size], first, batch_size))


def conclusions(run: FinishedRun, found: Measurement) -> list[str]:
    """Return statements about the fastest forms and about the int8 form."""
    mark = " (busy machine)" if found.is_busy else ""
    lines = [fastest_text(found.forms, n) + mark for n in (BATCH_SIZES[0], BATCH_SIZES[-1])]
    by_name = {form.name: form for form in found.forms}
    if int8_name(run) in by_name:
        float32, int8 = by_name[RUNTIME], by_name[int8_name(run)]
        lines += int8_texts(float32, int8, run.config.task.primary_metric, is_lstm(run), mark)
    return lines


def fastest_text(forms: Sequence[Form], batch_size: int) -> str:
    """Return the fastest form at a batch size, and its speed relative to the first form."""
    best = fastest(forms, batch_size)
    speed = best.speeds[batch_size]
    batch, amount = "one sequence", f"{four_digits(speed.latency_ms_p50)} ms (p50)"
    if batch_size > 1:
        batch = f"{batch_size} sequences at once"
        amount = f"{speed.sequences_per_second:,.0f} sequences/s"
    line = f"{batch}: {best.name} is fastest, {amount}"
    if best is forms[0]:
        return line
    times = speedup(speed, forms[0].speeds[batch_size], batch_size)
    return f"{line}, {times:.2f} times as fast as {EAGER}"


def int8_texts(
    float32: Form, int8: Form, metric: Metric, is_lstm: bool, mark: str = ""
) -> list[str]:
    """Return size, times (with suffix `mark`) and score of the int8 form relative to float32."""
    change = int8.score - float32.score
    is_better = (change > 0) == metric.higher_is_better
    by = f"{'better' if is_better else 'worse'} by {abs(change):.3g}" if change else "unchanged"
    sizes = (BATCH_SIZES[0], BATCH_SIZES[-1])
    one, many = (1 / speedup(int8.speeds[n], float32.speeds[n], n) for n in sizes)
    times = f"{one:.2f} of the p50 of one sequence and {many:.2f} of the time of {BATCH_SIZES[-1]}"
    line = (
        f"int8: {int8.mib / float32.mib:.2f} of the file ({four_digits(float32.mib)} to "
        f"{four_digits(int8.mib)} MiB), {times}{mark}; validation {metric.name} "
        f"{float32.score:.6g} to {int8.score:.6g}, {by}"
    )
    if is_lstm:
        return [
            line,
            "int8 arithmetic: weights of 7 bits, so integer sums do not saturate on x86 CPUs with "
            "or without VNNI (checked)",
            "int8 results may differ in the last digits between CPUs, batch sizes and numbers of "
            "threads; other CPUs than x86 were not checked",
        ]
    return [f"{line}; its arithmetic is float32: ONNX Runtime has int8 arithmetic only for LSTMs"]


def as_csv(run: FinishedRun, found: Measurement, device: str, threads: int) -> str:
    """Return the measurements as CSV, one line for each form and batch size."""
    records = [
        {
            "run_id": run.row["run_id"],
            "task": run.row["task"],
            "model": run.row["model"],
            "form": form.name,
            "device": device,
            "threads": threads,
            "batch_size": size,
            **asdict(speed),
            "others_cores": found.others,
            "busy_machine": found.is_busy,
            "file_mib": form.mib,
            "largest_difference": form.difference,
            "metric": run.config.task.primary_metric.name,
            "val_score": form.score,
        }
        for form in found.forms
        for size, speed in form.speeds.items()
    ]
    return csv_text([records[0], *(record.values() for record in records)])
