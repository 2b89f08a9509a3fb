"""Stages of a run: network, training, test, latency, memory, utilisation."""

from __future__ import annotations

import csv
import dataclasses
import io
import json
import logging
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import save
from torch import nn

from benchmarks.config.schema import Config, LogSettings
from benchmarks.results.leases import Lease
from benchmarks.results.row import Row
from benchmarks.results.run_folder import RunFolder
from benchmarks.runner.checkpointing import RunCheckpoint
from benchmarks.runner.display import TrainingDisplay, sizes_text, step_bar
from benchmarks.runner.kept_predictions import evaluate_items, write_split
from benchmarks.runner.row_columns import fill_from_test, fill_from_training
from benchmarks.system.atomic_files import write_atomically
from benchmarks.system.disk_cache import cache_directory
from benchmarks.system.environment import Environment
from benchmarks.system.load import load_average
from benchmarks.system.memory import peak_rss_mib, persistent_bytes, step_peak_mib, tensor_bytes
from benchmarks.system.peak_flops import conditions, peak_gflops
from benchmarks.system.signals import Interruption
from benchmarks.system.terminal import visible
from benchmarks.system.timer import Timer
from benchmarks.training.evaluation import Predictor
from benchmarks.training.latency import latencies_ms
from benchmarks.training.mfu import flops_per_token, utilisation
from benchmarks.training.network import build_network, count_parameters, encoder_of
from benchmarks.training.optim import planned_steps
from benchmarks.training.pretraining import is_of_pretraining, pretrain
from benchmarks.training.seeding import SeedStreams
from benchmarks.training.state import Progress, TrainingState, joined
from benchmarks.training.streaming import streaming_costs
from benchmarks.training.tensorboard import tensorboard_log
from benchmarks.training.trainer import Saved, Trainer
from models.kernels.compiler import find_compiler
from tasks.base import Task

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class PreparedRun:
    """A resolved configuration with its data and device; seeds of one arm can share it.

    Attributes:
        config: contains the hidden size that its match requires.
        prepare_seconds: time to read and prepare the data.
    """

    config: Config
    task: Task
    device: torch.device
    environment: Environment
    prepare_seconds: float


@dataclass(frozen=True)
class RunContext(PreparedRun):
    """A run that has its lease, and everything its stages use.

    Attributes:
        row: the row, filled by the stages.
        folder: the folder of the run.
        is_multiseed: other runs share the process and its clock from start to end.
    """

    row: Row
    folder: RunFolder
    lease: Lease
    checkpoint: RunCheckpoint
    interruption: Interruption
    is_multiseed: bool = False


def train_and_measure(context: RunContext) -> None:
    """Train and measure a network; an exception leaves all earlier results in row and folder.

    A task with several refits trains one network for each. The finished ones are in the checkpoint.
    """
    saved = context.checkpoint.read()
    finished, parts = context.checkpoint.finished, context.task.refits()
    for part in parts[len(finished) :]:
        if len(parts) > 1:
            print(f"refit {len(finished) + 1} of {len(parts)}: {sizes_text(part.data)}")
        trainer = train(dataclasses.replace(context, task=part), saved)
        finished.append(trainer.state)
        saved = None
    measure(context, trainer, finished[:-1])


def train(context: RunContext, saved: Saved | None) -> Trainer:
    """Train one network, from the first step or from its checkpoint."""
    config, row, finished = context.config, context.row, context.checkpoint.finished
    budget_seconds = config.match.budget_seconds
    total_steps = planned_steps(context.task, config.train, budget_seconds)
    display = TrainingDisplay(
        step_bar(f"{row.model} on {row.task}", total_steps),
        config.task.primary_metric,
        total_steps,
        config.train.max_epochs if budget_seconds is None else None,
        context.lease.progress,
    )
    trainer = begin_training(context, display, saved)
    log = LogSettings() if finished else config.log  # like history.csv: of the first refit
    try:
        with display.bar, tensorboard_log(trainer, log, context.folder.path):
            trainer.fit()
    finally:
        store_training(context, joined([*finished, trainer.state]))
    return trainer


def begin_training(context: RunContext, progress: Progress, saved: Saved | None) -> Trainer:
    """Build network and trainer, at the first step or restored from the run's checkpoint."""
    config, task, row = context.config, context.task, context.row
    network, encoder = build_network(config, task, context.device)
    row.parameters = count_parameters(network)
    row.encoder_parameters = count_parameters(encoder)
    row.flops_per_token = encoder.flops_per_token()
    save, interruption = context.checkpoint.write, context.interruption
    trainer = Trainer(config, network, task, context.device, progress, save, interruption)
    if encoder.kernel_unavailable_reason is not None:
        is_requested = getattr(config.model, "kernel", None) == "fused"
        report_missing_kernel(encoder.kernel_unavailable_reason, is_requested)
    trainer.warm_up()
    row.kernel = encoder.kernel  # of training: batches of evaluations have other shapes
    if config.train.precision == "bfloat16" and encoder.kernel == "fused":
        logger.info("the fused kernel computes in float32, the rest of the network in bfloat16")
    trainer.streams.seed_dropout()
    if config.train.pretrain is not None and is_of_pretraining(saved):
        lines = pretrain(trainer, config, task, save, interruption, saved)
        write_history(context.folder.pretraining, lines)
    elif saved is not None:
        trainer.restore(*saved)
        total = "" if trainer.total_steps is None else f" of {trainer.total_steps}"
        print(f"resuming {row.run_id} from step {trainer.state.steps}{total}")
    return trainer


