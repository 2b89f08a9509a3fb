"""The benchmark of kernels with small shapes, and without the fused kernel."""

from __future__ import annotations

import pytest

from models.kernels import compiler as library
from scripts.perf import kernels
from scripts.perf.measuring import Report
from tests.helpers.ratios import read_ratios

TINY = ["--threads", "1", "--turns", "1"]


@pytest.mark.skipif(
    library.unavailable_reason() is not None, reason=str(library.unavailable_reason())
)
def test_every_speed_has_the_name_of_its_kernel(capsys: pytest.CaptureFixture[str]) -> None:
    assert kernels.main([*TINY, "--shapes", "8,9,1,8", "8,1,8,8"]) == 0, capsys.readouterr().err
    output = capsys.readouterr().out
    assert [ratio.name for ratio in read_ratios(output)] == [
        f"speed of fused over torch's, {cell} (8, 9, 1, 8), 1 threads" for cell in kernels.CELLS
    ]
    table = [line.split(" | ") for line in output.splitlines() if line.startswith("| (")]
    assert [line[5] for line in table] == ["fused"] * 3 + ["torch"] * 3
    for torch, fused, gain in ((line[3], line[4], line[6]) for line in table):
        # After one turn the ratio is that of the two times, which are rounded.
        assert float(gain.split()[0]) == pytest.approx(float(torch) / float(fused), rel=0.1)


@pytest.mark.parametrize("seconds", [0.5, 2.0])
def test_a_factor_is_above_one_in_either_direction(
    seconds: float, capsys: pytest.CaptureFixture[str]
) -> None:
    """Twice or half as fast as the arithmetic suggests."""
    times = {cell: float(gates) for cell, gates in kernels.CELLS.items()}
    shape = kernels.Shape(64, 30, 1, 32)
    kernels.compare_cells(Report(), shape, 1, times | {"rnn": seconds})
    factor, share = (
        next(
            r.value
            for r in read_ratios(output)
            if r.name.startswith(f"{name} ") and "rnn" in r.name
        )
        for output in [capsys.readouterr().out]
        for name in ("factor between time and arithmetic,", "share of the peak over the lstm's,")
    )
    assert (factor, share) == (2.0, 1 / seconds)


def test_without_the_fused_kernel_nothing_is_measured(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(library, "unavailable_reason", lambda: "there is no C++ compiler")
    assert kernels.main(TINY) == 2
    wanted = "error: the fused kernel is not available: there is no C++ compiler\n"
    assert capsys.readouterr().err == wanted
