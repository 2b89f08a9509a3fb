"""The row a run leaves and the store that keeps it."""

from __future__ import annotations

import csv
import dataclasses
import io
import json
import os
import re
import secrets
import tempfile
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from benchmarks.errors import UserError

SCHEMA_VERSION = 1
"""Goes up when a column changes its meaning; added columns leave it as it is."""

LOCK_SECONDS = 30.0

LOSS_UNIT = "nats, or squared standard deviations"


def column(help: str, unit: str = "") -> Any:
    """Declare a column that is empty where it does not apply."""
    return field(default=None, metadata={"help": help, "unit": unit})


@dataclass
class Row:
    """One run, one line of the results table. What does not apply is empty, never 0."""

    run_id: str = field(
        metadata={"help": "sorts by start time; the folder under runs/", "unit": ""}
    )
    status: str = field(
        metadata={
            "help": "ok, failed, diverged, out_of_memory, timeout or interrupted",
            "unit": "",
        }
    )
    error: str | None = column("class and message of what ended the run, if not ok")
    schema_version: int | None = column("version of the columns' meaning")
    smoke: bool | None = column("a smoke test: no comparison counts it")

    task: str | None = column("name of the task")
    task_version: int | None = column("rows of different versions are not comparable")
    model: str | None = column("name of the model")
    model_version: int | None = column("rows of different versions are not comparable")
    seed: int | None = column("of initialisation, dropout and data order")
    bidirectional: bool | None = column("whether a second set of layers reads backwards")
    num_layers: int | None = column("stacked layers")
    hidden_size: int | None = column("per layer and direction", "units")
    dropout: float | None = column("between layers and at the output", "probability")
    learning_rate: float | None = column("peak, the model's factor included")
    batch_size: int | None = column("per training step", "sequences")
    parameters: int | None = column("trainable, in all")
    encoder_parameters: int | None = column("trainable, in the recurrent encoder alone")

    dataset: str | None = column("what data the run saw and where it came from")
    dataset_sha256: str | None = column("hash of the data's content")
    split: str | None = column("how train, validation and test were made")
    data_unit: str | None = column("what the sizes count")
    train_size: int | None = column("training part", "data_unit")
    validation_size: int | None = column("validation part", "data_unit")
    test_size: int | None = column("test part", "data_unit")

    metric: str | None = column("the column the scores are of")
    higher_is_better: bool | None = column("direction of the metric")
    val_score: float | None = column("metric on validation at the best epoch", "the metric's")
    test_score: float | None = column("metric on test with those weights", "the metric's")
    val_loss: float | None = column("mean loss on validation at the best epoch", LOSS_UNIT)
    test_loss: float | None = column("mean loss on test with those weights", LOSS_UNIT)
    accuracy: float | None = column("right answers on test", "share")
    perplexity: float | None = column("exp of the mean nats on test", "per character")
    bits_per_character: float | None = column("mean nats / ln 2 on test", "bits")
    rmse: float | None = column("root mean squared error on test", "index points")
    rmse_naive: float | None = column("the random walk's RMSE on the same days", "index points")
    rmse_over_naive: float | None = column("rmse / rmse_naive")
    mae: float | None = column("mean absolute error on test", "index points")
    mase: float | None = column("MAE / mean absolute daily change of the training part")
    direction_accuracy: float | None = column("test days whose direction was right", "share")
    direction_base_rate: float | None = column(
        "the same for always saying training's more frequent direction", "share"
    )

    other_metrics: str | None = column("test metrics of the task that have no column, as JSON")

    epochs: int | None = column("passes over train, the last cut short if a bound ended training")
    stopped_by: str | None = column("what ended training: epochs, patience, steps or seconds")
    best_epoch: int | None = column("whose weights were tested, counted from 1")
    steps: int | None = column("optimiser steps")
    train_tokens: int | None = column("valid time steps trained on, all epochs", "tokens")
    train_seconds: float | None = column("training steps alone, warm-up outside", "s")
    eval_seconds: float | None = column("all evaluations, test included", "s")
    prepare_seconds: float | None = column("reading and preparing the data", "s")
    total_seconds: float | None = column("from start to row, everything included", "s")
    time_to_best_seconds: float | None = column("training time up to the best epoch", "s")
    tokens_per_second: float | None = column("train_tokens / train_seconds", "1/s")
    latency_ms_p50: float | None = column("median for one sequence alone, eval mode", "ms")
    latency_ms_p95: float | None = column("95th percentile of the same", "ms")
    peak_memory_mib: float | None = column("tensors alive in the largest training step", "MiB")
    peak_rss_mib: float | None = column("resident size of the process, at most", "MiB")
    flops_per_token: int | None = column(
        "matrix products of the encoder, forward, 2 per multiply-add"
    )
    load_average: float | None = column(
        "load over the last minute as training ended; above `threads`, doubt the times"
    )

    device: str | None = column("cpu, cuda:N or mps")
    device_name: str | None = column("the processor or accelerator")
    dtype: str | None = column("of the arithmetic")
    threads: int | None = column("CPU threads of the arithmetic")
    deterministic: bool | None = column("whether only deterministic algorithms were allowed")
    python_version: str | None = column("Python")
    torch_version: str | None = column("PyTorch")
    rnnbench_version: str | None = column("rnnbench")
    git_commit: str | None = column("of rnnbench's checkout")
    git_dirty: bool | None = column("whether that had uncommitted changes")
    fingerprint: str | None = column("equal for runs that ask the same question, seed included")
    started_at: str | None = column("UTC, ISO 8601")


