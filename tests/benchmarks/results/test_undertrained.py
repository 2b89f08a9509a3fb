"""Runs that a limit ended at their best epoch."""

from __future__ import annotations

import pytest

from benchmarks.results.row import Row
from benchmarks.results.undertrained import advice, is_undertrained
from benchmarks.runner.display import show_row
from benchmarks.runner.multiseed.progress import show_rows
from benchmarks.runner.row_columns import fill_from_training
from benchmarks.training.state import TrainingState
from tasks.base import Metric

ACCURACY = Metric("accuracy", "share", True, 1.0)


@pytest.mark.parametrize(
    ("epochs", "best", "stopped_by", "expected"),
    [
        (4, 4, "epochs", True),
        (4, 4, "steps", True),
        (4, 4, "seconds", True),
        (1, 1, "epochs", True),
        (4, 3, "epochs", False),
        (4, 4, "patience", False),
        (4, 2, "patience", False),
        (4, 4, None, None),
        (None, None, None, None),
        (0, None, "steps", None),
    ],
)
def test_a_run_is_undertrained_if_a_limit_ends_it_at_its_best_epoch(
    epochs: int | None, best: int | None, stopped_by: str | None, expected: bool | None
) -> None:
    assert is_undertrained(epochs, best, stopped_by, "time") is expected


@pytest.mark.parametrize("best", [1, 4])
def test_a_run_that_time_ended_before_its_schedule_is_undertrained(best: int) -> None:
    """Under `match=time` the schedule runs over the time."""
    assert is_undertrained(4, best, "seconds", "hidden") is True
    assert is_undertrained(4, best, "seconds", "time") is (best == 4)
    assert is_undertrained(4, best, "steps", "hidden") is (best == 4)
    row = Row("r", "ok", match="hidden")
    fill_from_training(row, TrainingState(epochs=4, best_epoch=best, stopped_by="seconds"))
    assert row.undertrained is True


def test_the_row_and_its_table_say_so(capsys: pytest.CaptureFixture[str]) -> None:
    row = Row("r", "ok", model="lstm", task="t", metric="accuracy")
    fill_from_training(row, TrainingState(epochs=3, best_epoch=3, stopped_by="steps"))
    assert row.undertrained is True
    show_row(row, ACCURACY, "runs/r")
    out = capsys.readouterr().out
    assert "note: undertrained: the best epoch is the last" in out
    assert "raise train.max_steps" in out
    fill_from_training(row, TrainingState(epochs=3, best_epoch=2, stopped_by="steps"))
    assert row.undertrained is False
    show_row(row, ACCURACY, "runs/r")
    assert "raise" not in capsys.readouterr().out


def test_smoke_tests_have_no_advice(capsys: pytest.CaptureFixture[str]) -> None:
    row = Row("r", "ok", undertrained=True, stopped_by="steps", smoke=True)
    show_row(row, ACCURACY, "runs/r")
    assert "raise" not in capsys.readouterr().out


def test_seeds_are_counted(capsys: pytest.CaptureFixture[str]) -> None:
    rows = [Row(f"r{n}", "ok", seed=n, undertrained=n > 0, stopped_by="epochs") for n in range(3)]
    show_rows(rows, ACCURACY, "runs")
    assert "note: 2 of 3 undertrained: " in capsys.readouterr().out


def test_a_budget_of_time_is_raised_by_its_own_key() -> None:
    assert advice([("seconds", "time")]).endswith("raise match.budget_seconds")
    both = advice([("steps", "hidden"), ("epochs", "hidden")])
    assert both.endswith("raise train.max_epochs and train.max_steps")
    assert advice([("seconds", "hidden"), ("epochs", "")]) == (
        "the best epoch is the last or the time limit ended the training before its schedule, so "
        "longer training may improve the score; raise train.max_epochs and train.max_seconds"
    )
