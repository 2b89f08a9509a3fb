"""The row of a run for every way its training can end."""

from __future__ import annotations

import csv
import json
import math
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from benchmarks.training.evaluation import NotFiniteError, evaluate
from benchmarks.training.trainer import Trainer
from models.recurrent import RecurrentSettings
from tasks.base import Task
from tests.helpers.toys import ToyNetwork, ToyTask, at_step, run_toy, weight_of


def table(folder: Path) -> list[dict[str, str]]:
    with (folder / "results.csv").open(newline="") as file:
        return list(csv.DictReader(file))


def raising(error: BaseException) -> Callable[[Trainer], None]:
    def event(trainer: Trainer) -> None:
        raise error

    return event


def corrupt_the_weights(trainer: Trainer) -> None:
    weight_of(trainer).data.fill_(math.nan)


def corrupt_the_gradient(trainer: Trainer) -> None:
    gradient = weight_of(trainer).grad
    assert gradient is not None
    gradient.fill_(math.inf)


NO_MEMORY = "[enforce fail at alloc_cpu.cpp:1] DefaultCPUAllocator: can't allocate memory: 9 bytes"


@pytest.mark.parametrize(
    ("event", "status", "error"),
    [
        (raising(KeyboardInterrupt()), "interrupted", "KeyboardInterrupt"),
        (raising(RuntimeError(NO_MEMORY)), "out_of_memory", f"RuntimeError: {NO_MEMORY}"),
        (raising(torch.OutOfMemoryError("CUDA,\nfull")), "out_of_memory", "CUDA, full"),
        (raising(MemoryError()), "out_of_memory", "MemoryError"),
        (corrupt_the_weights, "diverged", "NotFiniteError: the training loss is not finite"),
        (corrupt_the_gradient, "diverged", "NotFiniteError: the validation loss is not finite"),
    ],
)
def test_a_run_that_ends_early_has_a_row(
    event: Callable[[Trainer], None],
    status: str,
    error: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    # In the last step of the second epoch, because only the validation may detect it.
    at_step(monkeypatch, 3 if event is corrupt_the_gradient else 2, event)
    row = run_toy(tmp_path)
    assert row.status == status
    assert row.error is not None
    assert error in row.error
    assert "\n" not in row.error
    assert (row.epochs, row.best_epoch, row.test_score, row.rmse) == (1, 1, None, None)
    assert row.val_score is not None
    assert row.total_seconds is not None
    folder = tmp_path / "runs" / row.run_id
    assert len((folder / "history.csv").read_text().splitlines()) == 2
    assert (folder / "weights.safetensors").exists()
    (line,) = table(tmp_path)
    assert (line["run_id"], line["status"], line["error"]) == (row.run_id, status, row.error)
    assert json.loads((folder / "row.json").read_text())["status"] == status


def test_a_bug_is_raised_and_its_row_stored(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    at_step(monkeypatch, 2, raising(ZeroDivisionError("a bug")))
    with pytest.raises(ZeroDivisionError, match="a bug"):
        run_toy(tmp_path)
    (line,) = table(tmp_path)
    assert (line["status"], line["error"]) == ("failed", "ZeroDivisionError: a bug")
    assert (line["epochs"], line["steps"], line["test_score"]) == ("1", "2", "")


def test_a_run_that_ends_before_its_first_step_has_empty_columns(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Trainer, "warm_up", raising(KeyboardInterrupt()))
    row = run_toy(tmp_path)
    assert row.status == "interrupted"
    empty = (row.val_score, row.best_epoch, row.tokens_per_second, row.peak_memory_mib)
    assert empty == (None, None, None, None)
    assert not (tmp_path / "runs" / row.run_id / "history.csv").exists()


def test_ctrl_c_in_an_evaluation_counts_its_time(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted(self: Task, sums: dict[str, float]) -> dict[str, float]:
        raise KeyboardInterrupt

    monkeypatch.setattr(ToyTask, "metrics", interrupted)
    row = run_toy(tmp_path)
    assert (row.status, row.steps, row.epochs) == ("interrupted", 2, 0)
    assert row.train_seconds is not None
    assert row.eval_seconds is not None
    assert row.train_seconds > 0 < row.eval_seconds


def test_not_finite_is_an_arithmetic_error() -> None:
    network = ToyTask().network(RecurrentSettings(hidden_size=2).build(1))
    assert isinstance(network, ToyNetwork)
    network.weight.data.fill_(math.inf)
    with pytest.raises(NotFiniteError, match="the test loss is not finite"):
        evaluate(network, ToyTask(), "test", 4)
