"""Cells on a real Ray, started on this machine."""

from __future__ import annotations

import csv
import os
import subprocess
import sys
from pathlib import Path

import psutil
import pytest

from tests.helpers.halting import Halt, go_on, wait_until
from tests.helpers.paths import ROOT

pytest.importorskip("ray", reason="Ray is not installed: pip install -e '.[ray]'")

CELLS = ["model=rnn,gru", "task=sp500", "train.device=cpu", "train.max_epochs=3"]
LONG = ["model=rnn", "seed=0,1", "task=sp500", "train.device=cpu", "train.max_epochs=150"]
RAY = ["hydra/launcher=ray"]
ENVIRONMENT = os.environ | {
    "RAY_USAGE_STATS_ENABLED": "0",
    "RAY_memory_monitor_refresh_ms": "0",  # it kills workers for the memory of other processes
    "RAY_worker_register_timeout_seconds": "300",  # on a busy machine they take more than a minute
}


def command(results: Path, cache: Path, *arguments: str) -> list[str]:
    places = [f"results_dir={results}", f"cache_dir={cache}", "train.threads=1"]
    return [sys.executable, str(ROOT / "run.py"), "-m", *arguments, *places]


def run_py(results: Path, cache: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        command(results, cache, *arguments),
        capture_output=True,
        text=True,
        env=ENVIRONMENT,
    )


def scores(results: Path) -> dict[tuple[str, str], str]:
    with (results / "results.csv").open(newline="", encoding="utf-8") as file:
        return {(row["model"], row["seed"]): row["test_score"] for row in csv.DictReader(file)}


def jobs_of(results: Path) -> list[psutil.Process]:
    """Return the processes that train cells of a results folder."""
    found = []
    for process in psutil.process_iter(["cmdline"]):
        words = process.info["cmdline"] or []
        is_job = "benchmarks.sweeps.launchers.cluster_job" in words
        if is_job and any(str(results) in word for word in words):
            found.append(process)
    return found


def test_cells_run_and_are_not_run_again(tmp_path: Path, shared_cache: Path) -> None:
    here, there = tmp_path / "here", tmp_path / "there"
    assert run_py(here, shared_cache, *CELLS).returncode == 0
    answer = run_py(there, shared_cache, *CELLS, *RAY)
    assert answer.returncode == 0, answer.stdout + answer.stderr
    assert scores(there) == scores(here)
    assert len(scores(there)) == 2
    again = run_py(there, shared_cache, *CELLS, *RAY)
    assert "2 of 2 cells already finished" in again.stdout


def test_a_killed_worker_is_retried_and_its_run_resumed(tmp_path: Path, shared_cache: Path) -> None:
    undisturbed, disturbed = tmp_path / "undisturbed", tmp_path / "disturbed"
    often = "train.checkpoint_seconds=0.1"
    patience = "train.patience=null"
    assert run_py(undisturbed, shared_cache, *LONG, patience).returncode == 0
    halt = Halt(tmp_path / "halt")
    with subprocess.Popen(
        command(disturbed, shared_cache, *LONG, patience, often, *RAY),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        env=ENVIRONMENT | halt.environment(),
    ) as process:
        try:
            job = psutil.Process(halt.wait(process))
            assert job in jobs_of(disturbed)
            assert job.nice() == psutil.Process().nice()
            worker = job.parent()
            assert worker is not None
            worker.kill()
            go_on(job.pid)
            output, _ = process.communicate()
        finally:
            process.kill()
    assert process.returncode == 0, output
    assert scores(disturbed) == scores(undisturbed)
    with (disturbed / "results.csv").open(newline="", encoding="utf-8") as file:
        assert sorted(row["starts"] for row in csv.DictReader(file)) == ["1", "2"]
    wait_until(lambda: not jobs_of(disturbed), "all jobs to end")


def test_an_unreachable_cluster_is_one_line(tmp_path: Path, shared_cache: Path) -> None:
    answer = run_py(
        tmp_path / "r", shared_cache, *CELLS, *RAY, "hydra.launcher.address=127.0.0.1:1"
    )
    assert answer.returncode == 2
    assert "hydra.launcher.address=127.0.0.1:1: cannot be reached (" in answer.stderr
