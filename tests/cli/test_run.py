"""The real command on real data: what a run prints, keeps and repeats, and how it ends."""

from __future__ import annotations

import csv
import json
import os
import signal
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import torch
from hydra import compose, initialize_config_dir
from omegaconf import OmegaConf
from safetensors.torch import load_file

from benchmarks.cache import DiskCache
from benchmarks.config import Config, checked_config, register_schemas
from benchmarks.evaluation import evaluate
from benchmarks.measurement import build_network
from benchmarks.results import COLUMNS
from benchmarks.table import as_text

ROOT = Path(__file__).resolve().parents[2]
SETTINGS = ["model=lstm", "task=sp500", "train.max_epochs=4", "train.learning_rate=0.01"]
SEED = "seed=7"
MACHINE = ["train.device=cpu", "train.threads=1"]
ENVIRONMENT = os.environ | {"HF_HUB_OFFLINE": "1"}
BUNDLED_TEXT = ROOT / "tasks" / "data" / "tinyshakespeare.txt"

# Columns that sp500 has nothing to say in, for a run that ended well.
NOT_APPLICABLE = {"error", "accuracy", "perplexity", "bits_per_character", "other_metrics"}
NOT_APPLICABLE |= {"sweep", "study", "trial", "baseline", "match_budget", "trained_together"}
NOT_APPLICABLE |= {"volatility_rmse", "volatility_rmse_naive"}
MAY_BE_EMPTY = {"load_average", "git_commit", "git_dirty"}  # by the system and the checkout
MEASURED = {"run_id", "started_at", "load_average", "tokens_per_second", "peak_rss_mib"}
MEASURED |= {"peak_gflops", "model_flops_utilisation"}
MEASURED |= {"sweep", "concurrent_runs"}  # the same question may be asked in and beside a sweep
MEASURED |= {name for name in COLUMNS if "seconds" in name or "latency" in name}


@dataclass(frozen=True)
class Results:
    """A results folder that the command wrote to."""

    folder: Path

    @property
    def rows(self) -> list[dict[str, str]]:
        with (self.folder / "results.csv").open(newline="", encoding="utf-8") as file:
            return list(csv.DictReader(file))

    def run(self, row: dict[str, str]) -> Path:
        return self.folder / "runs" / row["run_id"]

    def row_json(self, row: dict[str, str]) -> dict[str, Any]:
        document: dict[str, Any] = json.loads((self.run(row) / "row.json").read_text())
        return document

    def history(self, row: dict[str, str]) -> list[dict[str, str]]:
        with (self.run(row) / "history.csv").open(newline="") as file:
            return list(csv.DictReader(file))


@dataclass(frozen=True)
class Finished:
    """What a first run left, and the folder after a sweep over the seeds 8 and 7 again."""

    results: Results
    first_answer: subprocess.CompletedProcess[str]
    first_table: bytes
    second_answer: subprocess.CompletedProcess[str]
    called_from: Path


def command(*overrides: str) -> list[str]:
    return [sys.executable, str(ROOT / "run.py"), *overrides, *MACHINE]


def run_py(*overrides: str, cwd: Path = ROOT) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        command(*overrides), cwd=cwd, env=ENVIRONMENT, capture_output=True, text=True, timeout=300
    )


def composed(*overrides: str) -> Config:
    register_schemas(ROOT / "conf")
    with initialize_config_dir(str(ROOT / "conf"), version_base="1.3"):
        return checked_config(compose("config", overrides=list(overrides)))


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory, shared_cache: Path) -> Finished:
    results = Results(tmp_path_factory.mktemp("run") / "results")
    called_from = tmp_path_factory.mktemp("called-from")
    places = [f"results_dir={results.folder}", f"cache_dir={shared_cache}"]
    first = run_py(*SETTINGS, SEED, *places, cwd=called_from)
    assert first.returncode == 0, first.stderr
    table = (results.folder / "results.csv").read_bytes()
    # One process for both: what the first of them does to it must not reach the second.
    sweep = [*SETTINGS, "seed=8,7", "resume=never", *places]
    second = run_py("-m", *sweep, cwd=called_from)
    assert second.returncode == 0, second.stderr
    return Finished(results, first, table, second, called_from)


