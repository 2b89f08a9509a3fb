"""Trained runs, and scripts/export_model.py as called on the command line."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from benchmarks.results.store import Store
from scripts import export_model
from tests.helpers.trained_runs import RunScript, Train, trained_run


@pytest.fixture
def run_script(capfd: pytest.CaptureFixture[str]) -> RunScript:
    """Return a function that runs the script: exit code, stdout and stderr."""

    def call(*words: object) -> tuple[int, str, str]:
        capfd.readouterr()
        code = export_model.main([*map(str, words)])
        output = capfd.readouterr()
        return code, output.out, output.err

    return call


@pytest.fixture(scope="session")
def trained(tmp_path_factory: pytest.TempPathFactory, shared_cache: Path) -> Train:
    """Train a pair, each once, for a few steps; returns its folder."""
    store = Store(tmp_path_factory.mktemp("results"))
    known: dict[tuple[str, ...], Path] = {}

    def train(*words: str) -> Path:
        if words not in known:
            small = ("debug=smoke", "model.kernel=torch")
            known[words] = trained_run(store, shared_cache, *small, *words)
        return known[words]

    return train


@pytest.fixture
def forecaster(trained: Train, tmp_path: Path) -> Path:
    """The folder of a run on sp500, for this test alone."""
    folder = trained("model=gru", "task=sp500")
    return Path(shutil.copytree(folder, tmp_path / "results" / "runs" / folder.name))
