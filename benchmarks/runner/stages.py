"""What happens in a run once it is leased: network, training, test, latency, memory."""

from __future__ import annotations

import csv
import io
import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import save
from torch import nn

from benchmarks.config.schema import Config
from benchmarks.results.leases import Lease
from benchmarks.results.row import COLUMNS, Row
from benchmarks.results.run_folder import RunFolder
from benchmarks.runner.checkpointing import RunCheckpoint
from benchmarks.runner.display import TrainingDisplay
from benchmarks.runner.row_columns import fill_from_training
from benchmarks.system.atomic_files import write_atomically
from benchmarks.system.disk_cache import cache_directory
from benchmarks.system.load import load_average
from benchmarks.system.memory import (
    lasting_bytes,
    peak_of_step,
    peak_rss_mib,
    tensor_bytes,
)
from benchmarks.system.peak_flops import conditions, peak_gflops
from benchmarks.system.signals import Interruption
from benchmarks.system.timer import Stopwatch
from benchmarks.training.evaluation import Predictor, evaluate
from benchmarks.training.latency import latencies_ms
from benchmarks.training.mfu import flops_per_token, utilisation
from benchmarks.training.network import build_network, count_parameters
from benchmarks.training.optim import planned_steps
from benchmarks.training.predictions import Predictions, write_predictions
from benchmarks.training.seeding import SeedStreams
from benchmarks.training.state import Progress
from benchmarks.training.tensorboard import tensorboard_log
from benchmarks.training.trainer import Trainer
from models.kernels.compiler import find_compiler
from models.modules.encoder import Encoder
from tasks.base import Task


@dataclass
class Work:
    """What a run has at hand once it is leased.

    Attributes:
        has_company: other runs share the process and its clock from start to end.
    """

    config: Config
    task: Task
    device: torch.device
    row: Row
    folder: RunFolder
    continuation: RunCheckpoint
    lease: Lease
    interruption: Interruption
    has_company: bool = False


@dataclass
class Training:
    """A run's network and what trains it."""

    work: Work
    network: nn.Module
    encoder: Encoder
    trainer: Trainer


def train_and_measure(work: Work) -> None:
    """Fill the row and the folder; what is known when an exception ends it is already there."""
    config, row = work.config, work.row
    budget_seconds = config.match.budget_seconds
    display = TrainingDisplay(
        f"{row.model} on {row.task}",
        config.task.metric,
        planned_steps(work.task, config.train, budget_seconds),
        config.train.max_epochs if budget_seconds is None else None,
        work.lease.progress,
    )
    training = begin_training(work, display)
    try:
        with display, tensorboard_log(training.trainer, config.log, work.folder.path):
            training.trainer.fit()
    finally:
        keep_training(training)
    measure(training)


def begin_training(work: Work, progress: Progress) -> Training:
    """Build a run's network and trainer and bring them to its first step, or to its checkpoint."""
    config, task, row = work.config, work.task, work.row
    assert row.learning_rate is not None
    network, encoder = build_network(config, task, work.device)
    row.parameters = count_parameters(network)
    row.encoder_parameters = count_parameters(encoder)
    row.flops_per_token = encoder.flops_per_token()
    trainer = Trainer(
        network,
        task,
        config.task.metric,
        config.train,
        row.learning_rate,
        config.seed,
        work.device,
        progress,
        work.continuation.write,
        work.interruption,
        config.match.budget_seconds,
    )
    if encoder.kernel_unavailable_reason is not None:
        print(
            missing_kernel_message(
                encoder.kernel_unavailable_reason, was_asked_for=asks_for_fused(config)
            )
        )
    trainer.warm_up()
    row.kernel = encoder.kernel  # of training: evaluations have batches of other shapes
    if config.train.precision == "bfloat16" and encoder.kernel == "fused":
        print("note: the fused kernel computes in float32, all else of the network in bfloat16")
    SeedStreams(config.seed).seed_dropout()
    earlier = work.continuation.read()
    if earlier is not None:
        trainer.restore(*earlier)
        of = "" if trainer.total_steps is None else f" of {trainer.total_steps}"
        print(f"going on with {row.run_id} from step {trainer.record.steps}{of}")
    return Training(work, network, encoder, trainer)


