"""What a trained network costs to use: scores and speeds of every form of it, and in words."""

from __future__ import annotations

import csv
import io
import math
import os
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import nn

from benchmarks.errors import UserError
from benchmarks.export.exporter import INT8, MIB, ONNX, PROGRAM, Exports, on_device
from benchmarks.export.timing import (
    BATCH_SIZES,
    Speed,
    by_p50,
    by_throughput,
    speeds,
    times_as_fast,
)
from benchmarks.reporting.renderers import Section, TextTable
from benchmarks.runner.load_run import FinishedRun
from benchmarks.system.load import ExternalLoad
from benchmarks.training.evaluation import evaluate
from tasks.base import Metric

EAGER = "PyTorch"
FUSED = "PyTorch, fused"
BUSY = " (busy machine)"
"""Behind what is said of times while other work took part of the machine."""

SAME_SCORE = 0.02
"""Part by which a score may differ from the row's: another machine rounds differently."""


@dataclass(frozen=True)
class Form:
    """A trained network in one form, measured.

    Attributes:
        name: of the runtime.
        mib: size of its file.
        difference: largest, from the network, where it was proved equal to it.
        score: the task's metric on the validation split.
        speeds: by batch size.
    """

    name: str
    mib: float
    difference: float | None
    score: float
    speeds: dict[int, Speed]


@dataclass(frozen=True)
class Measurement:
    """All forms of a network, and what else the machine did while they were timed.

    Attributes:
        forms: the first is the one that others are compared with.
        others: cores that other work kept busy.
        is_busy: whether that is enough to doubt the times.
    """

    forms: list[Form]
    others: float
    is_busy: bool


def measured(
    run: FinishedRun, exports: Exports, device: torch.device, seconds: float
) -> Measurement:
    """Score and time every form that runs on a device.

    Args:
        run: whose network.
        exports: its files.
        device: cpu, or cuda for PyTorch's own forms.
        seconds: of each form at each batch size.

    Raises:
        UserError: the network's score is not that of its row: it is not the network that was.
    """
    weights = run.folder.weights
    files = {EAGER: weights.name, "torch.export": PROGRAM, "ONNX Runtime": ONNX}
    forms: dict[str, nn.Module] = {EAGER: run.network("torch")[0].to(device)}
    run.task.to(device, torch.float32)
    if device.type == "cpu":
        fused, encoder = run.network("fused")
        run_once(fused, run)
        if encoder.kernel == "fused":
            forms[FUSED], files[FUSED] = fused, weights.name
        files[int8_name(run)] = INT8
        names = ("torch.export", "ONNX Runtime", int8_name(run))
        forms |= {name: exports.networks[files[name]] for name in names}
    else:
        forms["torch.export"] = on_device(run, exports, device)
    scores = {name: score(run, network) for name, network in forms.items()}
    trained = run.row.get("val_score")
    if trained is not None and not math.isclose(scores[EAGER], trained, rel_tol=SAME_SCORE):
        raise UserError(
            f"{run.row['run_id']}: its network scores {scores[EAGER]:.6g} on validation, its row "
            f"says {trained:.6g}: code has changed since it was trained"
        )
    load = ExternalLoad()  # a load average would still speak of the minute before
    found = {size: speeds(forms, run.task, size, seconds, device) for size in BATCH_SIZES}
    others, is_busy = load.cores(), load.is_busy()
    sizes = {weights.name: weights.stat().st_size / MIB}
    sizes |= {name: exports.mib(name) for name in (ONNX, INT8, PROGRAM)}
    answers = [
        Form(
            name,
            sizes[files[name]],
            exports.differences.get(files[name]),
            scores[name],
            {size: found[size][name] for size in BATCH_SIZES},
        )
        for name in forms
    ]
    return Measurement(answers, others, is_busy)


@torch.inference_mode()
def run_once(network: nn.Module, run: FinishedRun) -> None:
    """Run a network on one sequence, after which its encoder knows its kernel."""
    for batch in run.task.single_sequences(1):
        network(batch.inputs, batch.lengths, None)


def score(run: FinishedRun, network: nn.Module) -> float:
    """Evaluate a network on the validation split, as training did; the test split stays unread."""
    train, metric = run.config.train, run.config.task.metric
    bound = train.max_evaluation_batches
    metrics = evaluate(network, run.task, "validation", train.evaluation_batch_size, bound)
    return metrics[metric.name]


def is_lstm(run: FinishedRun) -> bool:
    """Whether int8 means the arithmetic too: ONNX Runtime has no other int8 recurrence."""
    return getattr(run.config.model, "cell", "") == "lstm"


def int8_name(run: FinishedRun) -> str:
    """Name the int8 form by what of it is int8."""
    return "ONNX Runtime, int8" if is_lstm(run) else "ONNX Runtime, int8 weights"