COLUMNS = [entry.name for entry in dataclasses.fields(Row)]


def new_run_id(model: str, task: str, seed: int, now: datetime) -> str:
    """Return an id that sorts by start time in UTC and is never given twice."""
    moment = now.astimezone(UTC).strftime("%Y%m%dT%H%M%S.%fZ")
    return f"{moment}-{task}-{model}-s{seed}-{secrets.token_hex(3)}"


class Store:
    """A results folder: `runs/<run_id>/` with what each run leaves, `results.csv` as their view."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.table = directory / "results.csv"

    def check_writable(self) -> None:
        """Create the folder and write and remove a file in it.

        Raises:
            UserError: that cannot be done.
        """
        try:
            for folder in (self.directory, self.directory / "runs"):
                folder.mkdir(parents=True, exist_ok=True)
                with tempfile.TemporaryFile(dir=folder):
                    pass
            if self.table.exists() and not os.access(self.table, os.W_OK):
                raise PermissionError(0, "results.csv is read-only")
        except OSError as error:
            raise UserError(
                f"results_dir={self.directory}: cannot be written to ({error.strerror}); "
                f"choose another with results_dir=PATH"
            ) from error

    def run_folder(self, run_id: str) -> Path:
        """Create the folder of a new run."""
        folder = self.directory / "runs" / run_id
        folder.mkdir(parents=True)
        return folder

    def add(self, row: Row) -> None:
        """Keep a row: in its run's folder first, which is the truth, then in the table."""
        values = dataclasses.asdict(row)
        write_atomically(
            self.directory / "runs" / row.run_id / "row.json",
            json.dumps(values, indent=2, allow_nan=False) + "\n",
        )
        try:
            with FileLock(self.directory / ".results.lock", timeout=LOCK_SECONDS):
                append_to_table(self.table, values)
        except (OSError, ValueError, csv.Error, Timeout) as error:
            print(
                f"warning: {self.table} could not be written ({error}); "
                f"the row is kept in runs/{row.run_id}/row.json"
            )


def append_to_table(table: Path, values: dict[str, Any]) -> None:
    """Append a row; where the table's columns are not ours, give it the union of both.

    A table written by an older or newer version, or by hand, keeps every row and every column. A
    last line that a crash tore is moved to a file beside the table; its row is in its run's folder.
    """
    text = table.read_text(encoding="utf-8-sig") if table.exists() else ""
    whole, torn = split_torn(text)
    if torn:
        with table.with_name(f"{table.name}.torn").open("a", encoding="utf-8") as file:
            file.write(f"{torn}\n")
        print(f"warning: the torn last line of {table} was moved to {table.name}.torn")
    existing = next(csv.reader(io.StringIO(whole)), [])
    line = {name: as_text(value) for name, value in values.items()}
    if existing and set(line) <= set(existing) and whole == text:
        with table.open("a", encoding="utf-8", newline="") as file:
            file.write(csv_text([line], existing))
            file.flush()
            os.fsync(file.fileno())
        return
    rows = list(csv.DictReader(io.StringIO(whole)))
    columns = list(existing) + [name for name in line if name not in existing]
    heading = dict(zip(columns, columns, strict=True))
    write_atomically(table, csv_text([heading, *rows, line], columns))


def split_torn(text: str) -> tuple[str, str]:
    """Split a table into whole lines and what a crash left of the last; either may be empty.

    A last line with as many cells as the header and no open quote lacks only its end, and gets it.
    """
    if text.endswith("\n") and text.count('"') % 2 == 0:
        return text, ""
    end, in_quotes = 0, False
    for mark in re.finditer(r'["\n]', text):
        if mark[0] == '"':
            in_quotes = not in_quotes
        elif not in_quotes:
            end = mark.end()
    whole, rest = text[:end], text[end:]
    cells = next(csv.reader(io.StringIO(rest)), [])
    header = next(csv.reader(io.StringIO(whole)), cells)
    if not in_quotes and len(cells) == len(header):
        return f"{text}\n" if rest else text, ""
    return whole, rest


def csv_text(lines: list[dict[str, Any]], columns: list[str]) -> str:
    """Write lines as CSV under the given columns."""
    buffer = io.StringIO()
    writer = csv.DictWriter(buffer, columns, restval="", extrasaction="ignore", lineterminator="\n")
    writer.writerows(lines)
    return buffer.getvalue()


def as_text(value: Any) -> str:
    """Write a value as a cell: empty for None, true and false in lower case, floats in full."""
    if value is None:
        return ""
    if isinstance(value, bool):
        return "true" if value else "false"
    return repr(value) if isinstance(value, float) else str(value)


def write_atomically(path: Path, content: str | bytes) -> None:
    """Write a file so that it is there whole or not at all, also after a power cut."""
    handle, draft = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}-")
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(content.encode() if isinstance(content, str) else content)
            file.flush()
            os.fsync(file.fileno())
        umask = os.umask(0)
        os.umask(umask)
        Path(draft).chmod(0o666 & ~umask)
        Path(draft).replace(path)
    except BaseException:
        Path(draft).unlink(missing_ok=True)
        raise
