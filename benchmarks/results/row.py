"""The row of a run: one column per field."""

from __future__ import annotations

import dataclasses
import typing
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

SCHEMA_VERSION = 1
"""Goes up when a column changes its meaning; added columns leave it as it is."""


class Status(StrEnum):
    """How a run ended."""

    OK = "ok"
    FAILED = "failed"
    DIVERGED = "diverged"
    OUT_OF_MEMORY = "out_of_memory"
    TIMEOUT = "timeout"
    INTERRUPTED = "interrupted"

    @property
    def is_failure(self) -> bool:
        """True if the run ended without a result for another reason than an interruption."""
        return self not in (Status.OK, Status.INTERRUPTED)

    @property
    def is_resumable(self) -> bool:
        """True if the run was ended from outside and can be resumed."""
        return self in (Status.INTERRUPTED, Status.TIMEOUT)


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
    status: Status = field(
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
    baseline: str | None = column(
        "naive (the reference of the skill), simple or classical; empty for a net"
    )
    seed: int | None = column(
        "of initialisation, dropout and data order; empty where chance has no part"
    )
    bidirectional: bool | None = column("whether a second set of layers reads backwards")
    num_layers: int | None = column("stacked layers")
    hidden_size: int | None = column("per layer and direction", "units")
    dropout: float | None = column("between layers and at the output", "probability")
    learning_rate: float | None = column("peak, the model's factor included")
    batch_size: int | None = column("per training step", "sequences")
    parameters: int | None = column("trainable, in all")
    encoder_parameters: int | None = column("trainable, in the recurrent encoder alone")
    match: str | None = column("what arms are given alike: hidden, parameters, flops or time")
    match_budget: float | None = column(
        "of it: encoder parameters, FLOPs per token or training seconds; empty for hidden"
    )

    dataset: str | None = column("what data the run saw and where it came from")
    dataset_sha256: str | None = column("hash of the data's content")
    split: str | None = column("how train, validation and test were made")
    data_unit: str | None = column("what the sizes count")
    train_size: int | None = column("training part", "data_unit")
    validation_size: int | None = column("validation part", "data_unit")
    test_size: int | None = column("test part", "data_unit")

    metric: str | None = column("the column the scores are of")
    higher_is_better: bool | None = column("direction of the metric")
    perfect_score: float | None = column("what the metric is at best", "the metric's")
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

    volatility_rmse: float | None = column("RMSE of the absolute log return on test", "percent")
    volatility_rmse_naive: float | None = column(
        "the same for always saying training's mean absolute return", "percent"
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
    kernel: str | None = column(
        "what computed the recurrence: torch, PyTorch's own cells, or fused, rnnbench's loop"
    )
    peak_gflops: float | None = column(
        "fastest matrix products seen so far on this device at this precision and number of "
        "threads; it rises with what the cache remembers, so rows of one machine may differ by "
        "some 10 %",
        "10^9/s",
    )
    model_flops_utilisation: float | None = column(
        "operations per second of training / peak: 3 x those of the forward matrix products per "
        "token, the task's own included, x tokens_per_second / peak_gflops",
        "share",
    )
    trained_together: int | None = column(
        "seeds that were trained in one pass, this one among them; as clock and process were not "
        "its own, such a run has no train_seconds, time_to_best_seconds, tokens_per_second, "
        "total_seconds, peak_rss_mib, peak_gflops or model_flops_utilisation"
    )
    starts: int | None = column("times the run was begun; above 1, it was interrupted and went on")
    concurrent_runs: int | None = column(
        "most runs on this machine at once, this one among them: above 1, doubt the times"
    )
    load_average: float | None = column(
        "load over the last minute as training ended; half above `threads` or more, doubt the times"
    )

    device: str | None = column("cpu, cuda:N or mps")
    device_name: str | None = column("the processor or accelerator")
    dtype: str | None = column("of the arithmetic")
    precision: str | None = column(
        "of a net's matrix products: highest, the dtype's own, tf32 or bfloat16"
    )
    threads: int | None = column("CPU threads of the arithmetic")
    deterministic: bool | None = column("whether only deterministic algorithms were allowed")
    python_version: str | None = column("Python")
    torch_version: str | None = column("PyTorch")
    rnnbench_version: str | None = column("rnnbench")
    git_commit: str | None = column("of rnnbench's checkout")
    git_dirty: bool | None = column("whether that had uncommitted changes")
    fingerprint: str | None = column("equal for runs that ask the same question, seed included")
    arm: str | None = column("equal for runs that differ in their seed alone")
    overrides: str | None = column("what the command line set beside model, task and seed")
    sweep: str | None = column("the sweep the run belongs to; its folder under sweeps/")
    study: str | None = column("the search the run is a trial of")
    trial: int | None = column("number of that trial, from 0")
    started_at: str | None = column("UTC, ISO 8601")

    def __post_init__(self) -> None:
        self.status = Status(self.status)


COLUMNS = [entry.name for entry in dataclasses.fields(Row)]


def kind_of(hint: Any) -> type:
    """Return the type of a column's values: str, int, float or bool."""
    kinds: tuple[type, ...] = typing.get_args(hint) or (hint,)
    return str if issubclass(kinds[0], str) else kinds[0]


KINDS = {name: kind_of(hint) for name, hint in typing.get_type_hints(Row).items()}
