"""Training by the clock: what it ends, and the schedule over it."""

from __future__ import annotations

import math
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch

from benchmarks.config.schema import Config, MatchSettings, TrainSettings
from benchmarks.runner.display import TrainingDisplay, step_bar
from benchmarks.system import timer as clocks
from benchmarks.system.disk_cache import DiskCache
from benchmarks.system.signals import Interruption
from benchmarks.training.optim import planned_steps, timed_factor
from benchmarks.training.trainer import Trainer
from models.recurrent import RecurrentSettings
from tasks.base import Task
from tasks.sp500 import Sp500Settings


@pytest.fixture(scope="module")
def task(shared_cache: Path) -> Task:
    task = Sp500Settings().load(DiskCache(shared_cache))
    task.to(torch.device("cpu"), torch.float32)
    return task


class Timed:
    """A trainer whose every step takes one second, by a clock of the test's own."""

    def __init__(self, task: Task, budget: float, **settings: Any) -> None:
        self.rates: list[float] = []
        self.stop_at: int | None = None
        train = TrainSettings(
            learning_rate=0.5, batch_size=256, max_epochs=1, patience=1, **settings
        )
        torch.manual_seed(0)
        network = task.network(RecurrentSettings(cell="rnn", hidden_size=2).build(task.input_size))
        self.display = TrainingDisplay(
            step_bar("", None), Sp500Settings().primary_metric, None, None, {}
        )
        self.interruption = Interruption()
        match = MatchSettings(kind="time", budget_seconds=budget)
        config = Config(Sp500Settings(), RecurrentSettings(), train, match)
        self.trainer = Trainer(
            *(config, network, task, torch.device("cpu")),
            *(self.display, lambda tensors, facts: None, self.interruption),
        )

    def fit(self, monkeypatch: pytest.MonkeyPatch) -> Trainer:
        now = [float(len(self.rates) * 100)]
        original = Trainer.forward_backward

        def step(trainer: Trainer, batch: Any, state: object) -> Any:
            self.rates.append(trainer.optimizer.param_groups[0]["lr"])
            now[0] += 1.0
            if self.stop_at == trainer.state.steps + 1:
                self.interruption.requested = "test"
            return original(trainer, batch, state)

        with monkeypatch.context() as patch:
            patch.setattr(clocks, "time", SimpleNamespace(perf_counter=lambda: now[0]))
            patch.setattr(Trainer, "forward_backward", step)
            self.trainer.fit()
        return self.trainer


def test_time_alone_ends_the_training(
    task: Task, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    epoch = task.steps_per_epoch(256)
    budget = 3 * epoch + 0.5
    trainer = Timed(task, budget).fit(monkeypatch)
    assert trainer.state.stopped_by == "seconds"
    # The step that crosses the line is the last one.
    assert trainer.state.steps == 3 * epoch + 1
    assert trainer.state.train_seconds == 3 * epoch + 1
    # The epoch that was cut short after its first step is validated like the others.
    assert [line["steps"] for line in trainer.state.history] == [
        *(epoch, 2 * epoch, 3 * epoch),
        3 * epoch + 1,
    ]
    assert all("validation_rmse" in line for line in trainer.state.history)
    lines = capsys.readouterr().err.splitlines()
    assert [line.split("  ")[0] for line in lines] == ["epoch 1", "epoch 2", "epoch 3", "epoch 4"]


def test_a_budget_below_an_epoch_is_validated_at_its_end(
    task: Task, monkeypatch: pytest.MonkeyPatch
) -> None:
    trainer = Timed(task, 2.0).fit(monkeypatch)
    assert trainer.state.steps == 2
    assert [line["steps"] for line in trainer.state.history] == [2]
    assert trainer.state.best_weights is not None


def test_the_cosine_runs_over_the_time(task: Task, monkeypatch: pytest.MonkeyPatch) -> None:
    timed = Timed(task, 10.0, warmup_steps=3)
    timed.fit(monkeypatch)
    floor = TrainSettings().final_learning_rate_factor
    cosine = [floor + (1 - floor) * (1 + math.cos(math.pi * step / 10)) / 2 for step in range(10)]
    rise = [0.25, 0.5, 0.75] + [1.0] * 7
    expected = [0.5 * up * down for up, down in zip(rise, cosine, strict=True)]
    assert timed.rates == pytest.approx(expected)


def test_the_factor_ends_at_its_floor_and_stays_there() -> None:
    settings = TrainSettings(final_learning_rate_factor=0.1)
    assert timed_factor(settings, 7, 1.0) == pytest.approx(0.1)
    assert timed_factor(settings, 7, 1.7) == pytest.approx(0.1)
    assert timed_factor(TrainSettings(schedule="constant"), 7, 1.0) == 1.0


def test_an_interrupted_training_has_what_was_left_of_its_time(
    task: Task, monkeypatch: pytest.MonkeyPatch
) -> None:
    epoch = task.steps_per_epoch(256)
    budget = epoch + 4.5
    whole = Timed(task, budget)
    whole.fit(monkeypatch)
    for stop_at in (2, epoch + 2):
        first = Timed(task, budget)
        first.stop_at = stop_at
        with pytest.raises(KeyboardInterrupt):
            first.fit(monkeypatch)
        second = Timed(task, budget)
        second.trainer.restore(*first.trainer.checkpoint())
        second.fit(monkeypatch)
        assert second.trainer.state.train_seconds == whole.trainer.state.train_seconds
        assert second.trainer.state.steps == whole.trainer.state.steps
        assert first.rates + second.rates == pytest.approx(whole.rates)


def test_no_number_of_steps_is_planned_under_time(task: Task) -> None:
    assert planned_steps(task, TrainSettings(), 5.0) is None
    assert planned_steps(task, TrainSettings(max_steps=6), 5.0) == 6
    steps = planned_steps(task, TrainSettings(max_epochs=2))
    assert steps == 2 * task.steps_per_epoch(TrainSettings().batch_size)