def test_each_run_appends_one_row_and_leaves_the_others_alone(finished: Finished) -> None:
    assert finished.first_table.count(b"\n") == 2
    table = (finished.results.folder / "results.csv").read_bytes()
    assert table.startswith(finished.first_table)
    assert [row["seed"] for row in finished.results.rows] == ["7", "8", "7"]
    assert [row["status"] for row in finished.results.rows] == ["ok"] * 3
    assert all(list(finished.results.row_json(row)) == COLUMNS for row in finished.results.rows)
    run_ids = [row["run_id"] for row in finished.results.rows]
    assert run_ids == sorted(set(run_ids))
    assert {folder.name for folder in (finished.results.folder / "runs").iterdir()} == set(run_ids)


def test_the_columns_are_those_of_the_row(finished: Finished) -> None:
    assert finished.first_table.splitlines()[0].decode() == ",".join(COLUMNS)


def test_row_json_is_the_line_of_the_table(finished: Finished) -> None:
    for row in finished.results.rows:
        document = finished.results.row_json(row)
        assert {name: as_text(value) for name, value in document.items()} == row


def test_what_applies_is_filled_and_what_does_not_is_empty(finished: Finished) -> None:
    row = finished.results.rows[0]
    empty = {name for name, value in row.items() if value == ""}
    assert empty - MAY_BE_EMPTY == NOT_APPLICABLE


