"""Counts of a resumed training, and the number of its checkpoints."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import pytest

import benchmarks.training.trainer
from benchmarks.training.checkpoint import read_checkpoint
from tests.helpers.one_training import KINDS, Load, Process, composed
from tests.helpers.short_trainings import EPOCHS, STEPS


@pytest.mark.parametrize("step", [STEPS, 2 * STEPS + 1, 3 * STEPS, 3 * STEPS + 1])
def test_patience_counts_the_epochs_of_all_starts(
    step: int, load_shortened: Load, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = composed(*KINDS["one output"], "train.patience=2", "train.max_epochs=9")
    scores = iter([3.0, 2.0, 2.5, 2.4, 1.0])
    monkeypatch.setattr(
        benchmarks.training.trainer,
        "evaluate",
        lambda *arguments: dict.fromkeys(("rmse", "loss"), next(scores)),
    )
    first = Process(config, load_shortened(config), tmp_path)
    first.signal_after(step)
    first.stop()
    trainer = Process(config, load_shortened(config), tmp_path).resume()
    record = trainer.state
    assert (record.epochs, record.best_epoch, record.stopped_by) == (4, 2, "patience")
    assert [line["validation_rmse"] for line in record.history] == [3.0, 2.0, 2.5, 2.4]


def test_seconds_add_up_over_the_starts(load_shortened: Load, tmp_path: Path) -> None:
    config = composed(*KINDS["one output"])
    first = Process(config, load_shortened(config), tmp_path)
    first.signal_after(STEPS + 1)
    first.stop()
    before = dataclasses.replace(first.trainer.state)
    assert before.train_seconds > 0 < before.evaluation_seconds
    trainer = Process(config, load_shortened(config), tmp_path).resume()
    assert trainer.state.history[0] == before.history[0]
    assert trainer.state.train_seconds > before.train_seconds
    assert trainer.state.evaluation_seconds > before.evaluation_seconds
    seconds = [line["train_seconds"] for line in trainer.state.history]
    assert seconds == sorted(seconds)


def test_a_second_ctrl_c_in_a_step_waits_for_the_checkpoint(
    load_shortened: Load, tmp_path: Path
) -> None:
    config = composed(*KINDS["one output"])
    process = Process(config, load_shortened(config), tmp_path)
    take = process.trainer.optimizer.step

    def impatient(*arguments: Any) -> Any:
        if process.trainer.state.steps == 2:
            process.interruption.handle(15, None)
            process.interruption.handle(2, None)
        return take(*arguments)

    process.trainer.optimizer.step = impatient  # type: ignore[method-assign]
    with pytest.raises(KeyboardInterrupt, match="SIGTERM"):
        process.trainer.fit()
    assert process.writes == 1
    assert read_checkpoint(process.path)[1]["state"]["steps"] == 3


@pytest.mark.parametrize(
    ("seconds", "writes"), [("null", 1), ("0", EPOCHS * STEPS + 1), ("1e9", 1)]
)
def test_checkpoints_have_the_requested_interval(
    seconds: str, writes: int, load_shortened: Load, tmp_path: Path
) -> None:
    config = composed(*KINDS["one output"], f"train.checkpoint_seconds={seconds}")
    process = Process(config, load_shortened(config), tmp_path)
    process.trainer.fit()
    assert process.writes == writes
