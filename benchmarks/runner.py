"""One run: seed, task, model, training, test, measurements, row."""

from __future__ import annotations

import csv
import dataclasses
import json
import os
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import torch
from omegaconf import OmegaConf
from safetensors.torch import save
from torch import nn

from benchmarks.cache import DiskCache, default_cache_directory
from benchmarks.config import Config, fingerprint
from benchmarks.display import TrainingDisplay, show_data, show_start
from benchmarks.environment import prepare_process, seed_torch, stream
from benchmarks.evaluation import NotFiniteError, evaluate, latencies_ms
from benchmarks.memory import (
    lasting_bytes,
    peak_of_step,
    peak_rss_mib,
    reset_peak_rss,
    tensor_bytes,
)
from benchmarks.results import (
    COLUMNS,
    SCHEMA_VERSION,
    Row,
    Store,
    new_run_id,
    write_atomically,
)
from benchmarks.training import Trainer, TrainingRecord, planned_steps
from models.modules.contract import Encoder
from tasks.base import DataDescription, Task


def run(config: Config, store: Store) -> Row:
    """Train and measure one pair and keep its row, whatever becomes of it.

    Raises:
        UserError: the device is not there; nothing was written.
        tasks.base.DataError: the data cannot be used; nothing was written.
        Exception: a bug. Its row has been kept as `failed` before it goes on.
    """
    started, started_at = time.perf_counter(), datetime.now(UTC)
    device, environment = prepare_process(config.train)
    reset_peak_rss()
    cache = DiskCache(Path(config.cache_dir) if config.cache_dir else default_cache_directory())
    task = config.task.load(cache)
    task.to(device, getattr(torch, config.train.dtype))
    prepare_seconds = time.perf_counter() - started
    show_start(config.model.label, config.task.name, config.seed, environment)
    show_data(task.data)
    row = Row(
        run_id=new_run_id(config.model.label, config.task.name, config.seed, started_at),
        status="failed",
        started_at=started_at.isoformat(timespec="milliseconds"),
        prepare_seconds=prepare_seconds,
        fingerprint=fingerprint(config, task.data, device.type),
        **question_columns(config),
        **data_columns(task.data),
        **dataclasses.asdict(environment),
    )
    folder = store.run_folder(row.run_id)
    # Task and model are what their schemas are; only a comment can name them.
    heading = f"# python run.py model={row.model} task={row.task}, with these settings\n"
    settings = OmegaConf.to_yaml(OmegaConf.structured(config))
    write_atomically(folder / "config.yaml", heading + settings)
    try:
        train_and_measure(config, task, device, row, folder)
        row.status = "ok"
    except (KeyboardInterrupt, Exception) as error:
        row.status, row.error = status_of(error), describe(error)
        if row.status == "failed":
            raise
    finally:
        row.total_seconds = time.perf_counter() - started
        store.add(row)
    return row


def train_and_measure(
    config: Config, task: Task, device: torch.device, row: Row, folder: Path
) -> None:
    """Fill the row and the folder; what is known when an exception ends it is already there."""
    network, encoder = build_network(config, task, device)
    row.parameters = count_parameters(network)
    row.encoder_parameters = count_parameters(encoder)
    row.flops_per_token = encoder.flops_per_token()
    assert row.learning_rate is not None
    display = TrainingDisplay(
        f"{row.model} on {row.task}",
        config.task.metric,
        planned_steps(task, config.train),
        config.train.max_epochs,
    )
    trainer = Trainer(
        network,
        task,
        config.task.metric,
        config.train,
        row.learning_rate,
        config.seed,
        device,
        display,
    )
    trainer.warm_up()
    seed_torch(config.seed, "dropout")
    try:
        with display:
            trainer.fit()
    finally:
        row.load_average = os.getloadavg()[0] if hasattr(os, "getloadavg") else None
        fill_from_training(row, trainer.record)
        write_history(folder / "history.csv", trainer.record.history)
        weights = trainer.record.best_weights
        if weights is not None:
            write_atomically(folder / "weights.safetensors", save(weights))
    assert weights is not None
    network.load_state_dict(weights)
    test(config, task, network, row, trainer)
    text = task.showcase(network, config.seed)
    if text is not None:
        write_atomically(folder / "sample.txt", text)
        print(f"--- sample ---\n{text}\n--- end of sample ---")
    latencies = latencies_ms(network, task, device)
    row.latency_ms_p50, row.latency_ms_p95 = np.percentile(latencies, [50, 95]).tolist()
    row.peak_rss_mib = peak_rss_mib()
    row.peak_memory_mib = measure_memory(trainer, device)


