"""What happens in a run once it is claimed: network, training, test, latency, memory."""

from __future__ import annotations

import csv
import io
import json
import os
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import save
from torch import nn

from benchmarks.claims import Claim
from benchmarks.clocks import Stopwatch
from benchmarks.columns import fill_from_training
from benchmarks.config import Config
from benchmarks.continuation import Continuation
from benchmarks.display import TrainingDisplay
from benchmarks.environment import seed_torch, stream
from benchmarks.evaluation import Predictor, evaluate, latencies_ms
from benchmarks.events import written_down
from benchmarks.files import write_atomically
from benchmarks.interruption import Interruption
from benchmarks.memory import (
    lasting_bytes,
    peak_of_step,
    peak_rss_mib,
    tensor_bytes,
)
from benchmarks.optimisation import planned_steps
from benchmarks.predictions import FILE_NAME, Predictions, write_predictions
from benchmarks.results import COLUMNS, Row
from benchmarks.training import Trainer
from models.modules.contract import Encoder
from tasks.base import Task


@dataclass
class Work:
    """What a run has at hand once it is claimed."""

    config: Config
    task: Task
    device: torch.device
    row: Row
    folder: Path
    continuation: Continuation
    claim: Claim
    interruption: Interruption


def train_and_measure(work: Work) -> None:
    """Fill the row and the folder; what is known when an exception ends it is already there."""
    config, task, row = work.config, work.task, work.row
    network, encoder = build_network(config, task, work.device)
    row.parameters = count_parameters(network)
    row.encoder_parameters = count_parameters(encoder)
    row.flops_per_token = encoder.flops_per_token()
    trainer = train(work, network)
    weights = trainer.record.best_weights
    assert weights is not None
    network.load_state_dict(weights)
    test(work, network, trainer.evaluation_clock)
    text = task.showcase(network, config.seed)
    if text is not None:
        write_atomically(work.folder / "sample.txt", text)
        print(f"--- sample ---\n{text}\n--- end of sample ---")
    latencies = latencies_ms(network, task, work.device)
    row.latency_ms_p50, row.latency_ms_p95 = np.percentile(latencies, [50, 95]).tolist()
    row.peak_rss_mib = peak_rss_mib()
    row.peak_memory_mib = measure_memory(trainer, work.device)


def train(work: Work, network: nn.Module) -> Trainer:
    """Train, from the run's checkpoint if it has one, and keep the best weights."""
    config, task, row = work.config, work.task, work.row
    assert row.learning_rate is not None
    budget_seconds = config.match.budget_seconds
    total_steps = planned_steps(task, config.train, budget_seconds)
    display = TrainingDisplay(
        f"{row.model} on {row.task}",
        config.task.metric,
        total_steps,
        config.train.max_epochs if budget_seconds is None else None,
        work.claim.progress,
    )
    trainer = Trainer(
        network,
        task,
        config.task.metric,
        config.train,
        row.learning_rate,
        config.seed,
        work.device,
        display,
        work.continuation.write,
        work.interruption,
        budget_seconds,
    )
    trainer.warm_up()
    seed_torch(config.seed, "dropout")
    earlier = work.continuation.read()
    if earlier is not None:
        trainer.restore(*earlier)
        of = "" if total_steps is None else f" of {total_steps}"
        print(f"going on with {row.run_id} from step {trainer.record.steps}{of}")
    try:
        with display, written_down(trainer, config.log, work.folder):
            trainer.fit()
    finally:
        row.load_average = os.getloadavg()[0] if hasattr(os, "getloadavg") else None
        fill_from_training(row, trainer.record)
        write_history(work.folder / "history.csv", trainer.record.history)
        if trainer.record.best_weights is not None:
            write_atomically(work.folder / "weights.safetensors", save(trainer.record.best_weights))
    return trainer


def build_network(config: Config, task: Task, device: torch.device) -> tuple[nn.Module, Encoder]:
    """Build the encoder and what the task puts around it, each from its own stream of chance.

    So the task's own layers begin alike for every model of one size.
    """
    seed_torch(config.seed, "encoder initialisation")
    encoder = config.model.build(task.input_size)
    seed_torch(config.seed, "task initialisation")
    network = task.network(encoder)
    return network.to(device, getattr(torch, config.train.dtype)), encoder


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
    write_predictions(work.folder / FILE_NAME, items, columns, task.items("test"))
    excerpts = task.excerpts("test", items, columns)
    if excerpts:
        lines = "".join(json.dumps(excerpt, ensure_ascii=False) + "\n" for excerpt in excerpts)
        write_atomically(work.folder / "excerpts.jsonl", lines)


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


def write_history(path: Path, history: list[dict[str, float]]) -> None:
    """Write the learning curve, one line per epoch."""
    if not history:
        return
    text = io.StringIO()
    writer = csv.DictWriter(text, list(history[0]), lineterminator="\n")
    writer.writeheader()
    writer.writerows(history)
    write_atomically(path, text.getvalue())


def count_parameters(module: nn.Module) -> int:
    """Count trainable parameters."""
    return sum(p.numel() for p in module.parameters() if p.requires_grad)
