"""Planted tables in which runs failed: completion is part of every verdict."""

from __future__ import annotations

import csv
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from scipy import stats

from benchmarks.analysis.diff import changes
from benchmarks.reporting.json_csv import comparison_csv
from benchmarks.reporting.renderers import as_markdown
from benchmarks.reporting.tables import change_sections
from scripts.compare import main
from tests.helpers.result_tables import Row, arm, changed, compared, fixed, grouped, pair_of, write

TEN = [0.81, 0.84, 0.83, 0.86, 0.82, 0.85, 0.80, 0.84, 0.83, 0.82]
FIRST = TEN[:5]


def with_failures(model: str, scores: Sequence[float], failed: int, **more: Any) -> list[Row]:
    """Return an arm of which the last runs diverged."""
    seeds = range(len(scores), len(scores) + failed)
    lost = arm(model, [0.0] * failed, list(seeds), **(more | {"status": "diverged"}))
    return arm(model, scores, **more) + [row | {"test_score": ""} for row in lost]


def test_an_arm_that_fails_more_often_with_the_same_scores(tmp_path: Path) -> None:
    pair = grouped(tmp_path, arm("a", TEN), with_failures("b", FIRST, 5)).pairs[0]
    assert pair.completion is not None
    found = {pair.a: pair.completion.a, pair.b: pair.completion.b}
    assert found == {"a": (10, 10), "b": (5, 10)}
    p = stats.fisher_exact([[10, 0], [5, 5]]).pvalue
    assert pair.completion.p == pytest.approx(p)
    assert p < 0.05
    assert pair.verdict == ("fails less often" if pair.a == "a" else "fails more often")


def test_the_best_survivors_are_not_the_best_arm(tmp_path: Path) -> None:
    """Half of the runs of `b` diverged; the others are far better than all of `a`."""
    better = [score + 0.1 for score in FIRST]
    group = grouped(tmp_path, arm("a", TEN), with_failures("b", better, 5))
    assert (group.pairs[0].a, group.pairs[0].verdict) == ("b", "fails more often")
    assert not group.arm("b").is_among_best
    assert group.arm("a").is_among_best


def test_few_failures_leave_a_large_difference_only_if_it_holds_with_them(tmp_path: Path) -> None:
    better = [score + 0.1 for score in TEN[:9]]
    pair = grouped(tmp_path, arm("a", TEN), with_failures("b", better, 1)).pairs[0]
    assert (pair.a, pair.verdict) == ("b", "better")
    slightly = [score + 0.02 for score in TEN[:8]]
    pair = grouped(tmp_path, arm("a", TEN), with_failures("b", slightly, 2)).pairs[0]
    assert pair.seeds is not None
    assert pair.seeds.p is not None
    assert pair.seeds.p < 0.05
    assert (pair.a, pair.verdict) == ("b", "no difference shown")


def test_the_arm_that_fails_less_often_keeps_its_verdict(tmp_path: Path) -> None:
    worse = [score - 0.1 for score in TEN[:8]]
    pair = grouped(tmp_path, arm("a", TEN), with_failures("b", worse, 2)).pairs[0]
    assert (pair.a, pair.verdict) == ("a", "better")


def test_a_net_that_fails_does_not_beat_a_baseline_by_its_survivors(tmp_path: Path) -> None:
    group = grouped(tmp_path, with_failures("lstm", FIRST, 5), fixed("majority", 0.5))
    assert group.arm("lstm").beats_baselines is False
    group = grouped(tmp_path, with_failures("lstm", TEN, 1), fixed("majority", 0.5))
    assert group.arm("lstm").beats_baselines is True


def test_of_many_arms_one_with_failures_is_not_the_only_reference(tmp_path: Path) -> None:
    """The failed runs of the best arm withhold its verdicts."""
    survivor = with_failures("a", [score + 0.12 for score in TEN[6:]], 6)
    others = [row for n in range(30) for row in arm(f"m{n:02}", TEN[n % 10 :] + TEN[: n % 10])]
    group = grouped(tmp_path, survivor, arm("b", [s + 0.1 for s in reversed(TEN)]), others)
    assert pair_of(group, "b", "m03").verdict == "better"
    assert pair_of(group, "a", "m03").verdict == "no difference shown"
    assert {each.label for each in group.arms if each.is_among_best} == {"a", "b"}