def build_network(config: Config, task: Task, device: torch.device) -> tuple[nn.Module, Encoder]:
    """Build the encoder and what the task puts around it, each from its own stream of chance.

    So the task's own layers begin alike for every model of one size.
    """
    seed_torch(config.seed, "encoder initialisation")
    encoder = config.model.build(task.input_size)
    seed_torch(config.seed, "task initialisation")
    network = task.network(encoder)
    return network.to(device, getattr(torch, config.train.dtype)), encoder


def test(config: Config, task: Task, network: nn.Module, row: Row, trainer: Trainer) -> None:
    """Read the test split, once, with the chosen weights."""
    clock = trainer.evaluation_clock
    with clock.running():
        metrics = evaluate(
            network,
            task,
            "test",
            config.train.evaluation_batch_size,
            config.train.max_evaluation_batches,
        )
    row.eval_seconds = clock.seconds
    row.test_score = metrics[config.task.metric.name]
    row.test_loss = metrics.pop("loss")
    others = {}
    for name, value in metrics.items():
        if name in COLUMNS:
            setattr(row, name, value)
        else:
            others[name] = value
    row.other_metrics = json.dumps(others) if others else None


def measure_memory(trainer: Trainer, device: torch.device) -> float | None:
    """Peak of one more training step, on the largest batch of the first epoch.

    It changes the weights, so it comes last.
    """
    order = stream(trainer.seed, "data order", 0)
    batch = max(
        trainer.task.batches("train", trainer.settings.batch_size, order),
        key=lambda candidate: candidate.inputs.numel(),
    )
    trainer.network.train()
    trainer.record.best_weights = None

    def step() -> None:
        trainer.forward_backward(batch, None)
        trainer.optimizer.step()

    lasting = lasting_bytes(trainer.network, trainer.optimizer)
    lasting += tensor_bytes(batch.inputs, batch.targets, batch.lengths)
    return peak_of_step(step, lasting, device)


def question_columns(config: Config) -> dict[str, Any]:
    """Columns that say what was asked."""
    model, train = config.model, config.train
    return {
        "schema_version": SCHEMA_VERSION,
        "smoke": config.smoke,
        "task": config.task.name,
        "task_version": config.task.version,
        "model": model.label,
        "model_version": model.version,
        "seed": config.seed,
        "bidirectional": model.bidirectional,
        "num_layers": model.num_layers,
        "hidden_size": model.hidden_size,
        "dropout": model.dropout,
        "learning_rate": train.learning_rate * model.learning_rate_factor,
        "batch_size": train.batch_size,
        "metric": config.task.metric.name,
        "higher_is_better": config.task.metric.higher_is_better,
    }


def data_columns(data: DataDescription) -> dict[str, Any]:
    """Columns that say what data the run saw."""
    return {
        "dataset": data.name,
        "dataset_sha256": data.sha256,
        "split": data.split,
        "data_unit": data.unit,
        "train_size": data.train_size,
        "validation_size": data.validation_size,
        "test_size": data.test_size,
    }


def fill_from_training(row: Row, record: TrainingRecord) -> None:
    """Copy what training came to into the row."""
    row.epochs = record.epochs
    row.stopped_by = record.stopped_by
    row.steps = record.steps
    row.train_tokens = record.tokens
    row.train_seconds = record.train_seconds
    row.eval_seconds = record.evaluation_seconds
    row.best_epoch = record.best_epoch
    row.time_to_best_seconds = record.time_to_best_seconds
    if record.train_seconds > 0:
        row.tokens_per_second = record.tokens / record.train_seconds
    if row.metric in record.best_metrics:
        row.val_score = record.best_metrics[row.metric]
        row.val_loss = record.best_metrics["loss"]


def write_history(path: Path, history: list[dict[str, float]]) -> None:
    """Write the learning curve, one line per epoch."""
    if not history:
        return
    with path.open("w", newline="") as file:
        writer = csv.DictWriter(file, list(history[0]), lineterminator="\n")
        writer.writeheader()
        writer.writerows(history)


def count_parameters(module: nn.Module) -> int:
    """Count trainable parameters."""
    return sum(p.numel() for p in module.parameters() if p.requires_grad)


def status_of(error: BaseException) -> str:
    """Name what became of a run that an exception ended."""
    if isinstance(error, KeyboardInterrupt):
        return "interrupted"
    if isinstance(error, NotFiniteError):
        return "diverged"
    # The CPU allocator has no error class of its own.
    if isinstance(error, torch.OutOfMemoryError | MemoryError) or (
        isinstance(error, RuntimeError) and "can't allocate memory" in str(error)
    ):
        return "out_of_memory"
    return "failed"


def describe(error: BaseException) -> str:
    """Error class and message in one line."""
    message = " ".join(str(error).split())
    return f"{type(error).__name__}: {message}" if message else type(error).__name__
