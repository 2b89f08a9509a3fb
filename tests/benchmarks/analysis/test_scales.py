"""Tables that disagree on the direction or the scale of a metric are refused in one line."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from benchmarks.analysis.compare import compare
from benchmarks.analysis.diff import changes
from benchmarks.analysis.metrics import HIGHER, LOWER, known_direction
from benchmarks.errors import UserError
from tests.helpers.result_tables import LSTM, RNN, Row, arm, changed, compared, fixed, write


def refused(folder: Path, a: list[Row], b: list[Row]) -> list[str]:
    """Return the messages that refuse two tables: merged, and as before and after."""
    tables = write(folder / "a.csv", a), write(folder / "b.csv", b)
    messages = []
    for call in (lambda: compare(tables), lambda: changes(*tables)):
        with pytest.raises(UserError) as error:
            call()
        assert "\n" not in str(error.value)
        messages.append(str(error.value).replace(f"{folder}/", ""))
    return messages


@pytest.mark.parametrize(
    ("metric", "is_higher_better"),
    [
        *(("RMSE", False), ("val_loss", False), ("test RMSE", False), ("MSE", False)),
        *(("macro-F1", True), ("top1_acc", True), ("neg_log_loss", None), ("skill", None)),
        *(("rmse_skill", None), ("error_reduction", None)),
    ],
)
def test_the_name_of_a_metric_may_say_its_direction(
    metric: str, is_higher_better: bool | None
) -> None:
    assert known_direction(metric) is is_higher_better


@pytest.mark.parametrize(
    ("metric", "given", "better"),
    [("accuracy", "false", "higher"), ("rmse", "true", "lower"), ("perplexity", "true", "lower")],
)
def test_the_direction_of_a_documented_metric_is_fixed(
    tmp_path: Path, metric: str, given: str, better: str
) -> None:
    assert metric in (HIGHER if better == "higher" else LOWER)
    spelled = metric.upper() if metric == "rmse" else metric
    right = {"metric": spelled, "higher_is_better": "true" if better == "higher" else "false"}
    wrong = right | {"higher_is_better": given}
    rows = [*arm("rnn", RNN, **right), *arm("lstm", LSTM, **wrong)]
    found = refused(tmp_path, arm("lstm", LSTM, **right), rows)
    assert (
        found
        == [f"b.csv, row 6: higher_is_better is {given} for {spelled}; {better} is better"] * 2
    )


def test_tables_that_disagree_on_a_direction_are_refused(tmp_path: Path) -> None:
    up, down = ({"metric": "glue", "higher_is_better": is_up} for is_up in ("true", "false"))
    found = refused(tmp_path, arm("lstm", LSTM, **up), arm("lstm", LSTM, **down))
    assert (
        found
        == [
            "column higher_is_better: is both true and false for glue of toy: in a.csv, row 1 and "
            "b.csv, row 1"
        ]
        * 2
    )
    other_task = arm("lstm", LSTM, task="other", **down)
    assert len(compared(tmp_path, arm("lstm", LSTM, **up), other_task).groups) == 2


def per_cent(scores: list[float]) -> list[float]:
    return [100 * score for score in scores]


@pytest.mark.parametrize(
    "more",
    [
        {},
        {"metric": "glue", "perfect_score": 1},
        {"metric": "glue", "metric_unit": "share"},
        {"metric": "direction_accuracy"},
    ],
)
def test_shares_beside_per_cents_are_refused(tmp_path: Path, more: dict[str, Any]) -> None:
    a, b = arm("lstm", LSTM, **more), [*arm("rnn", RNN), *arm("lstm", per_cent(LSTM), **more)]
    b = b if not more else b[5:]
    metric, row = more.get("metric", "accuracy"), 6 if not more else 1
    assert (
        refused(tmp_path, a, b)
        == [f"{metric} of b.csv, row {row} is 81, others are shares up to 1: 0.81 in a.csv, row 1"]
        * 2
    )


def test_a_perfect_score_of_100_does_not_hide_the_other_scale(tmp_path: Path) -> None:
    b = arm("lstm", per_cent(LSTM), perfect_score=100)
    assert "is 81, others are shares" in refused(tmp_path, arm("lstm", LSTM, perfect_score=1), b)[0]


def test_one_scale_in_all_tables_is_accepted(tmp_path: Path) -> None:
    """All per cents, with one arm at 0, and a share with rounding above 1."""
    rows = [*arm("lstm", per_cent(LSTM)), *arm("rnn", [0.0, 0.0])]
    (group,) = compared(tmp_path, rows).groups
    assert any("are these per cent?" in note for note in group.notes)
    assert changed(tmp_path, arm("lstm", [1 + 1e-9, 0.9]), arm("lstm", LSTM))
    errors = {"metric": "rmse", "higher_is_better": "false"}
    assert compared(tmp_path, arm("lstm", [0.5, 3.0], **errors)).groups


def test_the_scale_of_a_chosen_metric_is_checked(tmp_path: Path) -> None:
    rows = [*arm("lstm", LSTM, direction_accuracy=55.0), *fixed("naive", 0.5)]
    rows[-1]["direction_accuracy"] = 0.5
    assert compared(tmp_path, rows).groups
    with pytest.raises(UserError, match=r"^direction_accuracy of .*row 1 is 55, others are shares"):
        compared(tmp_path, rows, metric="direction_accuracy")


def test_error_shares_beside_per_cents_are_refused(tmp_path: Path) -> None:
    errors = {"metric": "error_rate", "metric_unit": "share", "higher_is_better": "false"}
    a, b = arm("lstm", [0.2, 0.21, 0.19], **errors), arm("lstm", [20.0, 21.0, 19.0], **errors)
    assert "is 20, others are shares up to 1: 0.2 in a.csv" in refused(tmp_path, a, b)[0]


def test_scores_of_two_units_are_not_comparable(tmp_path: Path) -> None:
    a = arm("lstm", LSTM, metric="glue", metric_unit="points")
    b = arm("lstm", per_cent(LSTM), metric="glue", metric_unit="percent")
    first, second = compared(tmp_path, a, b).groups
    assert (first.pairs, second.pairs) == ([], [])
    assert first.notes[0].endswith("of the same task: metric_unit points here, percent there")
    (change,) = changed(tmp_path, a, b).values()
    assert (change.verdict, change.reason) == (
        "not comparable",
        "metric_unit points in A, percent in B",
    )
    assert len(compared(tmp_path, a, arm("rnn", RNN, metric="glue")).groups) == 1


def test_scores_near_two_scales_without_a_unit_are_said_and_not_refused(tmp_path: Path) -> None:
    """0.8 beside 80 may be points of a game; without unit and perfect score it is a question."""
    a, b = (arm("lstm", scores, metric="glue") for scores in (LSTM, per_cent(LSTM)))
    note = "glue of rnn is above 10, of others up to 1: are these per cent?"
    (group,) = compared(tmp_path, a, [row | {"model": "rnn"} for row in b]).groups
    assert note in group.notes
    notes = changes(write(tmp_path / "a.csv", a), write(tmp_path / "b.csv", b)).notes
    assert "glue of lstm in B is above 10, of others up to 1: are these per cent?" in notes