def sections(run: FinishedRun, found: Measurement, where: str) -> list[Section]:
    """What was measured, as tables for people, and the verdict."""
    metric, forms = run.config.task.metric, found.forms
    files = TextTable(
        ["form", "file\nMiB", "largest\ndifference", f"validation\n{metric.name}"],
        [
            [
                form.name,
                four_digits(form.mib),
                "" if form.difference is None else f"{form.difference:.1e}",
                f"{form.score:.6g}",
            ]
            for form in forms
        ],
        frozenset({0}),
    )
    header = ["batch", "form", "p50\nms", "p95\nms", "speed\nby p50"]
    header += ["sequences\nper s", "tokens\nper s", "speed by\nthroughput"]
    rows: list[list[str]] = []
    strong = set()
    for size in BATCH_SIZES:
        best = fastest(forms, size)
        for form in forms:
            speed = form.speeds[size]
            if form is best:
                strong.add(len(rows))
            rows.append(
                [
                    str(size),
                    form.name,
                    four_digits(speed.p50_ms),
                    four_digits(speed.p95_ms),
                    f"{by_p50(speed, forms[0].speeds[size]):.2f}x",
                    f"{speed.sequences_per_second:,.0f}",
                    f"{speed.tokens_per_second:,.0f}",
                    f"{by_throughput(speed, forms[0].speeds[size]):.2f}x",
                ]
            )
    title = f"{run.row['model']} on {run.row['task']}, {run.row['run_id']}"
    times = TextTable(header, rows, frozenset({1}), frozenset(strong))
    load = f"load: others kept {found.others:.2f} of {os.cpu_count()} cores busy"
    about = [
        f"times: {where}; speeds are relative to {EAGER}; the fastest is bold, of one sequence by "
        "p50, of more by throughput",
        f"{load}: do not trust these times" if found.is_busy else load,
    ]
    return [
        Section(title, [f"data: {run.row['dataset']}"], files, [], []),
        Section("", about, times, verdict(run, found, metric), []),
    ]


def four_digits(number: float) -> str:
    """Write a time or a size with four digits, or as many as it has before the point."""
    return f"{number:,.0f}" if number >= 1000 else f"{number:#.4g}"


def fastest(forms: Sequence[Form], batch_size: int) -> Form:
    """The form with the lowest latency of one sequence, or the highest throughput of more."""
    first = forms[0].speeds[batch_size]
    return max(forms, key=lambda form: times_as_fast(form.speeds[batch_size], first, batch_size))


def verdict(run: FinishedRun, found: Measurement, metric: Metric) -> list[str]:
    """Say what is fastest, and what int8 costs and saves; with every time whether to doubt it."""
    mark = BUSY if found.is_busy else ""
    lines = [fastest_verdict(found.forms, n) + mark for n in (BATCH_SIZES[0], BATCH_SIZES[-1])]
    by_name = {form.name: form for form in found.forms}
    if int8_name(run) in by_name:
        whole, int8 = by_name["ONNX Runtime"], by_name[int8_name(run)]
        lines.append(int8_verdict(whole, int8, metric, is_lstm(run), mark))
    return lines


def fastest_verdict(forms: Sequence[Form], batch_size: int) -> str:
    """Say which form is fastest at a batch size, and by how much beside the first."""
    best = fastest(forms, batch_size)
    speed = best.speeds[batch_size]
    words, amount = "one sequence", f"{four_digits(speed.p50_ms)} ms (p50)"
    if batch_size > 1:
        words = f"{batch_size} sequences at once"
        amount = f"{speed.sequences_per_second:,.0f} sequences/s"
    line = f"{words}: {best.name} is fastest, {amount}"
    if best is forms[0]:
        return line
    times = times_as_fast(speed, forms[0].speeds[batch_size], batch_size)
    return f"{line}, {times:.2f} times as fast as {EAGER}"


def int8_verdict(whole: Form, int8: Form, metric: Metric, is_lstm: bool, mark: str = "") -> str:
    """Say what int8 saves beside float32 in the same runtime, and what it costs.

    Args:
        whole: the float32 form.
        int8: the other.
        metric: of their scores.
        is_lstm: whether its arithmetic is int8 too.
        mark: of the times.
    """
    change = int8.score - whole.score
    is_better = (change > 0) == metric.higher_is_better
    by = f"{'better' if is_better else 'worse'} by {abs(change):.3g}" if change else "unchanged"
    sizes = (BATCH_SIZES[0], BATCH_SIZES[-1])
    one, many = (1 / times_as_fast(int8.speeds[n], whole.speeds[n], n) for n in sizes)
    times = f"{one:.2f} of the p50 of one sequence and {many:.2f} of the time of {BATCH_SIZES[-1]}"
    line = (
        f"int8: {int8.mib / whole.mib:.2f} of the file ({four_digits(whole.mib)} to "
        f"{four_digits(int8.mib)} MiB), {times}{mark}; validation {metric.name} "
        f"{whole.score:.6g} to {int8.score:.6g}, {by}"
    )
    if is_lstm:
        return f"{line}; its integer sums do not saturate on CPUs without VNNI"
    return f"{line}; its arithmetic is float32: ONNX Runtime has no int8 recurrence but the LSTM's"


def as_csv(run: FinishedRun, found: Measurement, device: str, threads: int) -> str:
    """What was measured as a table, a line for each form and batch size."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(
        [
            *("run_id", "task", "model", "form", "device", "threads", "batch_size", "calls"),
            *("latency_ms_p50", "latency_ms_p95", "sequences_per_second", "tokens_per_second"),
            *("others_cores", "busy_machine"),
            *("file_mib", "largest_difference", "metric", "val_score"),
        ]
    )
    row = run.row
    for form in found.forms:
        for size, speed in form.speeds.items():
            writer.writerow(
                [
                    *(row["run_id"], row["task"], row["model"], form.name, device, threads),
                    *(size, speed.calls, speed.p50_ms, speed.p95_ms),
                    *(speed.sequences_per_second, speed.tokens_per_second),
                    *(found.others, found.is_busy, form.mib),
                    *("" if form.difference is None else form.difference,),
                    *(run.config.task.metric.name, form.score),
                ]
            )
    return text.getvalue()
