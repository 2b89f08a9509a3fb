"""Labels of cells, and the notes on unreliable times and kernels."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from omegaconf import OmegaConf

from benchmarks.config.compose import Axes, CellComposer, hydra_at
from benchmarks.config.registry import register_schemas
from benchmarks.config.schema import Config
from benchmarks.results.row import Status
from benchmarks.runner.row_columns import effective_overrides
from benchmarks.sweeps.cell import Cell, Outcome, is_slowed_by_load, used_fallback_kernel
from benchmarks.sweeps.plan import make_plan
from benchmarks.sweeps.progress import SweepProgress, show_outcomes
from tasks.base import DataDescription
from tests.helpers.paths import ROOT

DATA = DataDescription("closes", "ab" * 32, "in order", 8, 1, 1, "days")


def planned(folder: Path) -> list[Cell]:
    """Cells of a sweep over a net and all baselines, two seeds each."""
    register_schemas()
    values = [["model=rnn", "model=baseline"], ["seed=3", "seed=4"], ["train.max_epochs=1"]]
    fixed = ["task=sp500", f"results_dir={folder}"]
    axes = Axes(fixed, values, OmegaConf.create(), "continue", "cpu", has_seeds=True)
    with hydra_at(ROOT / "conf"):
        return make_plan(axes, lambda config: DATA, lambda config: ["cpu"]).cells


def test_a_deterministic_baseline_is_labelled_without_a_seed(tmp_path: Path) -> None:
    """It is one cell for all seeds."""
    cells = planned(tmp_path)
    nets = [cell.label for cell in cells if "baseline" not in cell.label]
    assert nets == [f"model=rnn seed={seed} train.max_epochs=1" for seed in (3, 4)]
    labels = [cell.label for cell in cells if "baseline" in cell.label]
    assert "model=baseline train.max_epochs=1 model.baseline=random_walk" in labels
    assert not any("seed=" in label for label in labels)
    assert len(set(labels)) == len(labels)


def config_of(*overrides: str) -> Config:
    register_schemas()
    with hydra_at(ROOT / "conf"):
        return CellComposer(["task=sp500"]).compose(list(overrides))


def test_a_row_contains_the_requested_kernel() -> None:
    """The column `kernel` has what ran, which auto and fused may have in common."""
    given = ["model=rnn", "model.kernel=auto", "seed=3"]
    assert effective_overrides(config_of(*given), given) == "model.kernel=auto"


@pytest.mark.parametrize(
    ("overrides", "kernel", "is_reported"),
    [
        ("model.kernel=fused x=1", "torch", True),
        ("model.kernel=fused", "fused", False),
        ("model.kernel=fused", None, False),
        ("model.kernel=auto", "torch", False),
        (None, "torch", False),
    ],
)
def test_a_sweep_warns_of_a_fused_kernel_that_did_not_run(
    overrides: str | None,
    kernel: str | None,
    is_reported: bool,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    lacks = used_fallback_kernel({"overrides": overrides, "kernel": kernel})
    show_outcomes([Outcome(planned(tmp_path)[0], Status.OK, "r", used_fallback=lacks)], 1, {})
    message = "warning: model.kernel=fused: PyTorch's kernel ran in 1 cell,"
    assert (message in capsys.readouterr().out) == is_reported


BUSY = {"status": "ok", "threads": 1, "load_average": 3.0}


@pytest.mark.parametrize(
    ("row", "is_slowed"),
    [
        (BUSY | {"train_seconds": 2.0}, True),
        (BUSY | {"train_seconds": None, "trained_together": 3}, False),
        (BUSY | {"status": "failed"}, False),
        (BUSY | {"train_seconds": 2.0, "load_average": 1.2}, False),
    ],
    ids=str,
)
def test_only_rows_with_training_times_count_as_slowed(
    row: dict[str, object],
    is_slowed: bool,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert is_slowed_by_load(row) == is_slowed
    cell = planned(tmp_path)[0]
    show_outcomes([Outcome(cell, Status.OK, "r", is_slowed=is_slowed_by_load(row))], 1, {})
    message = "note: training times of 1 cell are unreliable"
    assert (message in capsys.readouterr().out) == is_slowed


def test_the_time_left_does_not_follow_from_baselines(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    cells = planned(tmp_path)
    net, baseline = cells[0], next(cell for cell in cells if "model.baseline=" in cell.label)
    progress = SweepProgress(9)
    progress.record(Outcome(baseline, Status.OK, "a", score=1.0), "log")
    progress.record(Outcome(net, Status.OK, "b", score=1.0), "log")
    first, second = capsys.readouterr().err.splitlines()
    assert first.startswith("1/9 done: ")
    assert re.match(r"2/9 done, \S+/min, \d+ \S+ left: ", second)


@pytest.mark.parametrize("status", [Status.OK, Status.INTERRUPTED])
def test_the_score_of_an_interrupted_cell_is_not_shown(
    status: Status, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Its training may be resumed, and then end with another one."""
    (cell,) = planned(tmp_path)[:1]
    outcome = Outcome(cell, status, "r", score=3.874, val_score=3.9)
    show_outcomes([outcome], 1, {})
    progress = SweepProgress(1)
    progress.record(outcome, "log")
    printed = "".join(capsys.readouterr())
    assert status in printed
    assert printed.count("3.874") == (2 if status == Status.OK else 0)
