"""The benchmark of seeds in a tiny form, and what it refuses."""

from __future__ import annotations

import pytest

from benchmarks.perf import seeds
from benchmarks.perf.measuring import read_ratios
from models.kernels.library import reason_for_lack

pytestmark = pytest.mark.skipif(reason_for_lack() is not None, reason=str(reason_for_lack()))

TINY = ["--threads", "1", "--seeds", "2", "--turns", "1", "--models", "gru"]
SMALL = ["--set", "model.hidden_size=4", "train.max_epochs=1"]


def test_it_prints_its_ratios(capsys: pytest.CaptureFixture[str]) -> None:
    assert seeds.main([*TINY, "--epochs", "1", "--whole", *SMALL]) == 0, capsys.readouterr().err
    said = capsys.readouterr().out
    found = read_ratios(said)
    assert [ratio.name for ratio in found] == [
        "2 seeds / one, training, gru on sp500",
        "2 seeds / one, whole command, gru on sp500",
    ]
    assert all(ratio.value > 0 and ratio.target == 3 for ratio in found)
    assert said.count("2 together") == 2


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["--set", "model.kernel=torch"], "gru on sp500: not together: its cells run by the"),
        (["--device", "cuda"], "--device cuda: seeds are trained together on cpu alone"),
        (
            ["--tasks", "imdb", "--set", "task.source=bundled"],
            "imdb: not together: sequences have different lengths",
        ),
    ],
)
def test_what_is_not_trained_together_is_refused(
    arguments: list[str], told: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert seeds.main([*TINY, *arguments]) == 2
    error = capsys.readouterr().err
    assert told in error
    assert error.count("\n") == 1