def test_of_many_arms_completion_is_corrected_for_all_pairs(tmp_path: Path) -> None:
    others = [row for n in range(31) for row in arm(f"m{n:02}", TEN)]
    group = grouped(tmp_path, others, with_failures("z", FIRST, 5))
    found = pair_of(group, "m00", "z").completion
    assert found is not None
    assert found.p == pytest.approx(stats.fisher_exact([[10, 0], [5, 5]]).pvalue)
    assert found.p_adjusted == 1.0


def test_without_a_test_of_completion_there_is_no_p(tmp_path: Path) -> None:
    found = compared(tmp_path, with_failures("lstm", TEN, 1), fixed("majority", 0.5))
    (pair,) = found.groups[0].pairs
    assert pair.completion is not None
    assert pair.completion.p_adjusted is None
    lines = list(csv.DictReader(comparison_csv(found).splitlines()))
    assert [line["p_completion"] for line in lines] == ["", ""]


def test_a_repeated_run_that_succeeds_is_no_failure(tmp_path: Path) -> None:
    failed = {"status": "failed", "test_score": "", "run_id": "1"}
    rows = [row | {"run_id": f"2{row['seed']}"} for row in arm("b", TEN)]
    pair = grouped(tmp_path, arm("a", TEN), [rows[0] | failed, *rows]).pairs[0]
    assert pair.completion is None


def test_interrupted_runs_are_no_failures(tmp_path: Path) -> None:
    rows = with_failures("b", FIRST, 5)
    rows = [row | {"status": row["status"].replace("diverged", "interrupted")} for row in rows]
    assert grouped(tmp_path, arm("a", TEN), rows).pairs[0].completion is None


@pytest.mark.parametrize(
    ("scores", "failed", "verdict"),
    [
        (FIRST, 5, "fails more often"),  # the same scores at all common seeds
        (TEN[:9], 1, "no difference shown"),
        (TEN, 0, "same"),
        ([score - 0.2 for score in TEN[:9]], 1, "worse"),
        ([], 10, "failed in B"),
    ],
)
def test_changes_between_two_tables(
    tmp_path: Path, scores: list[float], failed: int, verdict: str
) -> None:
    other = arm("other", TEN)
    b = with_failures("lstm", scores, failed)
    found = changed(tmp_path, arm("lstm", TEN) + other, b + other)
    assert found["lstm"].verdict == verdict


@pytest.mark.parametrize(("failed", "code"), [(0, 0), (1, 1), (5, 1)])
def test_fail_on_worse_counts_failures(tmp_path: Path, failed: int, code: int) -> None:
    before = str(write(tmp_path / "before.csv", arm("lstm", TEN)))
    rows = with_failures("lstm", TEN[: 10 - failed], failed)
    after = str(write(tmp_path / "after.csv", rows))
    assert main([before, after, "--fail-on-worse"]) == code
    merged = [row | {"model": "changed"} for row in rows] + arm("lstm", TEN)
    table = str(write(tmp_path / "merged.csv", merged))
    assert main([table, "--baseline", "lstm", "--fail-on-worse"]) == code


def test_fail_on_worse_counts_an_arm_without_any_score(tmp_path: Path) -> None:
    rows = arm("lstm", TEN) + with_failures("gru", [], 3)
    table = str(write(tmp_path / "table.csv", rows))
    assert main([table, "--baseline", "lstm", "--fail-on-worse"]) == 1


def test_numbers_stand_beside_the_verdict(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    rows = arm("a", TEN) + with_failures("b", FIRST, 5) + with_failures("c", [], 4)
    main([str(write(tmp_path / "table.csv", rows))])
    text = " ".join(capsys.readouterr().out.split())
    assert "5 of 10" in text
    assert "0 of 4" in text
    assert "p = 0.065 (Holm; Fisher)" in text


def test_completion_stands_beside_n_of_changes(tmp_path: Path) -> None:
    before = write(tmp_path / "a.csv", arm("lstm", TEN) + arm("gru", TEN) + arm("rnn", TEN))
    rows = with_failures("lstm", FIRST, 5) + arm("gru", TEN) + with_failures("rnn", [], 3)
    after = write(tmp_path / "b.csv", rows)
    text = as_markdown(change_sections(changes(before, after), only_changed=False))
    for cells in ("lstm | 10, 5 of 10 |", "gru | 10 |", "rnn | 10, 0 of 3 |"):
        assert cells in text


def test_equal_completion_changes_nothing(tmp_path: Path) -> None:
    a, b = (
        with_failures("a", TEN, 2),
        with_failures("b", [s - 0.1 - n / 999 for n, s in enumerate(TEN)], 2),
    )
    pair = pair_of(grouped(tmp_path, a, b), "a", "b")
    assert (pair.a, pair.verdict) == ("a", "better")
