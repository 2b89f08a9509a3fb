"""Model FLOPs utilisation: counts, and columns of the row."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from benchmarks.config.schema import Config, TrainSettings
from benchmarks.results.row import Row
from benchmarks.results.store import Store
from benchmarks.runner.display import show_row
from benchmarks.runner.run import RunOptions, run
from benchmarks.system import peak_flops as peak
from benchmarks.system.disk_cache import DiskCache
from benchmarks.system.signals import Interruption
from benchmarks.training.mfu import flops_per_token, utilisation
from benchmarks.training.network import build_network
from benchmarks.training.seeding import SeedStreams
from models.base import ModelSettings
from models.baseline import BaselineSettings
from models.recurrent import RecurrentSettings
from tasks.base import Task, TaskSettings
from tasks.imdb import ImdbSettings
from tasks.shakespeare import ShakespeareSettings
from tasks.sp500 import Sp500Settings

CPU = torch.device("cpu")
HIDDEN = 8
BATCH = 16


def per_token(task: TaskSettings, model: ModelSettings, cache: Path) -> tuple[float, Task]:
    """Return the FLOPs per token on the first training batch without those of the encoder."""
    loaded = task.load(DiskCache(cache))
    loaded.to(CPU, torch.float32)
    network, encoder = build_network(Config(task, model), loaded, CPU)
    batch = next(iter(loaded.batches("train", BATCH, SeedStreams(0).data_order(0))))
    found = flops_per_token(network, encoder, batch)
    assert not any(module._forward_hooks for module in network.modules())
    return found - encoder.flops_per_token(), loaded


def test_a_language_head_counts_every_step(shared_cache: Path) -> None:
    settings = ShakespeareSettings(embedding_size=5)
    found, task = per_token(settings, RecurrentSettings(hidden_size=HIDDEN), shared_cache)
    vocabulary = len(task.vocabulary.tokens)  # type: ignore[attr-defined]
    assert found == 2 * HIDDEN * vocabulary


def test_a_forecast_head_counts_once_per_window(shared_cache: Path) -> None:
    settings = Sp500Settings(window=20)
    found, _ = per_token(settings, RecurrentSettings(hidden_size=HIDDEN), shared_cache)
    assert found == pytest.approx(2 * HIDDEN / 20)


def test_a_classification_head_counts_once_per_review(
    shared_cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    settings = ImdbSettings(source="bundled", embedding_size=4, max_length=30, pooling="mean_max")
    model = RecurrentSettings(hidden_size=HIDDEN, bidirectional=True)
    found, task = per_token(settings, model, shared_cache)
    batch = next(iter(task.batches("train", BATCH, SeedStreams(0).data_order(0))))
    # Two poolings of two directions; padding does not count.
    assert found == pytest.approx(2 * 2 * 2 * HIDDEN * BATCH / batch.tokens)
    assert batch.lengths is not None
    assert batch.tokens == int(batch.lengths.sum())


def test_the_share_counts_three_forward_passes() -> None:
    """A product of 2 GFLOP per token at 10 tokens a second computes 60 of 120 GFLOP/s."""
    assert utilisation(2e9, 10.0, peak_gflops=120.0) == 0.5


def run_sp500(tmp_path: Path, model: ModelSettings) -> Row:
    train = TrainSettings(max_steps=4, max_evaluation_batches=1, device="cpu", threads=1)
    task = Sp500Settings(window=10)
    config = Config(task, model, train, cache_dir=str(tmp_path / "cache"))
    return run(config, Store(tmp_path), Interruption(), RunOptions())


def test_a_row_contains_the_terms_of_its_utilisation(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(peak, "measure", lambda device, dtype: 50.0)
    row = run_sp500(tmp_path, RecurrentSettings(hidden_size=HIDDEN, kernel="torch"))
    assert row.flops_per_token is not None
    assert row.tokens_per_second is not None
    flops = row.flops_per_token + 2 * HIDDEN / 10
    assert row.peak_gflops == 50.0
    assert row.model_flops_utilisation == pytest.approx(3 * flops * row.tokens_per_second / 50e9)
    assert (row.kernel, row.precision) == ("torch", "highest")


def test_an_unknown_peak_leaves_the_columns_empty(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(peak, "measure", lambda device, dtype: None)
    row = run_sp500(tmp_path, RecurrentSettings(hidden_size=HIDDEN))
    assert row.status == "ok"
    assert (row.peak_gflops, row.model_flops_utilisation) == (None, None)


def test_a_baseline_has_neither_kernel_nor_utilisation(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(peak, "measure", lambda device, dtype: pytest.fail("measured for nothing"))
    row = run_sp500(tmp_path, BaselineSettings(baseline="random_walk"))
    assert row.status == "ok"
    assert row.train_seconds is not None
    assert (row.kernel, row.precision, row.peak_gflops) == (None, None, None)
    assert row.model_flops_utilisation is None


@pytest.mark.parametrize(("load", "is_noted"), [(1.2, False), (2.2, True)])
def test_a_run_on_a_busy_machine_prints_a_note(
    load: float, is_noted: bool, capsys: pytest.CaptureFixture[str]
) -> None:
    row = Row("r", "ok", load_average=load, threads=1, model="lstm", task="sp500")
    show_row(row, Sp500Settings().primary_metric, "runs/r")
    assert ("its times are not reliable" in capsys.readouterr().out) == is_noted
