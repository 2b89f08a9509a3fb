"""What happens in a run of a baseline: fitted, tested and measured like a net, where it can be."""

from __future__ import annotations

from importlib import import_module

import numpy as np

from benchmarks.runner.stages import Work, test
from benchmarks.system.load import load_average
from benchmarks.system.memory import peak_rss_mib
from benchmarks.system.timer import Stopwatch
from benchmarks.training.evaluation import evaluate
from benchmarks.training.latency import latencies_ms
from benchmarks.training.seeding import SeedStreams
from models.baseline import BaselineSettings


def fit_and_measure(work: Work) -> None:
    """Fill the row and the folder; what is known when an exception ends it is already there."""
    config, task, row = work.config, work.task, work.row
    assert isinstance(config.model, BaselineSettings)
    assert config.model.baseline is not None
    for module in config.task.baselines()[config.model.baseline].needs:
        import_module(module)
    training, evaluation = Stopwatch(work.device), Stopwatch(work.device)
    SeedStreams(config.seed).seed_task()
    try:
        with training.running():
            fitted = task.fit_baseline(config.model.baseline, config.seed)
    finally:
        row.train_seconds = training.seconds
        row.load_average = load_average()
    row.parameters = fitted.parameters
    with evaluation.running():
        metrics = evaluate(
            fitted,
            task,
            "validation",
            config.train.evaluation_batch_size,
            config.train.max_evaluation_batches,
        )
    row.val_score, row.val_loss = metrics[config.task.metric.name], metrics["loss"]
    test(work, fitted, evaluation)
    latencies = latencies_ms(fitted, task, work.device)
    row.latency_ms_p50, row.latency_ms_p95 = np.percentile(latencies, [50, 95]).tolist()
    row.peak_rss_mib = peak_rss_mib()
