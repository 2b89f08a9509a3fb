"""Every performance program runs with small sizes and prints its ratios."""

from __future__ import annotations

import importlib
import json
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch

from scripts.perf import against_keras, data, keras_side, profile_run, sweep_cost
from scripts.perf.pairs import composed, load
from scripts.perf.phases import PHASES, PhaseTimer, by_phase
from scripts.perf.profile_run import PYTHON, shares_of
from tests.helpers.ratios import Ratio, read_ratios

TINY = ["--threads", "1", "--models", "gru"]


def ratios(
    capsys: pytest.CaptureFixture[str], name: str, *arguments: str
) -> tuple[list[Ratio], str]:
    """Run a program; return its ratios and its output."""
    capsys.readouterr()
    module = importlib.import_module(f"scripts.perf.{name}")
    assert module.main(list(arguments)) == 0, capsys.readouterr().err
    output = capsys.readouterr().out
    return read_ratios(output), output


def test_loop(capsys: pytest.CaptureFixture[str]) -> None:
    short = ["--turns", "1", "--seconds", "0.01", "--tasks", "sp500", "shakespeare"]
    found, _ = ratios(capsys, "loop", *TINY, *short, "--set", "model.hidden_size=4")
    assert [ratio.name for ratio in found] == [
        "harness / bare loop, gru on sp500",
        "harness / bare loop, gru on shakespeare",
    ]
    assert all(ratio.value > 0 for ratio in found)
    assert {ratio.target for ratio in found} == {0.98}


def test_variable_length(capsys: pytest.CaptureFixture[str], reviews: Path) -> None:
    short = ["--turns", "1", "--batches", "1", "--models", "bilstm"]
    small = ["model.hidden_size=4", "model.num_layers=2", f"task.source={reviews}"]
    found, output = ratios(capsys, "variable_length", "--threads", "1", *short, "--set", *small)
    assert [ratio.target for ratio in found] == [0.95, 7, 7]
    assert "bilstm, thousand tokens/s, without padding: lengths " in output


def test_data(capsys: pytest.CaptureFixture[str], reviews: Path) -> None:
    short = ["--steps", "2", "--source", str(reviews), "--set", "model.hidden_size=4"]
    found, output = ratios(capsys, "data", *TINY, *short)
    assert [ratio.target for ratio in found] == [15, 1, 0.02, 1.05]
    assert found[0].name == "seconds for 50,000 reviews, scaled from 70"
    assert "first start: 70 reviews" in output
    assert 0.9 < found[3].value < 1.05
    imports = float(output.partition("first step: ")[2].split(" s, ")[1].split()[0])
    assert imports > 0.1


def test_private_memory_is_reported(tmp_path: Path) -> None:
    np.save(tmp_path / "some.npy", np.zeros(2**20, dtype=np.int8))
    mapped = np.load(tmp_path / "some.npy", mmap_mode="c")
    assert mapped.sum() == 0
    assert data.mapped_memory(tmp_path)["resident (RSS)"] >= 2**20
    assert data.mapped_memory(tmp_path)["private"] == 0
    mapped[: 2**19] = 1
    assert data.mapped_memory(tmp_path)["private"] == pytest.approx(2**19, rel=0.02)


