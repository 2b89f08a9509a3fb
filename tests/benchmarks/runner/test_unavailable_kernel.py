"""Where the fused kernel cannot be had PyTorch's runs, and who asked for the other is warned."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from benchmarks.results.store import Store
from benchmarks.runner.run import RunOptions, run
from benchmarks.runner.stages import missing_kernel_message
from benchmarks.system.signals import Interruption
from models.kernels import compiler as library
from tests.helpers.composing import composed

LACK = "CXX=no-such-compiler: no such C++ compiler"


@pytest.fixture
def no_compiler(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setenv("CXX", "no-such-compiler")
    library._load.cache_clear()
    yield
    library._load.cache_clear()


@pytest.mark.parametrize(
    ("kernel", "line"),
    [
        ("auto", f"note: no fused kernel, PyTorch's own runs: {LACK}"),
        (
            "fused",
            f"warning: model.kernel=fused: {LACK}: PyTorch's kernel runs, and the times are its; "
            "install g++ or clang++ (Debian: apt install g++; macOS: xcode-select --install)",
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
    said = capsys.readouterr().out.splitlines()
    assert [each for each in said if "PyTorch's" in each] == ([line] if line else [])


def test_where_there_is_a_compiler_none_is_to_be_installed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("benchmarks.runner.stages.find_compiler", lambda: "/usr/bin/c++")
    told = missing_kernel_message("requires a CPU", was_asked_for=True)
    assert told.startswith("warning: model.kernel=fused: requires a CPU: ")
    assert "install" not in told
