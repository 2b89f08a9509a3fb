"""The row of a run: one column per field, with the facts that other lists are derived from."""

from __future__ import annotations

import dataclasses
import typing
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, Literal

SCHEMA_VERSION = 1  # incremented when a column changes its meaning, not for a new column

LOSS_UNIT = "nats, or squared standard deviations"

METRIC_UNIT = "the metric's"
SERIES_UNIT = "unit of the series"

Section = Literal["score", "time", "memory", "model", "training", "machine"]
SECTIONS: tuple[Section, ...] = typing.get_args(Section)


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


FAILURES = frozenset(status for status in Status if status.is_failure)


@dataclass(frozen=True)
class Column:
    """Facts about a column. A `setting` distinguishes arms; an `exact` value follows from settings.

    Rows of a table, task, model or group must be equal in a column that is `comparable` within it;
    differences in a `noted` column are reported.
    """

    help: str
    unit: str = ""
    section: Section | None = None
    better: Literal["higher", "lower"] | None = None
    kind: Literal["setting", "exact"] | None = None
    comparable: Literal["table", "task", "model", "group", "noted"] | None = None


def column(help: str, unit: str = "", **facts: Any) -> Any:
    """Declare a column that is empty where it does not apply; see `Column` for the arguments."""
    return field(default=None, metadata={"column": Column(help, unit, **facts)})


SCORE = {"section": "score"}
ERROR = {"section": "score", "better": "lower"}
SHARE_RIGHT = {"section": "score", "better": "higher"}
TIME = {"section": "time", "better": "lower"}
SPEED = {"section": "time", "better": "higher"}
MEMORY = {"section": "memory", "better": "lower"}
SIZE = {"section": "model", "better": "lower", "kind": "exact"}
ARCHITECTURE = {"section": "model", "kind": "setting"}
SETTING = {"kind": "setting"}
TRAINING = {"section": "training"}
MACHINE = {"section": "machine"}


