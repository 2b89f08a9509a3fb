"""The benchmark of seeds with small networks, and the options it refuses."""

from __future__ import annotations

import pytest

from models.kernels.compiler import unavailable_reason
from scripts.perf import seeds
from scripts.perf.measuring import Report
from tests.helpers.ratios import read_ratios

pytestmark = pytest.mark.skipif(unavailable_reason() is not None, reason=str(unavailable_reason()))

TINY = ["--threads", "1", "--seeds", "2", "--turns", "1", "--models", "gru"]
SMALL = ["--set", "model.hidden_size=4", "train.max_epochs=1"]


def test_it_times_trainings_and_whole_commands(capsys: pytest.CaptureFixture[str]) -> None:
    assert seeds.main([*TINY, "--epochs", "1", "--whole", *SMALL]) == 0, capsys.readouterr().err
    output = capsys.readouterr().out
    assert "gru on sp500, training: one seed " in output
    assert "gru on sp500, whole command: one seed " in output
    assert output.count("; 2 seeds ") == 2
    assert read_ratios(output) == []  # the target is for eight seeds


def test_the_text_before_a_ratio_has_the_same_ratio(capsys: pytest.CaptureFixture[str]) -> None:
    times = {"one seed": [0.2, 0.1, 0.1], "multi-seed": [0.5, 0.3, 0.4]}
    seeds.print_times(Report(), times, 8, "training", "rnn on sp500")
    output = capsys.readouterr().out.splitlines()
    assert output[0] == (
        "rnn on sp500, training: one seed 100 ms; 8 seeds 300 ms, the time of 3.00 single "
        "trainings (turn by turn 3.000 [2.500, 4.000])"
    )
    (ratio,) = read_ratios("\n".join(output))
    assert ratio.target == 3
    assert (ratio.value, ratio.name) == (3.0, "time of 8 seeds / of one, training, rnn on sp500")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (
            ["--set", "model.kernel=torch"],
            "gru on sp500: cannot be trained in one multi-seed step: the kernel torch",
        ),
        (["--device", "cuda"], "--device cuda: multi-seed training runs on cpu only"),
        (
            ["--tasks", "imdb", "--set", "task.source=bundled"],
            "imdb: cannot be trained in one multi-seed step: sequences have different lengths",
        ),
    ],
)
def test_pairs_that_cannot_be_trained_together_are_refused(
    arguments: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert seeds.main([*TINY, *arguments]) == 2
    error = capsys.readouterr().err
    assert message in error
    assert error.count("\n") == 1
