"""Verdicts that failed runs leave open, in compare and report, and the marks beside them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from benchmarks.analysis.comparison import SHOWN
from benchmarks.analysis.margin import parse_margin
from benchmarks.reporting.html.overview import PAIR_HEADER, pair_table
from benchmarks.reporting.html.summary import summarise
from benchmarks.reporting.renderers import as_markdown
from benchmarks.reporting.sentences import change_text, pair_text
from benchmarks.reporting.tables import group_section
from tests.benchmarks.analysis.test_completion import TEN, with_failures
from tests.helpers.result_tables import Row, arm, changed, fixed, grouped, pair_of

NOISE = np.random.default_rng(1).normal(0, 0.005, (3, 10))
GRU, LSTM, RNN = (
    (mean + NOISE[place]).round(5).tolist() for place, mean in enumerate((0.9, 0.8, 0.75))
)


def failing(count: int) -> list[Row]:
    """Return the arm with the best scores, of which some of ten runs diverged."""
    return with_failures("gru", GRU[: 10 - count], count)


@pytest.mark.parametrize("count", [3, 5])
def test_the_reason_stands_in_text_page_and_summary(tmp_path: Path, count: int) -> None:
    group = grouped(tmp_path, failing(count), arm("lstm", LSTM), arm("rnn", RNN))
    pair = pair_of(group, "gru", "lstm")
    reason = f"because gru completed only {10 - count} of 10 runs"
    text = pair_text(pair, group)
    assert text.startswith(
        f"gru and lstm: no difference shown, {reason}; completed runs: gru ahead by 0.10"
    )
    assert "p < 0.001 (Holm; partly paired t" in text
    (cell,) = [
        row[2] for row in pair_table(group).rows if (row[0].text, row[1].text) == (pair.a, pair.b)
    ]
    assert cell.more.startswith(reason)
    summary = summarise(group).text
    assert f"in completed runs; the verdict is open, {reason}." in summary
    assert "not significant" not in summary


def test_equivalence_that_failed_runs_leave_open_has_the_reason(tmp_path: Path) -> None:
    options = {"margin": parse_margin("0.05")}
    group = grouped(tmp_path, with_failures("b", TEN[:8], 2), arm("a", TEN[::-1]), **options)
    (pair,) = group.pairs
    assert pair.p_equivalence is not None
    assert pair.p_equivalence < 0.05
    assert (pair.verdict, pair.withheld) == ("undecided", "b")
    assert "undecided, because b completed only 8 of 10 runs; " in pair_text(pair, group)


def test_equal_scores_that_failed_runs_leave_open_have_the_reason(tmp_path: Path) -> None:
    change = changed(tmp_path, arm("a", TEN), with_failures("a", TEN[:8], 2))["a"]
    assert (change.verdict, change.withheld) == ("no difference shown", "B")
    text = change_text(change)
    assert text.startswith(
        "because B completed only 8 of 10 runs; completed runs: the same at all 8 seeds in common; "
        "2 more are in one table only; "
        "completed: A 10 of 10, B 8 of 10, p = 0.47 (Holm; Fisher)"
    )
    assert change.is_shown


@pytest.mark.parametrize("count", [0, 1, 2, 3, 5, 7, 9])
def test_no_marked_arm_is_shown_to_be_worse(tmp_path: Path, count: int) -> None:
    baselines = fixed("naive", 0.5), fixed("best", 0.7, "classical"), fixed("ok", 0.6, "simple")
    group = grouped(tmp_path, failing(count), arm("lstm", LSTM), arm("rnn", RNN), *baselines)
    marked = {each.label for each in group.arms if each.is_among_best}
    assert marked
    assert marked <= {"gru", "lstm"}  # lstm is better than rnn and than all baselines
    for pair in group.pairs:
        if pair.verdict in SHOWN:
            loser = pair.b if pair.verdict in ("better", "fails less often") else pair.a
            assert loser not in marked


def test_a_failing_arm_is_no_bar_for_the_marks_of_others(tmp_path: Path) -> None:
    """All verdicts with the best mean are open, so the next arm is the bar."""
    group = grouped(tmp_path, failing(3), arm("rnn", RNN), fixed("naive", 0.5))
    marked = {each.label: each.is_among_best for each in group.arms}
    assert marked == {"gru": True, "rnn": True, "naive": False}


def test_every_p_names_its_test_and_correction(tmp_path: Path) -> None:
    group = grouped(tmp_path, failing(1), arm("lstm", LSTM), arm("near", [s - 1e-4 for s in LSTM]))
    text = as_markdown([group_section(group, only_changed=False)])
    for part in text.split("p = ")[1:] + text.split("p < 0")[1:]:
        assert part.split("(")[1].split(")")[0].startswith(("Holm; ", "rank sum, uncorrected"))


def test_the_page_has_margin_p_of_equivalence_and_effect(tmp_path: Path) -> None:
    options = {"margin": parse_margin("0.05")}
    group = grouped(tmp_path, arm("a", LSTM), arm("b", (NOISE[2] + 0.8).tolist()), **options)
    (row,) = pair_table(group).rows
    place = [name for name, _ in PAIR_HEADER].index("p below margin")
    assert row[2].text == "equivalent"
    assert row[place].value == group.pairs[0].p_equivalence
    assert "margin: 0.050" in group.notes
    effect = group.pairs[0].effect
    assert effect is not None
    assert "effect size" in row[3].more
    assert "effect size" in pair_text(group.pairs[0], group)


def test_an_undecided_change_has_the_seeds_for_the_margin(tmp_path: Path) -> None:
    options = {"margin": parse_margin("0.002")}
    other = (NOISE[2] + 0.8).tolist()
    change = changed(tmp_path, arm("a", LSTM), arm("a", other), **options)["a"]
    group = grouped(tmp_path, arm("a", LSTM), arm("b", other), **options)
    assert change.verdict == "undecided"
    assert change.seeds_for_margin == group.pairs[0].seeds_for_margin
    assert " seeds to detect the margin; effect size " in change_text(change)


def test_pooled_arms_without_a_completed_run_are_said(tmp_path: Path) -> None:
    lost = with_failures("gru", [], 5, learning_rate=1e30)
    group = grouped(tmp_path, arm("gru", GRU, learning_rate=0.001), lost, by=("model",))
    (note,) = [note for note in group.notes if "pooled" in note]
    assert note.startswith("gru: 2 arms are pooled")
    assert "differ in learning_rate" in note
    assert note.endswith("1 of them completed no run")


def test_arms_that_failed_are_changes(tmp_path: Path) -> None:
    lstm, lost = arm("lstm", LSTM), with_failures("gru", [], 4)
    new = changed(tmp_path, lstm, lstm + lost)["gru"]
    assert (new.verdict, new.failures[1]) == ("failed in B", {"diverged": 4})
    both = changed(tmp_path, lstm + lost, lstm + lost)["gru"]
    assert (both.verdict, both.reason) == (
        "not comparable",
        "no run ended with a score in A either",
    )
    gone = changed(tmp_path, lstm + lost, lstm)["gru"]
    assert (gone.verdict, gone.reason) == ("only in A", "no run in A ended with a score")
    repaired = changed(tmp_path, lost, arm("gru", GRU[:5]))["gru"]
    assert repaired.verdict == "fails less often"
    assert repaired.completion is not None
    assert (repaired.completion.a, repaired.completion.b) == ((5, 5), (0, 4))


@pytest.mark.parametrize(
    ("metric", "means", "wanted"),
    [
        ("own", (0.83, 71.0), "own of b is above 10, of others up to 1: are these per cent?"),
        ("own", (0.83, 0.71), None),
        ("own", (8.0, 71.0), None),
        ("accuracy", (83.0, 71.0), "accuracy of a, b is above the perfect score 1: are these per"),
    ],
)
def test_two_scales_of_one_metric_are_said(
    tmp_path: Path, metric: str, means: tuple[float, float], wanted: str | None
) -> None:
    arms = [arm(name, [m, m * 1.001], metric=metric) for name, m in zip("ab", means, strict=True)]
    notes = [note for note in grouped(tmp_path, *arms).notes if "per cent" in note]
    assert [note.startswith(wanted or "") for note in notes] == [True] * (wanted is not None)


def test_an_error_below_zero_is_said(tmp_path: Path) -> None:
    rows = arm("a", [-0.2, -0.3], metric="rmse", higher_is_better="false")
    notes = grouped(tmp_path, rows, arm("b", [0.4, 0.5], metric="rmse", higher_is_better="false"))
    assert "rmse of a is below the perfect score" in notes.notes
