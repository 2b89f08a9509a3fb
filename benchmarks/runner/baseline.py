"""Stages of a run of a baseline: fit, validation, test and measurements."""

from __future__ import annotations

import logging
from importlib import import_module

from benchmarks.runner.stages import (
    RunContext,
    keep_validation_predictions,
    measure_latency,
    test,
)
from benchmarks.system.load import load_average
from benchmarks.system.memory import peak_rss_mib
from benchmarks.system.timer import Timer
from benchmarks.training.evaluation import evaluate
from benchmarks.training.seeding import SeedStreams
from models.baseline import BaselineSettings

logger = logging.getLogger(__name__)


def fit_and_measure(context: RunContext) -> None:
    """Fit and measure a baseline; an exception leaves all earlier results in row and folder."""
    config, task, row = context.config, context.task, context.row
    assert isinstance(config.model, BaselineSettings)
    assert config.model.baseline is not None
    baseline = config.task.baselines()[config.model.baseline]
    if baseline.extra:
        logger.info("loading %s: it compiles code at its first use, for minutes", baseline.needs[0])
    for module in baseline.needs:
        import_module(module)
    context.interruption.check()  # C callbacks of compilers, as of aeon, catch KeyboardInterrupt
    training, evaluation = Timer(context.device), Timer(context.device)
    SeedStreams(config.seed).seed_task()
    try:
        with training.running():
            fitted = task.fit_baseline(config.model.baseline, config.seed)
    finally:
        row.train_seconds = training.seconds
        row.load_average = load_average()
    row.parameters = fitted.parameters
    bounds = config.train.evaluation_batch_size, config.train.max_evaluation_batches
    with evaluation.running():
        metrics = evaluate(fitted, task, "validation", *bounds)
    row.val_score, row.val_loss = metrics[config.task.primary_metric.name], metrics["loss"]
    test(context, fitted, evaluation)
    measure_latency(context, fitted)
    row.peak_rss_mib = peak_rss_mib()
    keep_validation_predictions(context, fitted)
