"""Dynamic evaluation of a finished run: rate and decay, scores, row and files."""

from __future__ import annotations

import itertools
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import torch
from tqdm import tqdm

from benchmarks.errors import UserError
from benchmarks.results.row import Row
from benchmarks.results.store import Store
from benchmarks.runner.derived_row import derived_row, fill_scores, stored
from benchmarks.runner.dynamic.model import DynamicModel
from benchmarks.runner.kept_predictions import write_split
from benchmarks.runner.load_run import FinishedRun, load_run
from benchmarks.system.atomic_files import write_atomically
from benchmarks.system.timer import Timer
from benchmarks.training.evaluation import NotFiniteError
from benchmarks.training.predictions import Predictions
from tasks.base import Split
from tasks.language.task import LanguageTask

TRACK = "dynamic"
RATES = (3e-5, 1e-4, 3e-4)
DECAYS = (0.0005, 0.002, 0.006, 0.02)
CHOSEN = "validation"  # in place of a value that is chosen there


@dataclass(frozen=True)
class Options:
    """Settings of a dynamic evaluation; a rate or decay of None is chosen on validation."""

    chunk: int
    rate: float | None
    decay: float | None

    @property
    def words(self) -> list[str]:
        """The settings as overrides of the row."""
        values = {"rate": self.rate, "decay": self.decay}
        texts = {name: CHOSEN if v is None else f"{v:g}" for name, v in values.items()}
        return [f"dynamic.{name}={text}" for name, text in {"chunk": self.chunk, **texts}.items()]

    @property
    def grid(self) -> list[tuple[float, float]]:
        """Rates and decays to choose from: the static network, then all combinations."""
        rates = RATES if self.rate is None else (self.rate,)
        decays = DECAYS if self.decay is None else (self.decay,)
        static = [(0.0, 0.0)] if self.rate is None else []
        return [*static, *itertools.product(rates, decays)]


@dataclass(frozen=True)
class Trial:
    """A rate and decay, with the metrics and predictions of the validation split.

    Metrics are None if the evaluation diverged.
    """

    rate: float
    decay: float
    metrics: dict[str, float] | None
    predictions: Predictions


@dataclass(frozen=True)
class DynamicEvaluation:
    """A dynamic evaluation with its row; without a choice there is one trial."""

    run: FinishedRun
    trials: list[Trial]
    chosen: Trial
    row: Row


def evaluate_dynamically(
    name: str, store: Store, options: Options, moved: Mapping[str, str], command: str
) -> DynamicEvaluation:
    """Evaluate a finished language model dynamically and store the row.

    Args:
        name: of the run, as `find_run` takes it.
        store: the results folder of the run and of the row.
        options: rate and decay are chosen on the validation split where they are None.
        moved: see `load_run`.
        command: the shell command that repeats the evaluation.

    Raises:
        UserError: the run cannot be evaluated, or its data is not available.
    """
    run = load_run(name, store.directory, moved)
    task = language_task_of(run, options)
    timer = Timer(torch.device("cpu"))
    with timer.running():
        network, _ = run.network(getattr(run.config.model, "kernel", "torch"))
        model = DynamicModel(network, task, options.chunk)
        bar = tqdm(options.grid, "rates and decays", unit="trial", disable=None, dynamic_ncols=True)
        trials = [trial_of(model, *values) for values in bar]
        chosen = best_trial(trials)
        test, predictions = evaluate_test(model, chosen)
    assert chosen.metrics is not None
    row = new_row(run.row, options, datetime.now(UTC))
    row.eval_seconds = timer.seconds
    fill_scores(row, {"validation": chosen.metrics, "test": test})
    kept: dict[Split, Predictions] = {"validation": chosen.predictions, "test": predictions}
    with stored(row, store, command) as folder:
        for split, each in kept.items():
            write_split(folder, each, task, split)
        write_atomically(folder.dynamic, record_of(trials, chosen, options))
    return DynamicEvaluation(run, trials, chosen, row)


def language_task_of(run: FinishedRun, options: Options) -> LanguageTask:
    """Return the task of a run, or raise UserError if it cannot be evaluated dynamically."""
    task, run_id = run.task, run.row["run_id"]
    if not isinstance(task, LanguageTask):
        raise UserError(
            f"{run_id}: dynamic evaluation requires a language model, not task {run.row['task']}"
        )
    if run.config.train.max_evaluation_batches is not None:
        raise UserError(
            f"{run_id}: dynamic evaluation reads whole splits, and "
            f"train.max_evaluation_batches={run.config.train.max_evaluation_batches} does not"
        )
    is_test = torch.equal(task.splits["validation"], task.splits["test"])
    if is_test and None in (options.rate, options.decay):
        raise UserError(
            f"{run_id}: its validation split is its test split ({run.row['split']}), so nothing "
            f"can be chosen there; give --rate and --decay, chosen on a run with another task.split"
        )
    return task


def trial_of(model: DynamicModel, rate: float, decay: float) -> Trial:
    """Evaluate a rate and a decay on the validation split."""
    predictions = Predictions()
    try:
        metrics = model.evaluate("validation", rate, decay, predictions)
    except NotFiniteError:
        return Trial(rate, decay, None, predictions)
    return Trial(rate, decay, metrics, predictions)


def best_trial(trials: Sequence[Trial]) -> Trial:
    """Return the trial with the smallest validation loss, the first of equal ones."""
    losses = {n: trial.metrics["loss"] for n, trial in enumerate(trials) if trial.metrics}
    if not losses:
        rates = ", ".join(f"{rate:g}" for rate in dict.fromkeys(trial.rate for trial in trials))
        raise UserError(f"--rate {rates}: the evaluation diverges; give a smaller rate")
    return trials[min(losses, key=losses.__getitem__)]


def evaluate_test(model: DynamicModel, chosen: Trial) -> tuple[dict[str, float], Predictions]:
    """Evaluate the test split, from the trained weights on."""
    predictions = Predictions()
    try:
        return model.evaluate("test", chosen.rate, chosen.decay, predictions), predictions
    except NotFiniteError as error:
        raise UserError(
            f"--rate {chosen.rate:g}: the evaluation of the test split diverges"
        ) from error


def record_of(found: Sequence[Trial], chosen: Trial, options: Options) -> str:
    """Return the content of `dynamic.json`: the chosen values, and the losses of all trials."""
    trials = [
        {"rate": t.rate, "decay": t.decay, "val_loss": t.metrics and t.metrics["loss"]}
        for t in found
    ]
    values = {"chunk": options.chunk, "rate": chosen.rate, "decay": chosen.decay}
    return json.dumps({**values, "trials": trials}, indent=2) + "\n"


def new_row(source: Mapping[str, Any], options: Options, now: datetime) -> Row:
    """Return the row of a dynamic evaluation without its scores; costs are those of the run."""
    settings = [*options.words, str(options.grid)]
    row = derived_row([source], [source], f"{source['model']}-{TRACK}", settings, now)
    row.track = TRACK
    for name in ("model", "model_version", "init_seed", "order_seed"):
        setattr(row, name, source.get(name))
    row.overrides = " ".join([*str(source.get("overrides") or "").split(), *options.words])
    row.latency_ms_p50 = row.latency_ms_p95 = None  # not measured with updates
    return row
