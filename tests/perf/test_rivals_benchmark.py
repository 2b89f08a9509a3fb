"""The benchmark of rivals on short sequences."""

from __future__ import annotations

import pytest

from models.kernels import compiler
from scripts.perf import rivals
from tests.helpers.ratios import read_ratios

TINY = ["--threads", "1", "--turns", "1", "--lengths", "8"]


@pytest.mark.skipif(
    compiler.unavailable_reason() is not None, reason=str(compiler.unavailable_reason())
)
def test_every_model_with_a_target_has_a_ratio(capsys: pytest.CaptureFixture[str]) -> None:
    models = ["gru", "mingru", "mamba"]
    assert rivals.main([*TINY, "--models", *models]) == 0, capsys.readouterr().err
    output = capsys.readouterr().out
    assert [ratio.name for ratio in read_ratios(output)] == [
        f"time of {model} over the lstm's, 8 steps" for model in ("mingru", "mamba")
    ]
    table = [line.strip("| ").split(" | ") for line in output.splitlines() if "| 8 |" in line]
    assert [line[0] for line in table] == models
    for model, *_, own, reference, ratio in table:
        # After one turn the ratio is that of the two times, which are rounded.
        expected = float(own) / float(reference)
        assert float(ratio.split()[0]) == pytest.approx(expected, rel=0.1), model


def test_a_target_may_depend_on_the_length() -> None:
    assert rivals.target_of("transformer", 256) == 1.0
    assert rivals.target_of("transformer", 1000) == 2.0
    assert rivals.target_of("lru", 1000) == 0.8
    assert rivals.target_of("gru", 256) is None


def test_without_the_fused_kernel_nothing_is_measured(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(compiler, "unavailable_reason", lambda: "there is no C++ compiler")
    assert rivals.main(TINY) == 2
    wanted = "error: the fused kernel is not available: there is no C++ compiler\n"
    assert capsys.readouterr().err == wanted
