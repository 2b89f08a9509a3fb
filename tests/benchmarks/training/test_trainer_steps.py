"""One step of training, how many there are, and which epoch's weights are the best."""

from __future__ import annotations

import dataclasses
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch import nn

import benchmarks.training.trainer
from benchmarks.config.schema import TrainSettings
from benchmarks.system import timer as clocks
from benchmarks.training.optim import make_optimizer, schedule_factor, set_rate
from benchmarks.training.trainer import Trainer
from models.base import ModelSettings
from models.lru import LruSettings
from models.mamba import MambaSettings
from tasks.base import Metric
from tests.helpers.toys import (
    ACCURACY,
    CPU,
    ITEMS,
    RMSE,
    Listener,
    ToyNetwork,
    ToyTask,
    at_step,
    toy_trainer,
    weight_of,
)


@pytest.mark.parametrize(("clip_norm", "kept"), [(0.5, 0.5), (5.0, 2.0), (None, 2.0)])
def test_gradients_are_clipped_by_their_norm(clip_norm: float | None, kept: float) -> None:
    trainer = toy_trainer(clip_norm=clip_norm)
    batch = next(trainer.task.batches("train", ITEMS))
    loss, norm, _ = trainer.forward_backward(batch, None)
    gradient = weight_of(trainer).grad
    assert gradient is not None
    assert abs(gradient.item()) == pytest.approx(kept, rel=1e-5)
    assert loss.item() == 1.0
    assert norm.item() == pytest.approx(2.0)


def test_warm_up_changes_no_weight() -> None:
    trainer = toy_trainer()
    trainer.warm_up()
    assert weight_of(trainer).item() == 0
    assert weight_of(trainer).grad is None
    assert not trainer.optimizer.state
    assert trainer.state.steps == trainer.state.tokens == trainer.training_timer.seconds == 0


@pytest.mark.parametrize("continues", [True, False])
def test_state_is_carried_into_continuing_batches_and_detached(continues: bool) -> None:
    trainer = toy_trainer(
        task=ToyTask(continues), batch_size=2, evaluation_batch_size=2, max_epochs=2
    )
    trainer.fit()
    assert isinstance(trainer.network, ToyNetwork)
    carried = [None if state is None else state[0].item() for state in trainer.network.states]
    one_epoch = [None, 1.0, 2.0, 3.0] if continues else [None] * 4
    assert carried == 4 * one_epoch  # training and validation, twice
    given = [state for state in trainer.network.states if state]
    assert not any(part.requires_grad for state in given for part in state)


@pytest.mark.parametrize(
    ("schedule", "warmup_steps", "step", "total_steps", "factor"),
    [
        ("cosine", 0, 0, 9, 1.0),
        ("cosine", 0, 4, 9, 0.55),
        ("cosine", 0, 8, 9, 0.1),
        ("cosine", 0, 99, 9, 0.1),
        ("cosine", 0, 0, 1, 1.0),
        ("cosine", 4, 0, 13, 0.2),
        ("cosine", 4, 3, 13, 0.8),
        ("cosine", 4, 4, 13, 1.0),
        ("cosine", 4, 8, 13, 0.55),
        ("cosine", 4, 12, 13, 0.1),
        ("constant", 0, 0, 9, 1.0),
        ("constant", 4, 1, 9, 0.4),
        ("constant", 4, 8, 9, 1.0),
        ("step", 4, 1, 15, 0.4),
        ("step", 4, 11, 15, 1.0),
        ("step", 4, 12, 15, 0.1),
        ("step", 4, 14, 15, 0.1),
    ],
)
def test_schedule(
    schedule: str, warmup_steps: int, step: int, total_steps: int, factor: float
) -> None:
    settings = TrainSettings(
        schedule=schedule, warmup_steps=warmup_steps, final_learning_rate_factor=0.1
    )
    assert schedule_factor(settings, step, total_steps) == pytest.approx(factor)


@pytest.mark.parametrize("bound", [{"max_epochs": 5}, {"max_epochs": 99, "max_steps": 7}])
def test_the_last_step_is_taken_at_the_lowest_rate(bound: dict[str, Any]) -> None:
    trainer = toy_trainer(final_learning_rate_factor=0.25, warmup_steps=2, **bound)
    trainer.fit()
    assert trainer.state.history[-1]["learning_rate"] == pytest.approx(0.1 * 0.25)


@pytest.mark.parametrize(
    ("name", "kind"), [("adam", torch.optim.Adam), ("adamw", torch.optim.AdamW)]
)
def test_optimizers(name: str, kind: type) -> None:
    settings = TrainSettings(optimizer=name, beta2=0.9, weight_decay=0.5)
    optimizer = make_optimizer(nn.Linear(1, 1), settings, 0.3, CPU)
    assert type(optimizer).__bases__ == (kind,)  # AdamW may be an Adam
    (group,) = optimizer.param_groups
    assert (group["lr"], group["betas"], group["weight_decay"]) == (0.3, (0.9, 0.9), 0.5)


