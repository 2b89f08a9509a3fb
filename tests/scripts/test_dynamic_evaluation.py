"""scripts/dynamic_evaluation.py on trained runs: choice, row, comparison and mistakes."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from benchmarks.analysis.compare import compare
from benchmarks.errors import UserError
from benchmarks.results.find_run import find_run
from benchmarks.results.store import Store
from benchmarks.runner.dynamic.evaluation import DECAYS, RATES
from benchmarks.runner.dynamic.model import DynamicModel
from benchmarks.runner.load_run import load_run
from scripts.dynamic_evaluation import main
from tests.helpers.definitions import EXAMPLES
from tests.helpers.trained_runs import changed, predictions_of, refusal_of, row_of, trained_run

Evaluate = Callable[..., Path]

LM = ("task=lm", f"task.data={EXAMPLES['lm']}")


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Store:
    return Store(tmp_path_factory.mktemp("dynamic") / "results")


def trained(store: Store, cache: Path, *words: str) -> Path:
    return trained_run(store, cache, "train.max_epochs=2", "model.hidden_size=8", *words)


@pytest.fixture(scope="module")
def folders(store: Store, shared_cache: Path) -> list[Path]:
    """Two seeds of a network."""
    words = ("model=gru", *LM, "model.kernel=torch")
    return [trained(store, shared_cache, *words, f"seed={seed}") for seed in (0, 1)]


@pytest.fixture
def evaluated(store: Store, capsys: pytest.CaptureFixture[str]) -> Evaluate:
    """Run the script; return the folder of the row."""

    def call(folder: Path, *words: str) -> Path:
        capsys.readouterr()
        assert main([folder.name, "--results", str(store.directory), *words]) == 0
        return Path(capsys.readouterr().out.splitlines()[-1].removeprefix("stored in "))

    return call


def refusal(capsys: pytest.CaptureFixture[str], results: Path, *words: object) -> str:
    return refusal_of(main, capsys, *words, "--results", results)


def test_rate_0_gives_the_static_row_bit_for_bit(folders: list[Path], evaluated: Evaluate) -> None:
    folder = evaluated(folders[0], "--rate", "0", "--decay", "0.01")
    static, row = row_of(folders[0]), row_of(folder)
    for name in ("val_score", "test_score", "val_loss", "test_loss", "bits_per_character"):
        assert row[name] == static[name], name
    for split in ("validation", "test"):
        pd.testing.assert_frame_equal(
            predictions_of(folder, split), predictions_of(folders[0], split)
        )


def test_rate_and_decay_are_chosen_on_validation_alone(
    folders: list[Path], evaluated: Evaluate, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls: list[tuple[str, float, float, float]] = []
    original = DynamicModel.evaluate

    def spy(self: DynamicModel, split: Any, rate: float, decay: float, *more: Any) -> Any:
        metrics = original(self, split, rate, decay, *more)
        calls.append((split, rate, decay, metrics["loss"]))
        return metrics

    monkeypatch.setattr(DynamicModel, "evaluate", spy)
    folder = evaluated(folders[0])
    *trials, test = calls
    grid = [(0.0, 0.0), *((rate, decay) for rate in RATES for decay in DECAYS)]
    assert [call[:3] for call in trials] == [("validation", *values) for values in grid]
    best = min(trials, key=lambda call: call[3])
    assert test[:3] == ("test", *best[1:3])
    row, record = row_of(folder), json.loads((folder / "dynamic.json").read_text())
    assert (record["rate"], record["decay"], record["chunk"]) == (*best[1:3], 20)
    assert [each["val_loss"] for each in record["trials"]] == [call[3] for call in trials]
    assert (row["val_loss"], row["test_loss"]) == (best[3], test[3])


def test_the_row_names_its_run_and_has_its_costs(
    folders: list[Path], evaluated: Evaluate, store: Store
) -> None:
    source = row_of(folders[0])
    folder = evaluated(folders[0], "--rate", "1e-4", "--decay", "0.01", "--chunk", "10")
    row = row_of(folder)
    expected = {"track": "dynamic", "members": folders[0].name, "status": "ok", "model": "gru"}
    same = ("seed", "task", "hidden_size", "parameters", "train_seconds", "split", "recipe")
    assert {name: row[name] for name in expected} == expected
    assert {name: row[name] for name in same} == {name: source[name] for name in same}
    assert source["track"] is None
    assert row["latency_ms_p50"] is None
    assert row["eval_seconds"] > 0
    words = "dynamic.chunk=10 dynamic.rate=0.0001 dynamic.decay=0.01"
    assert row["overrides"].endswith(words)
    mean = predictions_of(folder)["nats"].mean()
    assert row["test_score"] == pytest.approx(np.exp(mean), rel=1e-5)
    assert predictions_of(folder)["item"].tolist() == predictions_of(folders[0])["item"].tolist()
    command = (folder / "command.txt").read_text()
    assert command.startswith(f"python scripts/dynamic_evaluation.py {folders[0].name} ")
    assert find_run("latest", store.directory) == folders[-1]


def test_a_comparison_ranks_the_tracks_apart(
    folders: list[Path], evaluated: Evaluate, store: Store
) -> None:
    for folder in folders:
        for rate in ("3e-4", "1e-5"):
            evaluated(folder, "--rate", rate, "--decay", "0.02")
    groups = {group.title: group for group in compare([store.directory]).groups}
    assert set(groups) == {"lm, track static", "lm, track dynamic"}
    static, dynamic = groups["lm, track static"], groups["lm, track dynamic"]
    assert [(arm.label, arm.score.n) for arm in static.arms] == [("gru", 2)]
    counts = {arm.label: arm.score.n for arm in dynamic.arms}
    fast, slow = (next(n for n in counts if f"rate={rate}" in n) for rate in ("0.0003", "1e-05"))
    assert (counts[fast], counts[slow]) == (2, 2)
    pair = next(pair for pair in dynamic.pairs if {pair.a, pair.b} == {fast, slow})
    assert pair.items is not None


def test_mistakes_get_one_line(
    folders: list[Path],
    evaluated: Evaluate,
    store: Store,
    shared_cache: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    name, results = folders[0].name, store.directory
    assert "--rate -1: must be at least 0" in refusal(capsys, results, name, "--rate=-1")
    assert "--decay 2: must be from 0 to 1" in refusal(capsys, results, name, "--decay", 2)
    assert "--chunk 0: must be at least 1" in refusal(capsys, results, name, "--chunk", 0)
    assert "--results none: no such folder" in refusal(capsys, Path("none"), name)
    diverges = refusal(capsys, results, name, "--rate", 1e300, "--decay", 0)
    assert "--rate 1e+300: the evaluation diverges; give a smaller rate" in diverges
    dynamic = evaluated(folders[0], "--rate", "0", "--decay", "0").name
    assert f"is a dynamic evaluation; give its run: {name}" in refusal(capsys, results, dynamic)
    with pytest.raises(UserError, match="is a dynamic evaluation"):
        load_run(dynamic, results)
    other = Store(tmp_path / "other")
    smoke = trained(other, shared_cache, "model=gru", *LM, "debug=smoke")
    assert "train.max_evaluation_batches=2 does not" in refusal(capsys, other.directory, smoke.name)
    text = ("model=gru", "task=text", f"task.data={EXAMPLES['text']}")
    label = trained(other, shared_cache, *text)
    assert "requires a language model, not task text" in refusal(
        capsys, other.directory, label.name
    )
    failed = Path(shutil.copytree(folders[0], other.runs / name))
    changed(failed, status="failed")
    assert "requires a run of status ok" in refusal(capsys, other.directory, name)


def test_nothing_is_chosen_where_validation_is_test(
    tmp_path: Path, shared_cache: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    store = Store(tmp_path / "results")
    folder = trained(store, shared_cache, "model=rnn", *LM, "task.split=nanogpt")
    for words in ((), ("--rate", "1e-4"), ("--decay", "0.01")):
        err = refusal(capsys, store.directory, folder.name, *words)
        assert "its validation split is its test split" in err
        assert "give --rate and --decay" in err
    given = ["--rate", "1e-4", "--decay", "0.01", "--results", str(store.directory)]
    assert main([folder.name, *given]) == 0
    assert "choice on the validation split" not in capsys.readouterr().out
