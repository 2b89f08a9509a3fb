"""`model=baseline`: a row for each baseline of a task, on the split and metric of the nets."""

from __future__ import annotations

import json
from pathlib import Path

import pandas as pd
import pytest

from benchmarks.config.fingerprint import arm, fingerprint
from tasks.base import DataDescription
from tests.helpers.calling import MACHINE, rows, run_py
from tests.helpers.composing import composed

DATA = DataDescription("toy", "ab" * 32, "none", 3, 2, 1, "numbers")


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory, shared_cache: Path) -> Path:
    """Run a net and all baselines with two seeds in a sweep, then all baselines in one command."""
    directory = tmp_path_factory.mktemp("baselines") / "results"
    places = [*MACHINE, f"results_dir={directory}", f"cache_dir={shared_cache}"]
    sweep = run_py(
        *("-m", "model=rnn,baseline", "task=sp500", "seed=0,1"),
        *("train.max_epochs=1", "model.hidden_size=4", *places),
    )
    assert sweep.returncode == 0, sweep.stdout + sweep.stderr
    alone = run_py("model=baseline", "task=sp500", *places)
    assert alone.returncode == 0, alone.stdout + alone.stderr
    return directory


def test_every_baseline_is_a_row_and_has_no_seed(results: Path) -> None:
    named = composed("model=baseline", "task=sp500").task.baselines()
    found = [row for row in rows(results) if row["baseline"]]
    # Once in the sweep, whose two seeds are one cell, and once as a single run.
    assert sorted(row["model"] for row in found) == sorted([*named, *named])
    for row in found:
        assert row["baseline"] == named[row["model"]].kind
        assert row["seed"] == row["hidden_size"] == row["steps"] == row["encoder_parameters"] == ""
        assert row["status"] == "ok"
        for name in ("test_score", "val_score", "train_seconds", "latency_ms_p50", "peak_rss_mib"):
            assert float(row[name]) >= 0, name
    twice = {row["fingerprint"] for row in found}
    assert len(twice) == len(named)


def test_baselines_and_nets_have_the_same_data_and_metric(results: Path) -> None:
    found = rows(results)
    same = ("metric", "dataset_sha256", "split", "test_size", "rmse_naive", "perfect_score")
    assert all(len({row[name] for row in found}) == 1 for name in same)
    naive = [row for row in found if row["baseline"] == "naive"]
    assert {row["model"] for row in naive} == {"random_walk"}
    assert float(naive[0]["rmse"]) == pytest.approx(float(naive[0]["rmse_naive"]), rel=1e-12)


def test_predictions_are_kept_and_give_the_score(results: Path) -> None:
    for row in rows(results):
        kept = pd.read_parquet(results / "runs" / row["run_id"] / "predictions.parquet")
        assert kept["item"].tolist() == list(range(int(row["test_size"])))
        errors = kept["predicted"] - kept["actual"]
        assert (errors**2).mean() ** 0.5 == pytest.approx(float(row["rmse"]), rel=1e-6)
        assert kept["day"].is_monotonic_increasing


def test_arms_differ_in_more_than_the_seed(results: Path) -> None:
    nets = [row for row in rows(results) if not row["baseline"]]
    assert len(nets) == 2
    assert len({row["arm"] for row in nets}) == 1
    assert len({row["fingerprint"] for row in nets}) == 2
    assert {row["overrides"] for row in nets} == {"train.max_epochs=1 model.hidden_size=4"}
    assert json.loads(json.dumps(nets[0]["match"])) == "hidden"


def test_training_settings_do_not_enter_a_baselines_fingerprint() -> None:
    plain = composed("model=baseline", "model.baseline=drift", "task=sp500")
    other = composed(
        *("model=baseline", "model.baseline=drift", "task=sp500", "seed=3"),
        *("train.learning_rate=0.5", "model.hidden_size=3"),
    )
    assert fingerprint(plain, DATA, "cpu") == fingerprint(other, DATA, "cpu")
    assert arm(plain, DATA) == arm(other, DATA)
    window = composed("model=baseline", "model.baseline=drift", "task=sp500", "task.window=7")
    assert arm(plain, DATA) != arm(window, DATA)


@pytest.mark.parametrize(
    ("command", "message"),
    [
        ("model=baseline model.baseline=random_wlak task=sp500", "did you mean random_walk?"),
        ("-m model=baseline model.baseline=majority task=sp500", "random_walk"),
        ("-m experiment=tune model=baseline task=sp500", "nothing to tune"),
    ],
)
def test_mistakes_get_one_line(command: str, message: str, tmp_path: Path) -> None:
    done = run_py(*command.split(), *MACHINE, f"results_dir={tmp_path}")
    assert done.returncode == 2
    assert done.stderr.startswith("error: ")
    assert message in done.stderr
    assert done.stderr.count("\n") == 1
