"""The phase of pretraining: what it trains, its limits, and its part of the clock."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import pytest
import torch

from benchmarks.config.schema import Config
from benchmarks.system.disk_cache import DiskCache
from benchmarks.training.pretraining import is_of_pretraining, phase_config, pretrain
from tests.helpers.one_training import REVIEWS, Process, composed

PRETRAINED = [*REVIEWS, "model.num_layers=1", "train.pretrain=self", "train.pretrain_epochs=3"]


def pretrained(config: Config, cache: Path, folder: Path) -> tuple[Process, dict[str, Any], Any]:
    """Return a process after the phase, the weights before it, and its lines."""
    process = Process(config, config.task.load(DiskCache(cache)), folder)
    trainer = process.trainer
    before = {name: p.detach().clone() for name, p in trainer.network.named_parameters()}
    phase = (process.write, process.interruption, None)
    return process, before, pretrain(trainer, config, trainer.task, *phase)


@pytest.mark.parametrize("model", ["gru", "bilstm"])
def test_embedding_and_encoder_are_trained_and_the_head_is_new(
    model: str, shared_cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    config = composed(*PRETRAINED, f"model={model}", "train.max_steps=3")
    process, before, lines = pretrained(config, shared_cache, tmp_path)
    trainer = process.trainer
    for name, parameter in trainer.network.named_parameters():
        assert torch.equal(parameter, before[name]) == name.startswith("head."), name
        assert parameter.grad is None
    assert not trainer.optimizer.state
    assert [line["steps"] for line in lines] == [3]
    assert "validation_loss" not in lines[0]
    # The clock goes on; steps and epochs begin.
    seconds = trainer.state.pretrain_seconds
    assert seconds is not None
    assert trainer.training_timer.seconds == seconds == lines[-1]["train_seconds"] > 0
    assert (trainer.state.steps, trainer.epoch.number) == (0, 1)
    _, metadata = trainer.checkpoint()
    assert not is_of_pretraining(({}, metadata))
    assert metadata["state"]["pretrain_seconds"] == seconds


def test_the_phase_has_its_own_epochs_and_the_limits_of_time() -> None:
    config = composed(*PRETRAINED, "train.patience=1", "train.max_seconds=9", "train.max_steps=7")
    train = phase_config(config).train
    assert (train.max_epochs, train.patience) == (3, None)
    assert (train.max_seconds, train.max_steps) == (9.0, 7)
    timed = composed(*PRETRAINED, "match=time", "match.budget_seconds=5")
    phase = phase_config(timed)
    assert (phase.train.max_seconds, phase.match.budget_seconds) == (5.0, None)


def test_a_budget_of_time_includes_the_phase(
    shared_cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    config = composed(*PRETRAINED, "match=time", "match.budget_seconds=10", "model=rnn")
    trainer = Process(config, config.task.load(DiskCache(shared_cache)), tmp_path).trainer
    trainer.state.pretrain_seconds = 2.0
    for seconds, done in ((2.0, 0.0), (6.0, 0.5), (10.0, 1.0)):
        trainer.training_timer.start_from(seconds)
        trainer.set_learning_rate(0)
        factor = 0.01 + 0.99 * 0.5 * (1 + math.cos(math.pi * done))
        rate = trainer.optimizer.param_groups[0]["lr"]
        assert rate == pytest.approx(trainer.peak_learning_rate * factor)
        assert trainer.reached_limit() == ("seconds" if done == 1.0 else None)
