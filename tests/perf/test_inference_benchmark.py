"""The benchmark of inference compares every available form."""

from __future__ import annotations

import pytest

from scripts.perf import inference
from tests.helpers.ratios import read_ratios


def test_the_benchmark_compares_every_form(capsys: pytest.CaptureFixture[str]) -> None:
    words = ["--tasks", "sp500", "--seconds", "0.001", "--threads", "1", "--batch-sizes", "1", "3"]
    assert inference.main([*words, "--models", "lstm", "gru"]) == 0
    ratios = read_ratios(capsys.readouterr().out)
    pairs = (("onnxruntime / torch", "lstm"), ("int8 / onnxruntime", "lstm"))
    pairs = (*pairs, ("onnxruntime / torch", "gru"))
    ways = ((1, "p50"), (3, "throughput"))
    wanted = {f"{a} by {w}, {b} on sp500, batch {n}" for a, b in pairs for n, w in ways}
    # The fused kernel is compared only if it can be compiled.
    assert {ratio.name for ratio in ratios if not ratio.name.startswith("fused")} == wanted
    assert all(ratio.value > 0 and ratio.target == 1 for ratio in ratios)
    assert inference.main(["--tasks", "sp500", "--models", "lstn"]) == 2
    assert "did you mean lstm?" in capsys.readouterr().err


@pytest.mark.parametrize("wrong", ["0", "-1", "nan", "inf"])
def test_times_that_are_not_positive_are_refused(
    wrong: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as ended:
        inference.main(["--seconds", wrong])
    assert ended.value.code == 2
    assert f"--seconds: {wrong}: must be a number above 0;" in capsys.readouterr().err