@dataclass
class Row:
    """One run, one line of the results table. A value that does not apply is empty, never 0."""

    run_id: str = field(
        metadata={"column": Column("identifier, sorts by start time; folder name under runs/")}
    )
    status: Status = field(metadata={"column": Column(" or ".join(Status))})
    error: str | None = column("class and message of the exception, if status is not ok")
    schema_version: int | None = column("version of the columns' meaning", comparable="table")
    smoke: bool | None = column("smoke test, ignored by comparisons", comparable="table")

    task: str | None = column("name of the task")
    task_version: int | None = column("incremented when scores change", comparable="task")
    model: str | None = column("name of the model")
    model_version: int | None = column("incremented when scores change", comparable="model")
    baseline: str | None = column(
        "naive (reference of the skill), simple or classical; empty for a network"
    )
    seed: int | None = column("empty for deterministic baselines", **TRAINING)
    init_seed: int | None = column("train.init_seed: of the initial weights", **TRAINING)
    order_seed: int | None = column("train.order_seed: of batch order and dropout", **TRAINING)
    recipe: str | None = column(
        "default or strong: where the settings come from that `overrides` does not contain",
        **SETTING,
    )
    bidirectional: bool | None = column("a second stack reads backwards", **SETTING)
    num_layers: int | None = column("stacked layers", **ARCHITECTURE)
    hidden_size: int | None = column("per layer and direction", "units", **ARCHITECTURE)
    dropout: float | None = column("between layers, before the output", "probability", **SETTING)
    learning_rate: float | None = column("peak, with the model's factor", **TRAINING, **SETTING)
    batch_size: int | None = column("per training step", "sequences", **TRAINING, **SETTING)
    parameters: int | None = column("all trainable parameters", **SIZE)
    encoder_parameters: int | None = column("trainable parameters of the recurrent encoder", **SIZE)
    match: str | None = column("shared budget: hidden, parameters, flops or time", **SETTING)
    match_budget: float | None = column("encoder parameters, FLOPs per token or seconds", **SETTING)

    dataset: str | None = column("name and origin of the data")
    dataset_sha256: str | None = column("hash of the data's content", comparable="task")
    split: str | None = column("how train, validation and test were split", comparable="task")
    split_seed: int | None = column(
        "seed of a random split; empty for the default one and where a split is not random"
    )
    pretrain_sha256: str | None = column("hash of the token ids that train.pretrain trained on")
    track: str | None = column(
        "dynamic if the evaluation updates the weights (scripts/dynamic_evaluation.py); empty for "
        "static evaluation",
        comparable="group",
    )
    data_unit: str | None = column("the unit of the sizes")
    train_size: int | None = column("training split", "data_unit", comparable="group")
    validation_size: int | None = column("validation split", "data_unit", comparable="group")
    test_size: int | None = column("test split", "data_unit", comparable="group")

    tokenization: str | None = column("how text becomes tokens; share of unknown ones on test")
    vocabulary: int | None = column(
        "tokens from which a language model chooses", "tokens", comparable="group"
    )
    test_in_train: int | None = column(
        "test items whose content is in training or validation too", "data_unit"
    )

    metric: str | None = column("name of the column that holds the scores")
    metric_unit: str | None = column("unit of the metric")
    higher_is_better: bool | None = column("direction of the metric")
    perfect_score: float | None = column("best possible value of the metric", METRIC_UNIT)
    margin: str | None = column("smallest difference worth a decision, may be in per cent")
    val_score: float | None = column("metric on validation at the best epoch", METRIC_UNIT, **SCORE)
    test_score: float | None = column("metric on test at the best epoch", METRIC_UNIT, **SCORE)
    val_loss: float | None = column("mean loss on validation at the best epoch", LOSS_UNIT, **ERROR)
    test_loss: float | None = column("mean loss on test at the best epoch", LOSS_UNIT, **ERROR)
    accuracy: float | None = column("correct answers on test", "share", **SHARE_RIGHT)
    macro_f1: float | None = column("mean F1 of the classes on test", "share", **SHARE_RIGHT)
    log_loss: float | None = column("mean cross-entropy on test", "nats", **ERROR)
    auroc: float | None = column("area under the ROC curve on test", "share", **SHARE_RIGHT)
    calibration_error: float | None = column(
        "mean gap between confidence and accuracy on test, 15 bins", "share", **ERROR
    )
    perplexity: float | None = column(
        "exp of the mean nats on test", "per token of the level", **ERROR
    )
    bits_per_character: float | None = column(
        "nats / ln 2 / characters of the predicted test text; a lower bound if words are unknown",
        "bits",
        **ERROR,
    )
    rmse: float | None = column("root mean squared error on test", SERIES_UNIT, **ERROR)
    rmse_naive: float | None = column("RMSE of the last value, same items", SERIES_UNIT, **SCORE)
    rmse_over_naive: float | None = column("rmse / rmse_naive", **ERROR)
    rmse_over_seasonal_naive: float | None = column(
        "rmse / RMSE of the value one season before, same items", **ERROR
    )
    mae: float | None = column("mean absolute error on test", SERIES_UNIT, **ERROR)
    mase: float | None = column(
        "MAE / that of the value one season before (without a season, of the last value) in the "
        "training split",
        **ERROR,
    )
    smape: float | None = column(
        "mean of 2 |error| / (|actual| + |forecast|) on test", "percent", **ERROR
    )
    direction_accuracy: float | None = column("days with correct direction", "share", **SHARE_RIGHT)
    direction_base_rate: float | None = column(
        "direction accuracy of always predicting the more frequent direction of training",
        "share",
        **SCORE,
    )

    volatility_rmse: float | None = column("RMSE of absolute log returns", "percent", **ERROR)
    volatility_rmse_naive: float | None = column("RMSE of the training mean", "percent", **SCORE)

    other_metrics: str | None = column("test metrics without a column, as JSON", **SCORE)

    epochs: int | None = column("passes over training; the last may be partial", **TRAINING)
    stopped_by: str | None = column("epochs, patience, steps or seconds", **TRAINING)
    best_epoch: int | None = column("epoch of the tested weights, from 1", **TRAINING)
    undertrained: bool | None = column(
        "a limit of epochs, steps or seconds ended the run at its best epoch, or train.max_seconds "
        "ended it at any",
        **TRAINING,
    )
    steps: int | None = column("optimiser steps", **TRAINING)
    train_tokens: int | None = column("valid time steps trained on, over all epochs", "tokens")
    train_seconds: float | None = column(
        "training steps only, without warm-up; with those of train.pretrain", "s", **TIME
    )
    pretrain_seconds: float | None = column(
        "of train_seconds and time_to_best_seconds, the part of train.pretrain", "s", **TIME
    )
    eval_seconds: float | None = column("all evaluations, including test", "s", **TIME)
    prepare_seconds: float | None = column("reading and preparing the data", "s", **TIME)
    total_seconds: float | None = column("the whole run, from its start to its row", "s", **TIME)
    time_to_best_seconds: float | None = column("training time up to the best epoch", "s", **TIME)
    tokens_per_second: float | None = column(
        "train_tokens / train_seconds, without train.pretrain", "1/s", **SPEED
    )
    energy_joules: float | None = column(
        "of the machine during train_seconds: processor packages (RAPL) and the CUDA device "
        "(NVML); empty where their counters cannot be read",
        "J",
        **TIME,
    )
    latency_ms_p50: float | None = column("median for a single sequence", "ms", **TIME)
    latency_ms_p95: float | None = column("95th percentile for a single sequence", "ms", **TIME)
    step_ms_100: float | None = column(
        "measure.streaming: median per step of the encoder, with the state after 100 steps",
        "ms",
        **TIME,
    )
    step_ms_1k: float | None = column("the same after 1,000 steps", "ms", **TIME)
    step_ms_10k: float | None = column("the same after 10,000 steps", "ms", **TIME)
    state_bytes: int | None = column(
        "measure.streaming: state of one sequence after 10,000 steps", "bytes", **MEMORY
    )
    peak_memory_mib: float | None = column("tensors of the largest training step", "MiB", **MEMORY)
    peak_rss_mib: float | None = column("maximum resident size of the process", "MiB", **MEMORY)
    flops_per_token: int | None = column("encoder's forward pass, 2 per multiply-add", **SIZE)
    kernel: str | None = column("torch (PyTorch) or fused (rnnbench)", section="model")
    peak_gflops: float | None = column(
        "fastest matrix products measured so far with this device, precision and threads; rises "
        "when a faster measurement is cached, so rows of one machine may differ by about 10 %",
        "10^9/s",
        **MACHINE,
    )
    model_flops_utilisation: float | None = column(
        "operations per second of training / peak: 3 x the forward matrix products per token, "
        "including the task's layers, x tokens_per_second / peak_gflops",
        "share",
        **SPEED,
    )
    trained_together: int | None = column(
        "seeds of the same multi-seed run; they share clock and process, so train_seconds, "
        "time_to_best_seconds, tokens_per_second, total_seconds, peak_rss_mib, peak_gflops and "
        "model_flops_utilisation are empty"
    )
    starts: int | None = column("above 1, the run was interrupted and resumed", **TRAINING)
    concurrent_runs: int | None = column(
        "most runs on this machine at once; above 1, times are unreliable", **MACHINE
    )
    load_average: float | None = column(
        "after training; times are unreliable if it exceeds `threads` by more than 0.5", **MACHINE
    )

    device: str | None = column("cpu, cuda:N or mps", **MACHINE)
    device_name: str | None = column("the processor or accelerator", **MACHINE, comparable="noted")
    dtype: str | None = column("data type of the arithmetic", **MACHINE)
    precision: str | None = column("highest (of the dtype), tf32 or bfloat16", **MACHINE, **SETTING)
    threads: int | None = column("CPU threads of the arithmetic", **MACHINE)
    deterministic: bool | None = column("only deterministic algorithms were allowed")
    python_version: str | None = column("version of Python")
    torch_version: str | None = column("version of PyTorch", **MACHINE, comparable="noted")
    rnnbench_version: str | None = column("version of rnnbench", comparable="noted")
    git_commit: str | None = column("commit of rnnbench's checkout", comparable="noted")
    git_dirty: bool | None = column("the checkout had uncommitted changes", comparable="noted")
    source_sha256: str | None = column(
        "hash of the code of the model, and of that of task and training, without comments"
    )
    fingerprint: str | None = column("equal for runs of one configuration, seed included")
    arm: str | None = column("equal for runs that differ only in their seed")
    overrides: str | None = column("command line overrides other than model, task and seed")
    sweep: str | None = column("the sweep of the run; its folder under sweeps/")
    study: str | None = column("the search that the run is a trial of")
    trial: int | None = column("number of the trial, from 0")
    members: str | None = column(
        "run ids of the members of an ensemble, which run one after the other: parameters, "
        "flops_per_token, train_tokens, train_seconds and latency are their sums; or of the run "
        "that is evaluated on another track"
    )
    started_at: str | None = column("UTC, ISO 8601")

    def __post_init__(self) -> None:
        self.status = Status(self.status)


FACTS: dict[str, Column] = {
    entry.name: entry.metadata["column"] for entry in dataclasses.fields(Row)
}
COLUMNS = [*FACTS]
KINDS: dict[str, type] = {
    name: next(iter(typing.get_args(hint)), str)  # run_id and status are not optional
    for name, hint in typing.get_type_hints(Row).items()
}


def columns_where(**facts: Any) -> tuple[str, ...]:
    """Return the columns with a value, or one of several, for each given attribute of `Column`."""
    allowed = {key: value if isinstance(value, tuple) else (value,) for key, value in facts.items()}
    return tuple(
        name
        for name, column in FACTS.items()
        if all(getattr(column, key) in values for key, values in allowed.items())
    )