def asks_for_fused(config: Config) -> bool:
    """Whether the fused kernel was named, and not left to be chosen."""
    return getattr(config.model, "kernel", None) == "fused"


def missing_kernel_message(lack: str, was_asked_for: bool) -> str:
    """Say why the fused kernel does not run: loudly, and with what to do, if it was asked for."""
    if not was_asked_for:
        return f"note: no fused kernel, PyTorch's own runs: {lack}"
    told = f"warning: model.kernel=fused: {lack}: PyTorch's kernel runs, and the times are its"
    if find_compiler() is not None:
        return told
    return (
        f"{told}; install g++ or clang++ (Debian: apt install g++; macOS: xcode-select --install)"
    )


def keep_training(training: Training) -> None:
    """Keep what a training has come to, and its best weights."""
    work, record = training.work, training.trainer.record
    work.row.load_average = load_average()
    fill_from_training(work.row, record)
    write_history(work.folder.history, record.history)
    if record.best_weights is not None:
        write_atomically(work.folder.weights, save(record.best_weights))


def measure(training: Training) -> None:
    """Test what a training has chosen, and measure what it costs to use."""
    work, network, trainer = training.work, training.network, training.trainer
    row, weights = work.row, trainer.record.best_weights
    assert weights is not None
    network.load_state_dict(weights)
    test(work, network, trainer.evaluation_clock)
    text = work.task.showcase(network, work.config.seed)
    if text is not None:
        write_atomically(work.folder.sample, text)
        print(f"--- sample ---\n{text}\n--- end of sample ---")
    latencies = latencies_ms(network, work.task, work.device)
    row.latency_ms_p50, row.latency_ms_p95 = np.percentile(latencies, [50, 95]).tolist()
    if not work.has_company:  # else the process held more than this run
        row.peak_rss_mib = peak_rss_mib()
    row.peak_memory_mib = measure_memory(trainer, work.device)
    measure_utilisation(work, network, training.encoder)


def test(work: Work, network: Predictor, clock: Stopwatch) -> None:
    """Read the test split, once, with what was chosen on validation; keep what was predicted."""
    config, task, row = work.config, work.task, work.row
    predictions = Predictions()
    with clock.running():
        metrics = evaluate(
            network,
            task,
            "test",
            config.train.evaluation_batch_size,
            config.train.max_evaluation_batches,
            predictions,
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
    items, columns = predictions.in_order()
    write_predictions(work.folder.predictions, items, columns, task.items("test"))
    excerpts = task.excerpts("test", items, columns)
    if excerpts:
        lines = "".join(json.dumps(excerpt, ensure_ascii=False) + "\n" for excerpt in excerpts)
        write_atomically(work.folder.excerpts, lines)


def measure_memory(trainer: Trainer, device: torch.device) -> float | None:
    """Peak of one more training step, on the largest batch of the first epoch.

    It changes the weights, so it comes last.
    """
    order = SeedStreams(trainer.seed).data_order(0)
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


def measure_utilisation(work: Work, network: nn.Module, encoder: Encoder) -> None:
    """Set the training's speed against the device's peak, where both are known."""
    config, row = work.config, work.row
    if row.tokens_per_second is None:
        return
    settings = config.train
    under = conditions(work.device, row.device_name or "", settings.dtype, settings.precision)
    row.peak_gflops = peak_gflops(cache_directory(config.cache_dir), work.device, under)
    if row.peak_gflops is None:
        return
    order = SeedStreams(config.seed).data_order(0)
    batch = next(iter(work.task.batches("train", settings.batch_size, order)))
    flops = flops_per_token(network, encoder, batch)
    row.model_flops_utilisation = utilisation(flops, row.tokens_per_second, row.peak_gflops)


def write_history(path: Path, history: list[dict[str, float]]) -> None:
    """Write the learning curve, one line per epoch."""
    if not history:
        return
    text = io.StringIO()
    # Epochs that were trained together with other seeds have no seconds, but earlier ones may.
    columns = list(dict.fromkeys(name for line in history for name in line))
    writer = csv.DictWriter(text, columns, lineterminator="\n")
    writer.writeheader()
    writer.writerows(history)
    write_atomically(path, text.getvalue())