def test_sweep_cost(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    table = tmp_path / "results.csv"
    pd.DataFrame(
        {
            "model": ["gru", "gru", "random_walk", "gru"],
            "task": "sp500",
            "status": ["ok", "ok", "ok", "failed"],
            "train_seconds": [10.0, 10.0, 1.0, 1.0],
            "eval_seconds": [1.0, 2.0, 9.0, 9.0],
        }
    ).to_csv(table, index=False)
    short = ["--runs", "1", "--tasks", "sp500", "--table", str(table)]
    found, output = ratios(capsys, "sweep_cost", *TINY, *short)
    assert [ratio.target for ratio in found] == [0.5, 0.15]
    assert found[1].value == 0.2
    assert not found[1].is_met
    assert " latency 0." in output


def test_costs_are_from_start_to_start() -> None:
    rows = [
        {"started_at": f"2026-01-01T00:00:{at}+00:00", "train_seconds": 1.0, "eval_seconds": 0.5}
        for at in ("00.000", "02.000", "04.500")
    ]
    assert sweep_cost.costs_of(rows) == [0.5, 1.0]
    calls = [("clean-up", 1.0), ("data", 2.0), ("clean-up", 3.0), ("data", 4.0)]
    assert by_phase(sweep_cost.calls_of_later_runs(calls))["data"] == 4.0


def test_a_nested_phase_counts_once(monkeypatch: pytest.MonkeyPatch) -> None:
    moments = iter([0.0, 1.0, 4.0, 6.0])
    monkeypatch.setattr("scripts.perf.phases.time.perf_counter", lambda: next(moments))
    timer = PhaseTimer()
    inner = timer.timed("validation", lambda: "scores")
    assert timer.timed("best weights", inner)() == "scores"
    assert timer.calls == [("validation", 3.0), ("best weights", 3.0)]


def test_functions_of_phases_exist_and_are_restored() -> None:
    from benchmarks.runner import stages

    before = stages.test
    timer = PhaseTimer()
    with timer.patched():
        assert stages.test is not before
    assert stages.test is before
    assert set(by_phase(timer.calls)) == set(PHASES)


def test_profile_run(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(profile_run, "percent", lambda share: f"{100 * share:.9f} %")
    page = tmp_path / "page.md"
    short = ["--tasks", "sp500", "--steps", "2", "--write", str(page), "--set", "debug=smoke"]
    _, output = ratios(capsys, "profile_run", *TINY, *short)
    cells = [line.strip("|").split("|") for line in output.splitlines() if line.startswith("|")]
    table = {name.strip(): value.strip() for name, value in cells}
    assert table[""] == "gru on sp500"
    assert 0 < float(table["whole run, s"]) < 100
    shares = {n: float(table[n].removesuffix(" %")) for n in PHASES if n != "clean-up"}
    whole = sum(shares.values()) + float(table["everything else"].removesuffix(" %"))
    assert whole == pytest.approx(100, abs=1)
    assert {name for name, share in shares.items() if share == 0} <= {"sample"}, shares
    assert min(shares.values()) >= 0
    arithmetic = float(table["training: arithmetic at peak"].removesuffix(" %"))
    assert float(table["training: other"].removesuffix(" %")) == pytest.approx(
        100 - arithmetic, abs=0.1
    )
    assert "| whole run, s |" in page.read_text()


def test_operations_fall_into_kinds() -> None:
    operations = [
        ("aten::mkldnn_rnn_layer_backward", 1.0),
        ("FusedLayerBackward", 1.0),
        ("aten::addmm", 2.0),
        ("aten::embedding_dense_backward", 1.0),
        ("aten::_fused_adamw_", 0.5),
        ("aten::add", 1.5),
        ("autograd::engine::evaluate_function: AddBackward0", 1.0),
    ]
    shares = shares_of(operations, 10.0)
    assert list(shares.values()) == pytest.approx([0.2, 0.2, 0.1, 0.05, 0.15, 0.3])
    assert list(shares)[-1] == PYTHON


FAKE_KERAS = """#!{python}
import json, sys
import numpy as np
import pandas as pd
job = np.load(sys.argv[2])
told = json.loads(str(job["settings"]))
assert len(job["train_tokens"]) == job["train_lengths"].sum()
assert told["cell"] == "lstm" and told["length"] == 400 and told["threads"] == 1
count = str(len(job["train_tokens"]))
print(json.dumps({{"versions": count, "seconds": [2.0, 1.0], "accuracies": [0.5, 0.25]}}))
"""


def test_against_keras(capsys: pytest.CaptureFixture[str], reviews: Path, tmp_path: Path) -> None:
    python = tmp_path / "python"
    python.write_text(FAKE_KERAS.format(python=sys.executable))
    python.chmod(0o755)
    short = ["--threads", "1", "--shapes", "LSTM 128", "--epochs", "2"]
    small = ["--source", str(reviews), "--set", "model.hidden_size=4"]
    found, output = ratios(capsys, "against_keras", "--keras-python", str(python), *short, *small)
    assert [ratio.target for ratio in found] == [4, 1]
    tokens = int(output.partition("2 epochs; ")[2].split()[0])
    assert (
        f"Keras: {tokens / 1e3:.1f} thousand tokens/s, without padding; " in output
    )  # its second epoch's
    assert "accuracies 0.500, 0.250" in output


def test_keras_reviews_are_padded_at_the_begin(reviews: Path, tmp_path: Path) -> None:
    config = composed("lstm", "imdb", f"task.source={reviews}", "task.max_length=12")
    task = load(config, torch.device("cpu"))
    file = tmp_path / "job.npz"
    np.savez(file, **against_keras.job_of(config, task, 1))
    rows = keras_side.padded(np.load(file), "validation", 12)
    batch = task.batches("validation", len(rows))
    lengths = task.documents["validation"].lengths
    assert rows.shape == (len(lengths), 12)
    assert ((rows != 0).sum(1) == lengths).all()
    assert sorted(map(tuple, rows.tolist())) == sorted(
        (0,) * (12 - int(n)) + tuple(row[:n].tolist())
        for row, n in zip(*(lambda b: (b.inputs, b.lengths))(next(batch)), strict=True)
    )
    assert json.loads(str(np.load(file)["settings"]))["vocabulary"] == task.vocabulary_size


@pytest.mark.parametrize(
    ("name", "arguments", "message"),
    [
        ("loop", ["--models", "gruu"], "no model gruu (allowed: bigru"),
        ("loop", ["--tasks", "sp50"], "did you mean sp500?"),
        ("loop", ["--models", "gru", "--set", "train.batchsize=1"], "train.batchsize"),
        ("data", ["--source", "/nowhere"], "no such folder"),
        ("sweep_cost", ["--tasks", "sp500", "--table", "none.csv"], "--table none.csv"),
        ("against_keras", ["--keras-python", "/nowhere"], "--keras-python /nowhere"),
    ],
)
def test_invalid_arguments_are_refused_in_one_line(
    name: str,
    arguments: list[str],
    message: str,
    capsys: pytest.CaptureFixture[str],
    reviews: Path,
) -> None:
    module = importlib.import_module(f"scripts.perf.{name}")
    if name == "against_keras":
        arguments = [*arguments, "--source", str(reviews)]
    assert module.main(["--threads", "1", *arguments]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("error: ")
    assert message in line


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["loop", "--turns", "0"], "--turns 0: must be at least 1"),
        (["loop", "--seconds", "-1"], "--seconds -1.0: must be above 0"),
        (["sweep_cost", "--runs", "0"], "--runs 0: must be at least 1"),
        (["seeds", "--epochs", "0"], "--epochs 0: must be at least 1"),
        (["seeds", "--seeds", "1"], "--seeds 1: must be at least 2"),
        (["kernels", "--threads", "9999"], "--threads 9999: this process has"),
        (
            ["loop", "--models", "bigru", "--tasks", "shakespeare"],
            "bigru: bidirectional, so not allowed on shakespeare (causal)",
        ),
        (
            ["loop", "--models", "rnn", "--set", "seeds=[0,1]"],
            "seeds=[0, 1]: not allowed, this program trains one seed",
        ),
    ],
)
def test_options_that_measure_nothing_are_refused_in_one_line(
    arguments: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    name, *options = arguments
    assert importlib.import_module(f"scripts.perf.{name}").main(options) == 2
    assert capsys.readouterr().err.startswith(f"error: {message}")
