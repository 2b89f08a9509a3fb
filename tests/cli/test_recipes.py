"""Recipes and runs without test scores, by the real command."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.helpers.calling import QUICK, rows, run_py

RUN_FILES = ("config.yaml", "history.csv", "row.json")


@pytest.fixture
def places(tmp_path: Path, shared_cache: Path) -> list[str]:
    return [*QUICK, f"results_dir={tmp_path / 'r'}", f"cache_dir={shared_cache}"]


def test_a_run_without_test_is_validated_alone(tmp_path: Path, places: list[str]) -> None:
    common = ["model=lstm", "recipe=strong", "seeds=[0,1]", *places]
    for arguments in (["train.test=false"], []):
        answer = run_py(*common, *arguments)
        assert answer.returncode == 0, answer.stderr
    found = rows(tmp_path / "r")
    without, tested = found[:2], found[2:]
    assert [row["seed"] for row in found] == ["0", "1", "0", "1"]
    assert {row["recipe"] for row in found} == {"strong"}
    # The values of the recipe, of which debug=smoke replaces the hidden size.
    assert {(row["hidden_size"], row["dropout"]) for row in found} == {("8", "0.2")}
    assert {row["overrides"] for row in tested} == {""}
    assert {row["overrides"] for row in without} == {"train.test=false"}
    scores = ("test_score", "test_loss", "rmse", "rmse_over_naive", "mae", "mase")
    for row, other in zip(without, tested, strict=True):
        assert {row[column] for column in scores} == {""}
        assert "" not in {other[column] for column in scores}
        assert row["fingerprint"] != other["fingerprint"]
        assert row["status"] == other["status"] == "ok"
        for column in ("val_score", "val_loss", "best_epoch", "steps", "parameters"):
            assert row[column] == other[column] != ""
        folder = tmp_path / "r" / "runs" / row["run_id"]
        assert not (folder / "predictions.parquet").exists()
        assert all((folder / name).exists() for name in RUN_FILES)
        assert (folder.parent / other["run_id"] / "predictions.parquet").exists()


def test_a_sweep_without_test_shows_validation_scores(tmp_path: Path, places: list[str]) -> None:
    grid = ["-m", "experiment=tune_dropout", "model=gru,baseline", "model.dropout=0.1,0.2"]
    answer = run_py(*grid, "seed=0", *places)
    assert answer.returncode == 0, answer.stderr
    assert "validation" in answer.stdout
    assert "test score" not in answer.stdout
    found = rows(tmp_path / "r")
    assert {row["recipe"] for row in found} == {"default"}
    assert {bool(row["baseline"]) for row in found} == {True, False}
    # A baseline has no settings to choose: its run is the same with and without train.test.
    assert {(row["test_score"] == "") == (row["baseline"] == "") for row in found} == {True}
    assert {row["dropout"] for row in found if not row["baseline"]} == {"0.1", "0.2"}