def report_missing_kernel(reason: str, is_requested: bool) -> None:
    """Log why the fused kernel is unavailable; warn, with a remedy, if it was requested."""
    if not is_requested:
        logger.info("no fused kernel, using PyTorch's: %s", reason)
        return
    remedy = "; install g++ or clang++ (Debian: apt install g++; macOS: xcode-select --install)"
    logger.warning(
        "model.kernel=fused: %s: PyTorch's kernel is used and its times are measured%s",
        reason,
        "" if find_compiler() is not None else remedy,
    )


def store_training(context: RunContext, state: TrainingState) -> None:
    """Store the results of a training so far, and its best weights."""
    context.row.load_average = load_average()
    fill_from_training(context.row, state)
    write_history(context.folder.history, state.history)
    if state.best_weights is not None:
        write_atomically(context.folder.weights, save(state.best_weights))


def measure(context: RunContext, trainer: Trainer, earlier: Sequence[TrainingState] = ()) -> None:
    """Test the best weights if required, and measure latency, memory and utilisation.

    Earlier refits are tested together with the last one, which alone is measured.
    """
    row, network, weights = context.row, trainer.network, trainer.state.best_weights
    assert weights is not None
    network.load_state_dict(weights)
    timer, tested = trainer.evaluation_timer, network
    if earlier:
        timer.start_from(timer.seconds + sum(state.evaluation_seconds for state in earlier))
        tested = nn.ModuleList([*(trained_network(context, state) for state in earlier), network])
    if context.config.train.test:
        test(context, tested, timer)
    text = context.task.showcase(network, context.config.seed)
    if text is not None:
        write_atomically(context.folder.sample, text)
        print(f"--- sample ---\n{visible(text)}\n--- end of sample ---")
    measure_latency(context, network)
    measure_streaming(context, network)
    if not context.is_multiseed:  # else the process contains other runs too
        row.peak_rss_mib = peak_rss_mib()
    keep_validation_predictions(context, tested)
    row.peak_memory_mib = measure_memory(trainer, context.device)
    measure_utilisation(context, network)


def trained_network(context: RunContext, state: TrainingState) -> nn.Module:
    """Build the network of an earlier refit."""
    network, _ = build_network(context.config, context.task, context.device)
    assert state.best_weights is not None
    network.load_state_dict(state.best_weights)
    return network


def measure_latency(context: RunContext, network: Predictor) -> None:
    """Measure the latency of single sequences."""
    latencies = latencies_ms(network, context.task, context.device)
    row = context.row
    row.latency_ms_p50, row.latency_ms_p95 = np.percentile(latencies, [50, 95]).tolist()


def measure_streaming(context: RunContext, network: nn.Module) -> None:
    """Measure single steps of the encoder, if required and if it reads in one direction."""
    config = context.config
    if config.measure.streaming and not config.model.bidirectional:
        costs = streaming_costs(encoder_of(network), context.device, config.train.precision)
        for name, value in costs.items():
            setattr(context.row, name, value)


def test(context: RunContext, network: Predictor, timer: Timer) -> None:
    """Evaluate the test split, once, and store its metrics and predictions."""
    task, row = context.task, context.row
    with timer.running():
        metrics, predictions = evaluate_items(network, task, "test", context.config.train)
    row.eval_seconds = timer.seconds
    fill_from_test(row, metrics)
    write_split(context.folder, predictions, task, "test")
    excerpts = task.excerpts("test", *predictions.in_order())
    if excerpts:
        lines = "".join(json.dumps(excerpt, ensure_ascii=False) + "\n" for excerpt in excerpts)
        write_atomically(context.folder.excerpts, lines)


def keep_validation_predictions(context: RunContext, network: Predictor) -> None:
    """Evaluate the validation split once more, outside all clocks but that of the whole run."""
    _, predictions = evaluate_items(network, context.task, "validation", context.config.train)
    write_split(context.folder, predictions, context.task, "validation")


def measure_memory(trainer: Trainer, device: torch.device) -> float | None:
    """Return the peak MiB of one more training step, on the largest batch of the first epoch.

    Measure memory last, because this step changes the weights.
    """
    batch = max(trainer.training_batches(0), key=lambda batch: batch.inputs.numel())
    trainer.network.train()
    trainer.state.best_weights = None

    def step() -> None:
        trainer.forward_backward(batch, None)
        trainer.optimizer.step()

    lasting = persistent_bytes(trainer.network, trainer.optimizer)
    averages = [] if trainer.average is None else trainer.average.weights
    lasting += tensor_bytes(batch.inputs, batch.targets, batch.lengths, *averages)
    return step_peak_mib(step, lasting, device)


def measure_utilisation(context: RunContext, network: nn.Module) -> None:
    """Compare the training speed with the device's peak, if both are known."""
    config, row = context.config, context.row
    if row.tokens_per_second is None:
        return
    settings = config.train
    under = conditions(context.device, row.device_name or "", settings.dtype, settings.precision)
    row.peak_gflops = peak_gflops(cache_directory(config.cache_dir), context.device, under)
    if row.peak_gflops is None:
        return
    order = SeedStreams.of(config).data_order(0)
    batch = next(iter(context.task.batches("train", settings.batch_size, order)))
    flops = flops_per_token(network, encoder_of(network), batch)
    row.model_flops_utilisation = utilisation(flops, row.tokens_per_second, row.peak_gflops)


def write_history(path: Path, history: list[dict[str, float]]) -> None:
    """Write the learning curve, one line per epoch."""
    if not history:
        return
    text = io.StringIO()
    # Epochs of multi-seed training have no seconds, but earlier epochs of the run may have.
    columns = list(dict.fromkeys(name for line in history for name in line))
    writer = csv.DictWriter(text, columns, lineterminator="\n")
    writer.writeheader()
    writer.writerows(history)
    write_atomically(path, text.getvalue())
