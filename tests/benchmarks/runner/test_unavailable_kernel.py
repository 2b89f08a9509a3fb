"""Without the fused kernel PyTorch's runs, with a warning if the fused one was requested."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from benchmarks.results.store import Store
from benchmarks.runner.run import RunOptions, run
from benchmarks.runner.stages import report_missing_kernel
from benchmarks.system.signals import Interruption
from models.kernels import compiler as library
from tests.helpers.composing import composed

REASON = "CXX=no-such-compiler: no such C++ compiler"


@pytest.fixture
def no_compiler(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setenv("CXX", "no-such-compiler")
    library._load.cache_clear()
    yield
    library._load.cache_clear()


@pytest.mark.parametrize(
    ("kernel", "line"),
    [
        ("auto", f"note: no fused kernel, using PyTorch's: {REASON}"),
        (
            "fused",
            f"warning: model.kernel=fused: {REASON}: PyTorch's kernel is used and "
            "its times are measured; install g++ or clang++ "
            "(Debian: apt install g++; macOS: xcode-select --install)",
        ),
        ("torch", None),
    ],
)
@pytest.mark.usefixtures("no_compiler")
def test_a_run_without_a_compiler_says_so(
    kernel: str,
    line: str | None,
    tmp_path: Path,
    shared_cache: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    given = ["model=gru", "task=sp500", "debug=smoke", "train.device=cpu", "train.threads=1"]
    places = [f"cache_dir={shared_cache}", f"results_dir={tmp_path}"]
    config = composed(*given, *places, f"model.kernel={kernel}")
    row = run(config, Store(tmp_path), Interruption(), RunOptions())
    assert (row.status, row.kernel) == ("ok", "torch")
    printed = capsys.readouterr().out.splitlines()
    assert [each for each in printed if "PyTorch's" in each] == ([line] if line else [])


def test_no_compiler_is_suggested_if_there_is_one(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("benchmarks.runner.stages.find_compiler", lambda: "/usr/bin/c++")
    report_missing_kernel("requires a CPU", is_requested=True)
    warning = capsys.readouterr().out
    assert warning.startswith("warning: model.kernel=fused: requires a CPU: ")
    assert "install" not in warning