@pytest.mark.parametrize(
    ("settings", "names"),
    [
        (LruSettings(hidden_size=4), {"radius", "phase", "gain"}),
        (LruSettings(hidden_size=4, sign="any"), {"radius", "gain"}),
        (MambaSettings(hidden_size=4), {"a_log", "step.weight", "step.bias"}),
    ],
)
@pytest.mark.parametrize("block", ["bare", "residual"])
def test_dynamics_have_a_lower_rate_and_no_weight_decay(
    settings: ModelSettings, names: set[str], block: str
) -> None:
    network = dataclasses.replace(settings, block=block, bidirectional=True).build(3)
    optimizer = make_optimizer(network, TrainSettings(weight_decay=0.5), 0.1, CPU)
    rates = {id(p): g for g in optimizer.param_groups for p in g["params"]}
    for name, parameter in network.named_parameters():
        group = rates[id(parameter)]
        is_slow = any(name.endswith(f".{own}") for own in names)
        expected = (0.025, 0.0) if is_slow else (0.1, 0.5)
        assert (group["lr"], group["weight_decay"]) == pytest.approx(expected), name
    assert len(rates) == len(list(network.parameters()))
    set_rate(optimizer, 0.2)
    assert [group["lr"] for group in optimizer.param_groups] == [0.2, 0.05]


# Duration


@pytest.mark.parametrize(
    ("bound", "epochs", "steps", "stopped_by"),
    [
        ({"max_epochs": 3}, 3, 6, "epochs"),
        ({"max_steps": 4}, 2, 4, "steps"),
        ({"max_steps": 5}, 3, 5, "steps"),
        ({"max_epochs": 2, "max_steps": 99}, 2, 4, "epochs"),
    ],
)
def test_bounds_on_epochs_and_steps(
    bound: dict[str, Any], epochs: int, steps: int, stopped_by: str
) -> None:
    trainer = toy_trainer(**bound)
    trainer.fit()
    assert (trainer.state.epochs, trainer.state.steps) == (epochs, steps)
    assert trainer.state.stopped_by == stopped_by
    assert trainer.state.tokens == steps * ITEMS // 2
    assert isinstance(trainer.progress, Listener)
    assert trainer.progress.epochs == trainer.state.history
    assert len(trainer.state.history) == epochs


def test_a_bound_on_seconds_counts_training_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    now = [0.0]
    monkeypatch.setattr(clocks, "time", SimpleNamespace(perf_counter=lambda: now[0]))

    def slow_step(trainer: Trainer) -> None:
        now[0] += 2

    def slow_validation(*arguments: object) -> dict[str, float]:
        now[0] += 100
        return {"loss": 1.0, "rmse": 1.0}

    at_step(monkeypatch, None, slow_step)
    monkeypatch.setattr(benchmarks.training.trainer, "evaluate", slow_validation)
    trainer = toy_trainer(max_seconds=7.0, max_epochs=99)
    trainer.fit()
    record = trainer.state
    assert (record.steps, record.epochs, record.stopped_by) == (4, 2, "seconds")
    assert record.train_seconds == 8
    assert record.evaluation_seconds == 200
    assert record.time_to_best_seconds == 4


def script_validation(monkeypatch: pytest.MonkeyPatch, *scores: dict[str, float]) -> None:
    remaining = iter(scores)
    monkeypatch.setattr(benchmarks.training.trainer, "evaluate", lambda *arguments: next(remaining))


def scores(name: str, *values: float, loss: float = 1.0) -> list[dict[str, float]]:
    return [{name: value, "loss": loss} for value in values]


@pytest.mark.parametrize(
    ("metric", "values", "patience", "epochs", "best_epoch"),
    [
        (RMSE, (3, 2, 2.5, 2.4, 1), 2, 4, 2),
        (RMSE, (3, 2, 2.5, 1, 1.5, 1.4), 2, 6, 4),
        (RMSE, (1, 2), 1, 2, 1),
        (RMSE, (1, 2, 3, 4, 5, 0), None, 6, 6),
        (ACCURACY, (0.5, 0.6, 0.4, 0.5), 2, 4, 2),
    ],
)
def test_patience(
    metric: Metric,
    values: tuple[float, ...],
    patience: int | None,
    epochs: int,
    best_epoch: int,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    script_validation(monkeypatch, *scores(metric.name, *values))
    trainer = toy_trainer(metric, max_epochs=6, patience=patience)
    trainer.fit()
    assert (trainer.state.epochs, trainer.state.best_epoch) == (epochs, best_epoch)
    assert trainer.state.stopped_by == ("epochs" if patience is None else "patience")
    assert trainer.state.best_metrics[metric.name] == values[best_epoch - 1]


def test_a_tie_goes_to_the_lower_loss(monkeypatch: pytest.MonkeyPatch) -> None:
    tied = [scores("accuracy", 0.5, loss=loss)[0] for loss in (0.9, 0.7, 0.8, 0.7)]
    script_validation(monkeypatch, *tied)
    trainer = toy_trainer(ACCURACY, max_epochs=4)
    trainer.fit()
    assert trainer.state.best_epoch == 2
