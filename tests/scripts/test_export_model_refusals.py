"""Runs and options that scripts/export_model.py refuses, with their messages."""

from __future__ import annotations

import importlib.util
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file

from tests.helpers.paths import ROOT
from tests.helpers.trained_runs import QUICK, RunScript, changed, row_of


def test_runs_that_cannot_be_exported_are_refused(run_script: RunScript, forecaster: Path) -> None:
    def refused(**values: Any) -> str:
        code, _, output = run_script(changed(forecaster, **values), "--no-times")
        assert code == 2
        assert output.startswith("error: ")
        assert output.count("\n") == 1
        return output

    row = row_of(forecaster)
    assert "requires a run of status ok, not interrupted" in refused(status="interrupted")
    assert "is a baseline and has no network" in refused(status="ok", baseline="naive")
    assert "its model gruu is not defined here" in refused(baseline=None, model="gruu")
    assert "the data has changed since the training" in refused(
        model="gru", dataset_sha256="0" * 64
    )
    (forecaster / "weights.safetensors").unlink()
    assert "weights.safetensors: cannot be read" in refused(dataset_sha256=row["dataset_sha256"])


def test_damaged_run_folders_are_refused(run_script: RunScript, forecaster: Path) -> None:
    def refused() -> str:
        code, _, output = run_script(forecaster, "--no-times")
        assert (code, output.count("\n")) == (2, 1)
        return output

    weights = load_file(forecaster / "weights.safetensors")
    save_file({name: tensor[:2] for name, tensor in weights.items()}, forecaster / "w")
    (forecaster / "w").replace(forecaster / "weights.safetensors")
    assert "do not fit the network in config.yaml" in refused()
    (forecaster / "config.yaml").write_text("task: [")
    assert "cannot read the run (while parsing" in refused()
    (forecaster / "config.yaml").write_text("task: 1")
    assert "config.yaml: not the configuration of a run" in refused()
    for row in ("{}", "[1]"):
        (forecaster / "row.json").write_text(row)
        assert "row.json: not the row of a run" in refused()


def test_weights_with_another_score_are_refused(run_script: RunScript, forecaster: Path) -> None:
    weights = load_file(forecaster / "weights.safetensors")
    other = {name: tensor + 0.5 for name, tensor in weights.items()}
    save_file(other, forecaster / "weights.safetensors")
    code, _, output = run_script(forecaster, *QUICK)
    assert code == 2
    assert "code has changed since the run was trained" in output


def test_invalid_options_are_refused_in_one_line(
    run_script: RunScript, forecaster: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = forecaster / "row.json"
    for words, wanted in (
        (("--csv", "none/t.csv"), "error: --csv none/t.csv: there is no folder none\n"),
        (("--out", file, "--no-times"), f"error: --out {file}: cannot be written (File exists)\n"),
        (("--csv", tmp_path), f"error: --csv {tmp_path}: is a folder (allowed: a file)\n"),
        (
            ("--seconds", "0"),
            "error: --seconds 0: must be a number above 0 (without times: --no-",
        ),
        (("--seconds", "-1"), "error: --seconds -1: must be a number above 0"),
        (("--seconds", "nan"), "error: --seconds nan: must be a number above 0"),
        (("--threads", "0"), "error: --threads 0: must be at least 1\n"),
        (("--no-times", "--seconds", "1"), "error: --seconds 1.0: has no effect with"),
        (("--no-times", "--device", "cpu"), "error: --device cpu: has no effect with"),
        (("--no-times", "--csv", "t.csv"), "error: --csv t.csv: has no effect with"),
        (("--no-times", "--write", "t.md"), "error: --write t.md: has no effect with"),
    ):
        code, _, output = run_script(forecaster, *words)
        assert code == 2
        assert output.startswith(wanted)
        assert output.count("\n") == 1
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    code, _, output = run_script(forecaster, "--device", "cuda")
    assert (code, output) == (
        2,
        "error: --device cuda: no CUDA device is available (allowed: cpu)\n",
    )
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    code, _, output = run_script(forecaster)
    assert (code, output) == (
        2,
        "error: export needs onnx and onnxruntime: pip install -e '.[export]'\n",
    )


def test_an_unknown_run_is_refused_without_importing_torch(tmp_path: Path) -> None:
    program = (
        "import sys; from scripts.export_model import main; code = main(sys.argv[1:])\n"
        "assert 'torch' not in sys.modules; sys.exit(code)"
    )
    ended = subprocess.run(
        [sys.executable, "-c", program, str(tmp_path / "nope")],
        cwd=ROOT,
        capture_output=True,
        text=True,
    )
    assert ended.stderr == f"error: {tmp_path / 'nope'}: there is no such folder\n"
    assert ended.returncode == 2
