"""The real command on real data: what a run prints, keeps and repeats."""

from __future__ import annotations

import shlex
import subprocess
from dataclasses import dataclass
from pathlib import Path

import pytest
import torch
from omegaconf import OmegaConf
from safetensors.torch import load_file

from benchmarks.config.schema import Config
from benchmarks.results.csv_cells import as_text
from benchmarks.results.row import COLUMNS
from benchmarks.system.disk_cache import DiskCache
from benchmarks.training.evaluation import evaluate
from benchmarks.training.network import build_network
from models.kernels.compiler import unavailable_reason
from tests.helpers.calling import MACHINE, rows, run_py, start_py
from tests.helpers.composing import composed
from tests.helpers.results_folder import Results

SETTINGS = ["model=lstm", "task=sp500", "train.max_epochs=4", "train.learning_rate=0.01"]
SEED = "seed=7"

# Columns that do not apply to sp500, for a run that ended ok.
NOT_APPLICABLE = {"error", "accuracy", "perplexity", "bits_per_character", "other_metrics"}
NOT_APPLICABLE |= {"sweep", "study", "trial", "baseline", "match_budget", "trained_together"}
NOT_APPLICABLE |= {"volatility_rmse", "volatility_rmse_naive"}
NOT_APPLICABLE |= {"init_seed", "order_seed", "split_seed"}
NOT_APPLICABLE |= {"macro_f1", "log_loss", "auroc", "calibration_error"}
NOT_APPLICABLE |= {"tokenization", "vocabulary", "test_in_train"}
NOT_APPLICABLE |= {"rmse_over_seasonal_naive", "smape"}
NOT_APPLICABLE |= {"track", "members", "pretrain_seconds", "pretrain_sha256"}
NOT_APPLICABLE |= {"state_bytes", "step_ms_100", "step_ms_1k", "step_ms_10k"}
MAY_BE_EMPTY = {
    "load_average",
    "git_commit",
    "git_dirty",
    "energy_joules",
}  # by the system and the checkout
MEASURED = {"run_id", "started_at", "load_average", "tokens_per_second", "peak_rss_mib"}
MEASURED |= {"energy_joules", "peak_gflops", "model_flops_utilisation"}
MEASURED |= {"sweep", "concurrent_runs"}  # not the same in a sweep
MEASURED |= {name for name in COLUMNS if "seconds" in name or "latency" in name}


@dataclass(frozen=True)
class Finished:
    """What a first run left, and the folder after a sweep over the seeds 8 and 7 again."""

    results: Results
    first_answer: subprocess.CompletedProcess[str]
    first_table: bytes
    second_answer: subprocess.CompletedProcess[str]
    called_from: Path


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory, shared_cache: Path) -> Finished:
    results = Results(tmp_path_factory.mktemp("run") / "results")
    called_from = tmp_path_factory.mktemp("called-from")
    places = [*MACHINE, f"results_dir={results.folder}", f"cache_dir={shared_cache}"]
    first = start_py(*SETTINGS, SEED, *places, cwd=called_from)
    assert first.returncode == 0, first.stderr
    table = (results.folder / "results.csv").read_bytes()
    # One process for both: what the first of them does to it must not reach the second.
    sweep = [*SETTINGS, "seed=8,7", "resume=never", *places]
    second = start_py("-m", *sweep, cwd=called_from)
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


def test_the_row_describes_configuration_and_data(finished: Finished) -> None:
    row = finished.results.row_json(finished.results.rows[0])
    expected = {
        "smoke": False,
        "task": "sp500",
        "model": "lstm",
        "seed": 7,
        "bidirectional": False,
        "num_layers": 1,
        "hidden_size": 32,
        "learning_rate": 0.01 * 0.16,  # that of the default recipe of the pair
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
    assert {name: row[name] for name in expected} == expected
    assert len(row["dataset_sha256"]) == 64
    assert row["train_size"] > row["test_size"] >= row["validation_size"] > 100
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


def test_all_files_of_a_run_have_the_same_permissions(finished: Finished) -> None:
    run = finished.results.run(finished.results.rows[0])
    modes = {file.name: oct(file.stat().st_mode) for file in run.iterdir()}
    assert set(modes) == {
        *("config.yaml", "history.csv", "row.json", "weights.safetensors"),
        *("command.txt", "predictions.parquet", "predictions-validation.parquet"),
    }
    assert len(set(modes.values())) == 1, modes


def test_the_stored_command_is_that_of_the_run(finished: Finished) -> None:
    for row in finished.results.rows:
        command = (finished.results.run(row) / "command.txt").read_text().splitlines()
        (words,) = map(shlex.split, command)
        assert words[:2] == ["python", "run.py"]
        assert "-m" not in words
        kept = composed(*words[2:])
        assert kept.seeds is None
        assert (kept.model.label, kept.task.name, str(kept.seed)) == (
            *(row["model"], row["task"], row["seed"]),
        )


def test_the_kept_settings_are_those_of_the_run(finished: Finished, shared_cache: Path) -> None:
    """The file alone, under the schema, gives what the command line gave."""
    for row in finished.results.rows:
        expected = composed(
            *SETTINGS,
            f"seed={row['seed']}",
            f"resume={'never' if row['sweep'] else 'continue'}",
            *MACHINE,
            f"results_dir={finished.results.folder}",
            f"cache_dir={shared_cache}",
        )
        schema = OmegaConf.structured(Config(type(expected.task)(), type(expected.model)()))
        kept = OmegaConf.load(finished.results.run(row) / "config.yaml")
        assert OmegaConf.to_object(OmegaConf.merge(schema, kept)) == expected


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


def test_a_sweep_shows_its_cells_and_keeps_their_output(finished: Finished) -> None:
    answer = finished.second_answer
    assert "2 of 2 cells: 2 ok" in answer.stdout
    assert [line.partition(": ")[2] for line in answer.stderr.splitlines()] == [
        f"seed={row['seed']}: ok, test {float(row['test_score']):.4g}"
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
    places = [f"results_dir={finished.results.folder}", f"cache_dir={shared_cache}", *MACHINE]
    answer = run_py("-m", *SETTINGS, "seed=8,7", *places, cwd=tmp_path)
    assert answer.returncode == 0, answer.stderr
    assert "2 of 2 cells: 2 ok (2 already finished)" in answer.stdout
    assert (finished.results.folder / "results.csv").read_bytes() == table
    assert len([*(finished.results.folder / "runs").iterdir()]) == 3


def test_results_dir_puts_everything_elsewhere(finished: Finished) -> None:
    assert [*finished.called_from.iterdir()] == []


@pytest.mark.skipif(unavailable_reason() is not None, reason=str(unavailable_reason()))
def test_the_row_names_the_kernel_that_trained(tmp_path: Path, shared_cache: Path) -> None:
    """Evaluations have longer chunks here, which the other kernel takes."""
    given = ["model=gru", "task=shakespeare", "debug=smoke", "task.chunk_length=5", *MACHINE]
    answer = run_py(*given, f"results_dir={tmp_path / 'r'}", f"cache_dir={shared_cache}")
    assert answer.returncode == 0, answer.stderr
    assert [row["kernel"] for row in rows(tmp_path / "r")] == ["torch"]
