"""Arms without a completed run, withheld verdicts, and exit codes that follow them."""

from __future__ import annotations

from pathlib import Path

import pytest
from scipy import stats

from benchmarks.analysis.diff import changes
from benchmarks.analysis.selection import options_of
from benchmarks.errors import UserError
from scripts.compare import main
from tests.benchmarks.analysis.test_completion import FIRST, TEN, grouped, with_failures
from tests.helpers.result_tables import arm, fixed, pair_of, write


def test_an_arm_without_a_completed_run_fails_more_often(tmp_path: Path) -> None:
    group = grouped(tmp_path, arm("a", TEN[:5]), with_failures("b", [], 5))
    (pair,) = group.pairs
    assert (pair.a, pair.verdict, pair.b) == ("a", "fails less often", "b")
    assert pair.completion is not None
    assert pair.completion.p == pytest.approx(stats.fisher_exact([[5, 0], [0, 5]]).pvalue)
    assert group.arm("a").is_among_best


def test_two_against_none_is_not_shown(tmp_path: Path) -> None:
    (pair,) = grouped(tmp_path, arm("a", TEN[:2]), with_failures("b", [], 2)).pairs
    assert (pair.verdict, pair.reason) == ("not comparable", "no run of b was completed")


def test_p_of_fishers_test_is_corrected_by_holm(tmp_path: Path) -> None:
    rows = [arm("a", TEN), with_failures("b", FIRST, 5), with_failures("c", TEN[:7], 3)]
    group = grouped(tmp_path, *rows)
    found = {frozenset((p.a, p.b)): p.completion for p in group.pairs}
    raw = {key: each.p for key, each in found.items() if each is not None and each.p is not None}
    least = min(raw, key=lambda key: raw[key])
    completion = found[least]
    assert completion is not None
    assert completion.p_adjusted == pytest.approx(3 * raw[least])
    assert raw[least] < 0.05 < completion.p_adjusted


def test_fishers_test_is_not_made_against_a_deterministic_baseline(tmp_path: Path) -> None:
    group = grouped(tmp_path, with_failures("a", FIRST, 5), fixed("majority", 0.5))
    completion = group.pairs[0].completion
    assert completion is not None
    assert completion.p is None


def test_a_failing_arm_is_never_marked(tmp_path: Path) -> None:
    rows = [arm("z", TEN), with_failures("y", [s + 0.02 for s in TEN[:3]], 7), arm("x", FIRST)]
    group = grouped(tmp_path, *rows)
    assert pair_of(group, "y", "z").verdict in ("fails more often", "fails less often")
    assert not group.arm("y").is_among_best
    assert any(each.is_among_best for each in group.arms)


def test_a_withheld_verdict_names_the_arm_that_fails(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    slightly = [score + 0.02 for score in TEN[:8]]
    rows = arm("a", TEN) + with_failures("b", slightly, 2)
    pair = grouped(tmp_path, rows).pairs[0]
    assert (pair.verdict, pair.withheld) == ("no difference shown", "b")
    main([str(write(tmp_path / "t.csv", rows))])
    text = " ".join(capsys.readouterr().out.split())
    assert (
        "no difference shown, because b completed only 8 of 10 runs; completed runs: b ahead"
        in text
    )


def test_a_collapse_of_completion_between_two_tables_is_shown(tmp_path: Path) -> None:
    before = write(tmp_path / "a.csv", arm("lstm", TEN))
    after = write(tmp_path / "b.csv", with_failures("lstm", TEN[:1], 9))
    (change,) = changes(before, after).changes
    assert change.verdict == "fails more often"


def test_fail_on_worse_names_the_arms(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    before = write(tmp_path / "a.csv", arm("lstm", TEN) + arm("gru", TEN))
    rows = with_failures("lstm", TEN[:9], 1) + arm("gru", TEN)
    after = write(tmp_path / "b.csv", rows)
    assert main([str(before), str(after), "--fail-on-worse"]) == 1
    err = capsys.readouterr().err
    assert err == "worse: lstm: a larger share of runs failed (9 of 10 completed)\n"


def test_a_plan_holds_for_two_tables(tmp_path: Path) -> None:
    before = write(tmp_path / "a.csv", arm("lstm", TEN))
    after = write(
        tmp_path / "b.csv", arm("lstm", [score + 0.01 * n for n, score in enumerate(FIRST)])
    )
    with pytest.raises(UserError, match="--planned 4: lstm has 10 seeds, more than planned"):
        changes(before, after, options_of(margin=None, planned=4))
    notes = changes(before, after, options_of(margin=None, planned=20)).notes
    assert any(note.startswith("20 seeds were planned: ") for note in notes)
    assert any("was not planned" in note for note in changes(before, after).notes)


def test_changed_scores_are_a_finding_in_two_tables(tmp_path: Path) -> None:
    again = arm("lstm", [0.99], [0], started_at="2030-01-01T00:00:00")
    before = write(tmp_path / "a.csv", arm("lstm", TEN))
    after = write(tmp_path / "b.csv", arm("lstm", TEN) + again)
    notes = changes(before, after).notes
    assert any("the score changed at the same seed and settings: in B" in n for n in notes)


def test_equal_differences_at_all_seeds_are_no_evidence(tmp_path: Path) -> None:
    (pair,) = grouped(tmp_path, arm("a", TEN), arm("b", [s - 0.01 for s in TEN])).pairs
    assert pair.verdict == "no difference shown"
    assert pair.reason == "the difference is the same at all 10 seeds: they count as one"


def test_a_plan_has_a_level_for_failed_runs_beside_a_deterministic_baseline(
    tmp_path: Path,
) -> None:
    rows = [arm("a", TEN), with_failures("b", FIRST, 5), fixed("majority", 0.5)]
    group = grouped(tmp_path, *rows, planned=10)
    assert pair_of(group, "b", "majority").verdict == "no difference shown"
    (pair,) = grouped(tmp_path, arm("a", TEN), with_failures("b", [], 1), planned=10).pairs
    assert pair.verdict == "not comparable"
