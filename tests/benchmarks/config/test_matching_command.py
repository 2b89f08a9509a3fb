"""The command with a budget: a run, a sweep, a search."""

from __future__ import annotations

import csv
from pathlib import Path
from subprocess import CompletedProcess

import pytest
from omegaconf import OmegaConf

from tests.helpers import calling
from tests.helpers.budgets import SP500_BUDGET, plan_of
from tests.helpers.calling import MACHINE, run_py


class Command:
    """The real command in a results folder of its own."""

    def __init__(self, folder: Path, cache: Path) -> None:
        self.results = folder
        self.places = (f"results_dir={folder}", f"cache_dir={cache}")

    def __call__(self, *overrides: str) -> CompletedProcess[str]:
        return run_py("task=sp500", *overrides, *self.places, *MACHINE)

    def rows(self) -> list[dict[str, str]]:
        return calling.rows(self.results)


@pytest.fixture
def command(tmp_path: Path, shared_cache: Path) -> Command:
    return Command(tmp_path / "results", shared_cache)


def test_a_sweep_at_equal_parameters(command: Command) -> None:
    axes = ["model=rnn,gru", "debug=smoke", "match=parameters"]
    refused = command("-m", *axes, "match.budget=4480")
    assert refused.returncode == 2
    assert refused.stderr.startswith("error: match.budget=4480: no hidden size of model=gru")
    assert refused.stderr.strip().endswith("match.budget=4506 suits all cells")
    assert refused.stderr.count("\n") == 1
    assert not any((command.results / "runs").iterdir())
    answer = command("-m", *axes, f"match.budget={SP500_BUDGET}")
    assert answer.returncode == 0, answer.stderr
    rows = {row["model"]: row for row in command.rows()}
    assert {name: row["hidden_size"] for name, row in rows.items()} == {"rnn": "66", "gru": "37"}
    for row in rows.values():
        assert (row["match"], float(row["match_budget"])) == ("parameters", SP500_BUDGET)
        assert abs(int(row["encoder_parameters"]) - SP500_BUDGET) <= SP500_BUDGET / 100
        written = OmegaConf.load(command.results / "runs" / row["run_id"] / "config.yaml")
        assert str(written.model.hidden_size) == row["hidden_size"]
        assert written.match.budget == SP500_BUDGET
    # Another plan has the fingerprints of these rows, so nothing runs twice.
    again = (
        *axes,
        "model.hidden_size=5",
        f"match.budget={SP500_BUDGET}",
        "match.max_factor=20",
        *command.places,
    )
    planned = {cell.fingerprints[0] for cell in plan_of(*again).cells}
    assert planned == {row["fingerprint"] for row in rows.values()}


def test_a_run_at_equal_time(command: Command) -> None:
    answer = command("model=rnn", "match=time", "match.budget_seconds=0.4", "train.max_epochs=1")
    assert answer.returncode == 0, answer.stderr
    (row,) = command.rows()
    assert (row["match"], row["match_budget"], row["stopped_by"]) == ("time", "0.4", "seconds")
    with (command.results / "runs" / row["run_id"] / "history.csv").open(newline="") as file:
        history = list(csv.DictReader(file))
    # Every epoch but the last one ended before the time did.
    assert all(float(line["train_seconds"]) < 0.4 for line in history[:-1])
    assert float(row["train_seconds"]) >= 0.4
    assert history[-1]["steps"] == row["steps"]
    assert "epoch 1  train loss" in answer.stderr


def test_a_search_at_equal_flops_leaves_the_hidden_size_alone(command: Command) -> None:
    pytest.importorskip("optuna")
    search = ["-m", "experiment=tune", "model=rnn,gru", "debug=smoke", "hydra.sweeper.trials=1"]
    answer = command(*search, "match=flops", "match.budget=20000")
    assert answer.returncode == 0, answer.stderr
    assert "note: model.hidden_size is not searched: match=flops determines it" in answer.stdout
    rows = command.rows()
    assert len(rows) == 2
    for row in rows:
        assert abs(int(row["flops_per_token"]) - 20000) <= 200
        assert "model.hidden_size" not in (row["overrides"] or "")
    refused = command(*search, "match=flops", "match.budget=1")
    assert (refused.returncode, refused.stderr.count("\n")) == (2, 1)
    assert "too small for model=rnn" in refused.stderr
