"""The command line beside exported numbers trains the very network that they are of."""

from __future__ import annotations

import shlex
from pathlib import Path

import pytest
from omegaconf import OmegaConf

from benchmarks.config.fingerprint import identity
from benchmarks.export import training_command as again
from benchmarks.export.training_command import training_command
from benchmarks.runner.load_run import load_run
from tests.helpers.composing import composed
from tests.helpers.trained_runs import Train, changed

BEGIN = "python run.py model=gru task=sp500 debug=smoke"


def closes(folder: Path, name: str) -> Path:
    """A table of closes that is the user's own."""
    lines = [
        f"20{y:02}-{m:02}-{d:02},{100 + d + m + (y * d) % 7}"
        for y in range(10, 14)
        for m in range(1, 13)
        for d in range(1, 29)
    ]
    file = folder / name
    file.write_text("\n".join(["date,close", *lines, ""]))
    return file


def test_settings_data_and_seed_are_in_it(trained: Train, tmp_path: Path) -> None:
    file = closes(tmp_path, "own closes (1).csv")
    given = ["task.window=9", "task.start=2010-02-01", "seed=4", "train.learning_rate=0.01"]
    given += ["model.num_layers=2", "train.patience=null"]
    run = load_run(trained("model=gru", "task=sp500", f"task.csv='{file}'", *given))
    command = training_command(run)
    assert shlex.split(command) == [
        *BEGIN.split(),
        *("task.csv='own closes (1).csv'", "task.start=2010-02-01", "task.window=9"),
        *("model.num_layers=2", "model.kernel=torch"),
        *("train.learning_rate=0.01", "train.patience=null", "seed=4"),
    ]
    # What it sets is what the run had, wherever the data lies.
    words = [
        word.replace("own closes", str(tmp_path / "own closes"))
        for word in shlex.split(command)[2:]
    ]
    config, had = composed(*words), run.config
    assert (config.task, config.model, config.seed) == (had.task, had.model, had.seed)
    assert identity(config.train) == identity(had.train)


def test_a_budget_is_in_it_and_not_the_size_that_was_solved_for_it(trained: Train) -> None:
    folder = trained("model=gru", "task=sp500", "match=parameters", "match.budget=2000")
    told = OmegaConf.load(folder / "config.yaml")
    assert told.model.hidden_size == 24
    wanted = f"{BEGIN} match=parameters model.kernel=torch match.budget=2000"
    assert training_command(load_run(folder)) == wanted


def test_other_digits_are_in_it(trained: Train) -> None:
    """Though what is exported is float32."""
    folder = trained("model=gru", "task=sp500", "train.dtype=float64")
    wanted = f"{BEGIN} model.kernel=torch train.dtype=float64"
    assert training_command(load_run(folder)) == wanted


def test_where_nothing_can_be_composed_the_row_tells(
    forecaster: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(again, "defaults", lambda words: None)
    run = load_run(changed(forecaster, overrides="task.window=9 train.max_epochs=2"))
    assert training_command(run) == f"{BEGIN} task.window=9 train.max_epochs=2"


def test_what_cannot_be_composed_has_no_defaults() -> None:
    assert again.defaults(["model=average", "task=sp500"]) is None
