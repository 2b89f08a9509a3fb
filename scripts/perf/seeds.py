"""Time of several seeds trained in one process compared with one seed.

    python -m scripts.perf.seeds
    python -m scripts.perf.seeds --whole       whole commands too
    python -m scripts.perf.seeds --set model.hidden_size=64

Compares `Trainer.fit` of one seed with `fit_seeds` of all for the same number of epochs in turns.
Whole commands are `python run.py seed=0` and `seeds=[0,1,…]`.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
import time

from benchmarks import PROJECT_ROOT
from benchmarks.config.schema import Config
from benchmarks.errors import UserError
from benchmarks.system.program import run_script
from scripts.perf.measuring import Report, interleaved, parser_of, run_benchmark, speed, spread
from scripts.perf.pairs import add_run_options, composed, pairs

SEEDS = 8
TARGET = 3.0
"""Largest time relative to one seed; there is no target for another number of seeds."""


def training_times(config: Config, seeds: int, turns: int) -> dict[str, list[float]]:
    """Time the training of one seed, and of all seeds in one process."""
    import torch

    from benchmarks.runner.multiseed.eligibility import (
        reason_against_multiseed,
        seeds_per_step,
        trainer_of_seed,
    )
    from benchmarks.runner.multiseed.trainer import SeedTrainer, fit_seeds
    from benchmarks.runner.run import prepare
    from benchmarks.system.signals import Interruption

    ready = prepare(config)
    reason = reason_against_multiseed(ready, range(seeds))
    if reason is not None:
        pair = f"{config.model.label} on {config.task.name}"
        raise UserError(f"{pair}: cannot be trained in one multi-seed step: {reason}")
    at_once = seeds_per_step(ready)

    def one_seed() -> float:
        trainer = trainer_of_seed(ready, 0)
        trainer.warm_up()
        started = time.perf_counter()
        trainer.fit()
        return time.perf_counter() - started

    def multi_seed() -> float:
        trainers = []
        for seed in range(seeds):
            trainer = trainer_of_seed(ready, seed)
            trainer.warm_up()
            trainers.append(SeedTrainer(trainer, torch.Generator().manual_seed(seed)))
        started = time.perf_counter()
        fit_seeds(trainers, Interruption(), at_once)
        return time.perf_counter() - started

    return interleaved({"one seed": one_seed, "multi-seed": multi_seed}, turns)


def command_times(
    options: argparse.Namespace, model: str, task: str, seeds: int
) -> dict[str, list[float]]:
    """Time whole commands."""

    def run(*more: str) -> None:
        with tempfile.TemporaryDirectory() as folder:
            given = [f"model={model}", f"task={task}", "train.device=cpu"]
            given += [f"results_dir={folder}/r", f"train.threads={options.threads}"]
            command = [sys.executable, str(PROJECT_ROOT / "run.py"), *given, *options.set, *more]
            ended = subprocess.run(command, capture_output=True, text=True)
        if ended.returncode:
            raise UserError(f"{' '.join(command)}: {ended.stderr.strip()[-200:]}")

    numbers = ",".join(map(str, range(seeds)))
    variants = {"one seed": lambda: run("seed=0"), "multi-seed": lambda: run(f"seeds=[{numbers}]")}
    return interleaved(variants, options.turns)


def measure(options: argparse.Namespace, report: Report) -> None:
    """Compare one seed and several for each pair of model and task."""
    if options.device != "cpu":
        raise UserError(f"--device {options.device}: multi-seed training runs on cpu only")
    if options.seeds < 2:
        raise UserError(f"--seeds {options.seeds}: must be at least 2")
    found = pairs(options.models, options.tasks)
    for model, task in found:
        given = [f"train.max_epochs={options.epochs}", f"train.threads={options.threads}"]
        given += ["train.patience=null", "train.checkpoint_seconds=null"]
        config = composed(model, task, "train.device=cpu", *options.set, *given)
        times = training_times(config, options.seeds, options.turns)
        print_times(report, times, options.seeds, "training", f"{model} on {task}")
    for model, task in found if options.whole else []:
        times = command_times(options, model, task, options.seeds)
        print_times(report, times, options.seeds, "whole command", f"{model} on {task}")


def print_times(
    report: Report, times: dict[str, list[float]], seeds: int, what: str, pair: str
) -> None:
    """Print the times of one seed and of all, and their ratio."""
    one, several = (1e3 * min(times[variant]) for variant in ("one seed", "multi-seed"))
    turns = spread(times, "one seed", over="multi-seed")
    report.write(
        f"{pair}, {what}: one seed {one:.0f} ms; {seeds} seeds {several:.0f} ms, the time of "
        f"{several / one:.2f} single trainings (turn by turn {turns})"
    )
    if seeds == SEEDS:
        name = f"time of {seeds} seeds / of one, {what}, {pair}"
        report.ratio(name, speed(times, "one seed", over="multi-seed"), at_most=TARGET)


def main(arguments: list[str] | None = None) -> int:
    """Run the program; return the exit code."""
    parser = parser_of(__doc__)
    add_run_options(parser, tasks=["sp500"], models=["rnn", "lstm", "gru"])
    parser.add_argument("--seeds", type=int, default=SEEDS, help="number of seeds")
    parser.add_argument("--epochs", type=int, default=15, help="of each training")
    parser.add_argument("--turns", type=int, default=5, help="of each way")
    parser.add_argument("--whole", action="store_true", help="whole commands too")
    return run_benchmark("seeds", parser, arguments, measure)


if __name__ == "__main__":
    run_script(main)
