"""A run with refits equals separate runs on cut files, also after interruptions."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from safetensors.torch import load_file

from benchmarks.config.fingerprint import fingerprint
from benchmarks.results.row import Row, Status
from benchmarks.results.store import Store
from benchmarks.runner.checkpointing import RunCheckpoint
from benchmarks.runner.load_run import load_run
from benchmarks.runner.multiseed.eligibility import reason_against_multiseed
from benchmarks.runner.run import RunOptions, prepare, run
from benchmarks.system.signals import Interruption
from tasks.forecast.windows import split_bounds
from tests.helpers.composing import composed
from tests.helpers.synthetic_closes import random_walk

WEEKS, LONGER = 500, 600
"""Of the file, and of the series from which further files are cut."""


@pytest.fixture(scope="module")
def series() -> pd.DataFrame:
    days = pd.date_range("2010-01-03", periods=LONGER, freq="W")
    return pd.DataFrame({"date": days, "close": random_walk(LONGER, seed=5)})


@pytest.fixture(scope="module")
def folder(series: pd.DataFrame, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("refits")
    series[:WEEKS].to_csv(path / "weeks.csv", index=False)
    return path


def trained(folder: Path, file: str, results: str, *overrides: str) -> tuple[Row, Store]:
    store = Store(folder / results)
    config = composed(
        *("model=gru", "task=sp500", f"task.csv={folder / file}", "task.window=4"),
        *("model.hidden_size=4", "train.max_epochs=2", "train.batch_size=128"),
        *("train.device=cpu", "train.threads=1", f"cache_dir={folder / 'cache'}"),
        *overrides,
    )
    return run(config, store, Interruption(), RunOptions()), store


def predictions(store: Store, row: Row) -> pd.DataFrame:
    return pd.read_parquet(store.run(row.run_id).predictions)


def assert_equal_weights(store: Store, row: Row, other_store: Store, other: Row) -> None:
    ours = load_file(store.run(row.run_id).weights)
    theirs = load_file(other_store.run(other.run_id).weights)
    assert ours.keys() == theirs.keys()
    assert all(torch.equal(ours[name], theirs[name]) for name in theirs)


@pytest.fixture(scope="module")
def refitted(folder: Path) -> tuple[Row, Store]:
    return trained(folder, "weeks.csv", "r", "task.refit=yearly")


def test_predictions_equal_those_of_separate_runs_on_cut_files(
    refitted: tuple[Row, Store], folder: Path, series: pd.DataFrame
) -> None:
    row, store = refitted
    found = predictions(store, row)
    bounds = split_bounds(WEEKS)
    day = pd.to_datetime(found["day"])
    compared = 0
    for year, part in found.groupby(day.dt.year):
        start = bounds["test"][0] + int(part.index[0])
        end = round(start * bounds["train"][1] / bounds["test"][0])
        wanted = {"train": (0, end), "validation": (end, start)}
        # A file that the usual split divides at the same days.
        size = next(n for n in range(LONGER) if wanted.items() <= split_bounds(n).items())
        series[:size].to_csv(folder / f"{year}.csv", index=False)
        alone, alone_store = trained(folder, f"{year}.csv", f"r{year}")
        expected = predictions(alone_store, alone)[: len(part)]
        assert part["day"].tolist() == expected["day"].tolist()
        # Evaluation batches of other sizes round differently.
        np.testing.assert_allclose(part["predicted"], expected["predicted"], rtol=1e-8)
        compared += len(part)
    assert compared == len(found) == row.test_size
    assert_equal_weights(store, row, alone_store, alone)  # those of the last year
    errors = found["actual"] - found["predicted"]
    assert row.test_score == pytest.approx(float(np.sqrt((errors**2).mean())), rel=1e-12)


def test_the_row_has_sums_and_the_scores_of_the_first_refit(
    refitted: tuple[Row, Store], folder: Path
) -> None:
    row, _ = refitted
    once, _ = trained(folder, "weeks.csv", "once")
    assert (row.val_score, row.best_epoch, row.epochs) == (
        *(once.val_score, once.best_epoch, once.epochs),
    )
    assert (row.train_size, row.validation_size, row.test_size, row.split) == (
        *(once.train_size, once.validation_size, once.test_size, once.split),
    )
    assert once.fingerprint != row.fingerprint
    # 425 steps precede the test split; 2019 begins after 470 Sundays.
    sizes = [350 - 4 - 1, round(470 * 350 / 425) - 4 - 1]
    assert row.train_size == sizes[0]
    assert row.steps == sum(2 * math.ceil(size / 128) for size in sizes)
    assert row.train_tokens == sum(2 * 4 * size for size in sizes)


@pytest.mark.parametrize("write", [1, 4, 6, 7, 8, 11, 14])
def test_an_interrupted_run_ends_with_the_same_numbers(
    write: int, refitted: tuple[Row, Store], folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Interrupt a run after a checkpoint of the first or second refit, or between them."""
    settings = ("task.refit=yearly", "train.checkpoint_seconds=0")
    original, written = RunCheckpoint.write, 0

    def write_and_stop(self: RunCheckpoint, *what: Any) -> None:
        nonlocal written
        original(self, *what)
        written += 1
        if written == write:
            raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(RunCheckpoint, "write", write_and_stop)
        first, _ = trained(folder, "weeks.csv", f"i{write}", *settings)
    if written < write:
        pytest.fail(f"only {written} checkpoints")
    assert first.status == Status.INTERRUPTED
    row, store = trained(folder, "weeks.csv", f"i{write}", *settings)
    whole, whole_store = refitted
    assert (row.run_id, row.starts, row.status) == (first.run_id, 2, Status.OK)
    names = ("test_score", "val_score", "steps", "train_tokens", "epochs", "mase", "fingerprint")
    assert {n: getattr(row, n) for n in names} == {n: getattr(whole, n) for n in names}
    pd.testing.assert_frame_equal(
        predictions(store, row), predictions(whole_store, whole), check_exact=True
    )
    assert_equal_weights(store, row, whole_store, whole)


def test_a_loaded_run_has_the_network_and_the_data_of_the_last_refit(
    refitted: tuple[Row, Store],
) -> None:
    row, store = refitted
    loaded = load_run(store.run(row.run_id).path)
    network, _ = loaded.network("torch")
    found = predictions(store, row)
    last = found[found["day"] >= found["day"].iloc[-1][:4]]
    (batch,) = loaded.task.batches("test", 1000)
    outputs = network(batch.inputs, batch.lengths, None)[0]
    again = loaded.task.predictions(outputs.detach(), batch)["predicted"]
    np.testing.assert_allclose(again.numpy(), last["predicted"], rtol=1e-6)


def test_several_seeds_are_trained_one_after_the_other(folder: Path) -> None:
    config = composed(
        *("model=gru", "task=sp500", f"task.csv={folder / 'weeks.csv'}", "task.refit=yearly"),
        *("train.device=cpu", "train.threads=1"),
    )
    reason = reason_against_multiseed(prepare(config), [0, 1])
    assert reason == "each run trains several networks (task.refit)"


def test_the_default_keeps_fingerprints() -> None:
    """The hash of the settings before `task.refit` and `task.years` existed."""
    config = composed("model=gru", "task=sp500", "train.device=cpu")
    prepared = prepare(config)
    assert fingerprint(prepared.config, prepared.task.data, "cpu") == "7cae351c3f36323d"