def test_the_row_says_what_was_asked_and_of_what_data(finished: Finished) -> None:
    row = finished.results.row_json(finished.results.rows[0])
    wanted = {
        "smoke": False,
        "task": "sp500",
        "model": "lstm",
        "seed": 7,
        "bidirectional": False,
        "num_layers": 1,
        "hidden_size": 32,
        "learning_rate": 0.01,
        "metric": "rmse",
        "higher_is_better": False,
        "epochs": 4,
        "device": "cpu",
        "dtype": "float32",
        "threads": 1,
        "deterministic": True,
        "torch_version": torch.__version__,
        # One direction of an LSTM over (return, size of return), then a linear head.
        "encoder_parameters": 4 * 32 * (2 + 32 + 2),
        "parameters": 4 * 32 * (2 + 32 + 2) + 32 + 1,
        "flops_per_token": 2 * 4 * 32 * (2 + 32),
    }
    assert {name: row[name] for name in wanted} == wanted
    assert len(row["dataset_sha256"]) == 64
    assert row["train_size"] > row["validation_size"] >= row["test_size"] > 100
    assert row["train_tokens"] == 4 * 30 * row["train_size"]
    assert row["steps"] == 4 * -(-row["train_size"] // row["batch_size"])


def test_the_scores_are_those_of_the_best_epoch(finished: Finished) -> None:
    for row in finished.results.rows:
        scores = [float(epoch["validation_rmse"]) for epoch in finished.results.history(row)]
        assert len(scores) == int(row["epochs"])
        assert float(row["val_score"]) == min(scores)
        assert scores.index(min(scores)) == int(row["best_epoch"]) - 1
        assert row["test_score"] == row["rmse"]


def test_the_clocks_fit_into_one_another(finished: Finished) -> None:
    for text in finished.results.rows:
        row = finished.results.row_json(text)
        assert 0 < row["time_to_best_seconds"] <= row["train_seconds"]
        parts = row["train_seconds"] + row["eval_seconds"] + row["prepare_seconds"]
        assert row["total_seconds"] >= parts
        assert row["tokens_per_second"] == pytest.approx(row["train_tokens"] / row["train_seconds"])
        assert 0 < row["latency_ms_p50"] <= row["latency_ms_p95"]
        assert 0 < row["peak_memory_mib"] < row["peak_rss_mib"]


def test_the_kept_weights_reproduce_the_test_score(finished: Finished, shared_cache: Path) -> None:
    row = finished.results.rows[0]
    config = composed(*SETTINGS, SEED, *MACHINE)
    task = config.task.load(DiskCache(shared_cache))
    task.to(torch.device("cpu"), torch.float32)
    network, _ = build_network(config, task, torch.device("cpu"))
    network.load_state_dict(load_file(finished.results.run(row) / "weights.safetensors"))
    again = evaluate(network, task, "test", config.train.evaluation_batch_size)
    assert again["rmse"] == float(row["test_score"])
    assert again["mase"] == float(row["mase"])


def test_whoever_may_read_the_row_may_read_the_weights(finished: Finished) -> None:
    run = finished.results.run(finished.results.rows[0])
    modes = {file.name: oct(file.stat().st_mode) for file in run.iterdir()}
    assert set(modes) == {
        *("config.yaml", "history.csv", "row.json", "weights.safetensors"),
        "predictions.parquet",
    }
    assert len(set(modes.values())) == 1, modes


def test_the_kept_settings_are_those_of_the_run(finished: Finished, shared_cache: Path) -> None:
    """The file alone, under the schema, gives what the command line gave."""
    for row in finished.results.rows:
        wanted = composed(
            *SETTINGS,
            f"seed={row['seed']}",
            f"resume={'never' if row['sweep'] else 'continue'}",
            *MACHINE,
            f"results_dir={finished.results.folder}",
            f"cache_dir={shared_cache}",
        )
        schema = OmegaConf.structured(Config(type(wanted.task)(), type(wanted.model)()))
        kept = OmegaConf.load(finished.results.run(row) / "config.yaml")
        assert OmegaConf.to_object(OmegaConf.merge(schema, kept)) == wanted


def test_one_seed_gives_one_result_bit_for_bit(finished: Finished) -> None:
    results = finished.results
    first, other, again = results.rows
    for row in (other, again):
        assert (row["fingerprint"] == first["fingerprint"]) == (row is again)
        assert (row["test_score"] == first["test_score"]) == (row is again)
    assert [n for n in COLUMNS if n not in MEASURED and first[n] != again[n]] == []
    curves = [
        [{n: v for n, v in line.items() if n != "train_seconds"} for line in results.history(row)]
        for row in (first, other, again)
    ]
    assert curves[0] == curves[2] != curves[1]
    weights = [(results.run(row) / "weights.safetensors").read_bytes() for row in results.rows]
    assert weights[0] == weights[2] != weights[1]


def test_the_terminal_shows_data_curve_and_table(finished: Finished) -> None:
    row = finished.results.row_json(finished.results.rows[0])
    answer = finished.first_answer
    assert row["dataset"] in answer.stdout
    assert f"{row['train_size']:,} train" in answer.stdout
    assert "lstm on sp500: ok" in answer.stdout
    for name in ("test_score", "train_seconds", "peak_memory_mib", "latency_ms_p95"):
        assert f" {name} " in answer.stdout
    assert f"{row['test_score']:.4g}" in answer.stdout
    assert str(finished.results.run(finished.results.rows[0])) in answer.stdout
    assert answer.stderr.count("validation rmse") == 4
    assert "warning" not in (answer.stdout + answer.stderr).lower()


def test_a_sweep_shows_its_cells_and_keeps_what_they_said(finished: Finished) -> None:
    answer = finished.second_answer
    assert "2 of 2 cells: 2 ok" in answer.stdout
    assert [line.partition(": ")[2] for line in answer.stderr.splitlines()] == [
        f"seed={row['seed']}: ok, score {float(row['test_score']):.4g}"
        for row in finished.results.rows[1:]
    ]
    assert f"table: {finished.results.folder / 'results.csv'}" in answer.stdout
    first, *swept = finished.results.rows
    assert first["sweep"] == ""
    (sweep,) = (finished.results.folder / "sweeps").iterdir()
    assert {row["sweep"] for row in swept} == {sweep.name}
    logs = sorted((sweep / "logs").iterdir())
    assert [log.name for log in logs] == ["00000-seed=8.log", "00001-seed=7.log"]
    for log in logs:
        assert log.read_text(encoding="utf-8").count("validation rmse") == 4


def test_what_a_sweep_has_finished_is_not_run_again(
    finished: Finished, shared_cache: Path, tmp_path: Path
) -> None:
    table = (finished.results.folder / "results.csv").read_bytes()
    places = [f"results_dir={finished.results.folder}", f"cache_dir={shared_cache}"]
    answer = run_py("-m", *SETTINGS, "seed=8,7", *places, cwd=tmp_path)
    assert answer.returncode == 0, answer.stderr
    assert "2 of 2 cells: 2 ok, 2 of them before" in answer.stdout
    assert (finished.results.folder / "results.csv").read_bytes() == table
    assert len([*(finished.results.folder / "runs").iterdir()]) == 3


def test_results_dir_puts_everything_elsewhere(finished: Finished) -> None:
    assert [*finished.called_from.iterdir()] == []


def test_a_run_that_diverges_is_a_row(tmp_path: Path) -> None:
    results = Results(tmp_path / "results")
    answer = run_py(
        "model=rnn", "task=sp500", "train.learning_rate=1e30", f"results_dir={results.folder}"
    )
    assert answer.returncode == 1
    assert "Traceback" not in answer.stderr
    assert "rnn on sp500: diverged" in answer.stdout
    (row,) = results.rows
    assert row["status"] == "diverged"
    assert row["error"].startswith("NotFiniteError: ")
    assert row["test_score"] == row["val_score"] == row["rmse"] == ""
    assert int(row["steps"]) > 0
    assert not (results.run(row) / "weights.safetensors").exists()


def test_a_smoke_test_marks_its_row(tmp_path: Path) -> None:
    results = Results(tmp_path / "results")
    answer = run_py("model=gru", "task=shakespeare", "debug=smoke", f"results_dir={results.folder}")
    assert answer.returncode == 0, answer.stderr
    (row,) = results.rows
    assert (row["status"], row["smoke"]) == ("ok", "true")
    assert row["test_score"] == row["perplexity"] != ""
    assert row["rmse"] == row["accuracy"] == ""
    sample = (results.run(row) / "sample.txt").read_text(encoding="utf-8")
    assert len(sample) == 400
    assert sample in answer.stdout


@pytest.mark.skipif(
    signal.getsignal(signal.SIGINT) is signal.SIG_IGN, reason="Ctrl-C is ignored here"
)
@pytest.mark.parametrize(
    ("sent", "error"),
    [
        (signal.SIGINT, "KeyboardInterrupt: SIGINT"),
        (signal.SIGTERM, "KeyboardInterrupt: SIGTERM"),
        (signal.SIGHUP, "KeyboardInterrupt: SIGHUP"),
    ],
)
def test_ctrl_c_and_kill_leave_a_row_of_what_there_was(
    sent: signal.Signals, error: str, tmp_path: Path
) -> None:
    results = Results(tmp_path / "results")
    corpus = tmp_path / "text.txt"
    corpus.write_text(BUNDLED_TEXT.read_text(encoding="utf-8")[:20_000], encoding="utf-8")
    running = subprocess.Popen(
        command(
            "model=lstm",
            "task=shakespeare",
            f"task.corpus={corpus}",
            "model.hidden_size=16",
            "train.max_epochs=100000",
            f"results_dir={results.folder}",
        ),
        cwd=ROOT,
        env=ENVIRONMENT,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert running.stderr is not None
    try:
        before = running.stderr.readline()
        running.send_signal(sent)
        output, after = running.communicate(timeout=60)
    finally:
        running.kill()
        running.wait()
    assert before.startswith("epoch 1/")
    assert running.returncode == 130
    assert "Traceback" not in after
    assert "lstm on shakespeare: interrupted" in output
    (row,) = results.rows
    assert (row["status"], row["error"]) == ("interrupted", error)
    assert row["test_score"] == row["perplexity"] == row["stopped_by"] == ""
    assert len(results.history(row)) == int(row["epochs"]) >= 1
    assert float(row["val_score"]) > 1
    assert "goes on from its checkpoint" in after
    assert (results.run(row) / "checkpoint.safetensors").is_file()
    assert not [*(results.folder / "running").iterdir()]


# Put before the command, these stand for what happens to it.
CTRL_C_WHILE_READING = """
from tasks.sp500 import Sp500Settings
def load(self, cache):
    raise KeyboardInterrupt
Sp500Settings.load = load
"""
BUG_IN_THE_LOSS = """
from tasks.sp500 import Sp500Task
def loss(self, outputs, batch):
    raise ZeroDivisionError("a bug")
Sp500Task.loss = loss
"""


def run_py_after(happening: str, *overrides: str) -> subprocess.CompletedProcess[str]:
    _, script, *arguments = command(*overrides)
    start = f"{happening}\nimport runpy\nrunpy.run_path({script!r}, run_name='__main__')"
    return subprocess.run(
        [sys.executable, "-c", start, *arguments],
        cwd=ROOT,
        env=ENVIRONMENT | {"PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=120,
    )


def test_ctrl_c_before_there_is_a_row_is_no_traceback_either(tmp_path: Path) -> None:
    answer = run_py_after(CTRL_C_WHILE_READING, "task=sp500", f"results_dir={tmp_path}")
    assert "Traceback" not in answer.stderr
    assert answer.returncode == 130


def test_a_bug_is_a_row_and_a_traceback(tmp_path: Path) -> None:
    answer = run_py_after(BUG_IN_THE_LOSS, "task=sp500", f"results_dir={tmp_path}")
    assert answer.returncode == 1
    assert answer.stderr.rstrip().endswith("ZeroDivisionError: a bug")
    (row,) = Results(tmp_path).rows
    assert (row["status"], row["error"]) == ("failed", "ZeroDivisionError: a bug")
