"""Verdicts with a margin, with a planned number of seeds, and seeds that show nothing."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from scipy import stats

from benchmarks.analysis.margin import parse_margin
from benchmarks.analysis.statistics.common import Paired
from benchmarks.analysis.statistics.power import seeds_for_margin
from benchmarks.analysis.statistics.sequential import nominal_level
from benchmarks.errors import UserError
from benchmarks.reporting.sentences import change_text, pair_text, size_text
from benchmarks.reporting.tables import half_text
from scripts import report
from scripts.compare import main
from tests.helpers.result_tables import GRU, LSTM, arm, changed, compared, fixed, grouped, write

NEAR = [score - wobble for score, wobble in zip(LSTM, [4e-4, 5e-4, 3e-4, 4e-4, 4e-4], strict=True)]


def test_a_difference_below_the_margin_is_equivalent(tmp_path: Path) -> None:
    """Without a margin it is shown, although it is of no use."""
    arms = arm("lstm", LSTM), arm("near", NEAR)
    pair = grouped(tmp_path, *arms).pairs[0]
    assert pair.verdict == "better"
    pair = grouped(tmp_path, *arms, margin=parse_margin("0.005")).pairs[0]
    assert pair.verdict == "equivalent"
    d = np.subtract(LSTM, NEAR)
    sides = [
        stats.ttest_1samp(d, end, alternative=side).pvalue
        for end, side in ((0.005, "less"), (-0.005, "greater"))
    ]
    assert pair.p_equivalence == pytest.approx(max(sides))


def test_a_difference_beyond_the_margin_is_better(tmp_path: Path) -> None:
    arms = arm("lstm", LSTM), arm("gru", [score - 0.1 for score in NEAR])
    assert grouped(tmp_path, *arms, margin=parse_margin("0.005")).pairs[0].verdict == "better"


def test_undecided_says_how_many_seeds_the_margin_needs(tmp_path: Path) -> None:
    arms = arm("lstm", LSTM), arm("gru", GRU)
    pair = grouped(tmp_path, *arms, margin=parse_margin("0.01")).pairs[0]
    assert pair.verdict == "undecided"
    assert pair.seeds_for_margin is not None
    few, many = pair.seeds_for_margin
    assert few is not None
    assert many is None or few < many
    assert grouped(tmp_path, *arms).pairs[0].seeds_for_margin is None


def test_the_seeds_for_a_margin_are_for_the_last_look_of_the_plan(tmp_path: Path) -> None:
    arms = arm("lstm", LSTM), arm("gru", GRU)
    pair = grouped(tmp_path, *arms, margin=parse_margin("0.01"), planned=10).pairs[0]
    found = pair.seeds
    assert found is not None
    assert found.deviation is not None
    last = seeds_for_margin(0.01, found.deviation, 4, nominal_level(10, 10))
    assert pair.seeds_for_margin == last


def test_the_seeds_for_a_margin_have_the_freedom_of_welchs_test(tmp_path: Path) -> None:
    arms = arm("lstm", LSTM), arm("gru", GRU, range(20, 25))
    pair = grouped(tmp_path, *arms, margin=parse_margin("0.01")).pairs[0]
    found, freedom = pair.seeds, stats.ttest_ind(LSTM, GRU, equal_var=False).df
    assert found is not None
    assert found.deviation is not None
    assert pair.seeds_for_margin == seeds_for_margin(0.01, found.deviation, freedom)


def test_the_interval_of_equivalent_arms_lies_within_the_margin(tmp_path: Path) -> None:
    """The interval at the level of the difference would not: two tests, two levels."""
    arms = arm("lstm", LSTM), arm("near", NEAR), arm("rnn", [s - 0.2 for s in NEAR])
    group = grouped(tmp_path, *arms, margin=parse_margin("0.0005"))
    (pair,) = [each for each in group.pairs if {each.a, each.b} == {"lstm", "near"}]
    found, p = pair.seeds, pair.p_equivalence
    assert found is not None
    assert pair.verdict == "equivalent"
    assert p is not None
    assert p > 0.01
    assert found.high is not None
    assert found.error is not None
    assert found.high < 0.0005 < found.difference + stats.t.isf(0.05 / 6, 4) * found.error


def test_a_margin_in_per_cent_of_the_best_score(tmp_path: Path) -> None:
    group = grouped(tmp_path, arm("lstm", LSTM), arm("gru", GRU), margin=parse_margin("2%"))
    assert group.margin == pytest.approx(0.02 * np.mean(LSTM))


def test_the_margin_of_the_task(tmp_path: Path) -> None:
    arms = arm("lstm", LSTM, margin="0.005"), arm("gru", GRU, margin="0.005")
    assert grouped(tmp_path, *arms, margin=parse_margin("task")).margin == 0.005
    with pytest.raises(UserError, match="--margin task: the rows of toy state no margin"):
        compared(tmp_path, arm("lstm", LSTM), margin=parse_margin("task"))


@pytest.mark.parametrize("text", ["0", "-1", "nan", "inf", "x", "2 points", "%"])
def test_a_wrong_margin_is_one_line(text: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["table.csv", f"--margin={text}"]) == 2
    error = capsys.readouterr().err
    assert error.startswith(f"error: --margin {text}: must be a number above 0")
    assert len(error.splitlines()) == 1


def test_equivalent_changes(tmp_path: Path) -> None:
    before, after = arm("lstm", LSTM), arm("lstm", NEAR)
    assert changed(tmp_path, before, after)["lstm"].verdict == "worse"
    margin = parse_margin("0.005")
    assert changed(tmp_path, before, after, margin=margin)["lstm"].verdict == "equivalent"


def test_before_the_planned_number_a_difference_needs_more(tmp_path: Path) -> None:
    ten = LSTM + [score + 0.01 for score in LSTM]
    slightly = [s - d for s, d in zip(ten, [0.03, 0.0, 0.02, 0.01, 0.02] * 2, strict=True)]
    level = nominal_level(5, 10)
    pair = grouped(tmp_path, arm("a", ten[:5]), arm("b", slightly[:5]), planned=10).pairs[0]
    assert pair.seeds is not None
    assert pair.seeds.p is not None
    assert level < pair.seeds.p < 0.05
    assert pair.verdict == "no difference shown"
    assert pair.seeds.low is not None
    assert pair.seeds.low < 0
    text = pair_text(pair, grouped(tmp_path, arm("a", ten[:5]), arm("b", slightly[:5]), planned=10))
    assert f"5 seeds; shown below {level:.2g})" in text
    change = changed(tmp_path, arm("a", ten[:5]), arm("a", slightly[:5]), planned=10)["a"]
    assert f"5 seeds; shown below {level:.2g})" in change_text(change)
    full = grouped(tmp_path, arm("a", ten), arm("b", slightly), planned=10)
    assert full.pairs[0].verdict == "better"
    assert any(note.startswith("10 seeds were planned: ") for note in full.notes)


def test_without_a_plan_the_group_says_so(tmp_path: Path) -> None:
    notes = grouped(tmp_path, arm("a", LSTM), arm("b", GRU)).notes
    assert any("the number of seeds was not planned (--planned N)" in note for note in notes)


def test_more_seeds_than_planned_are_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="--planned 4: lstm has 5 seeds"):
        compared(tmp_path, arm("lstm", LSTM), arm("gru", GRU), planned=4)
    assert main([str(write(tmp_path / "t.csv", arm("a", LSTM))), "--planned", "1"]) == 2


def test_failed_seeds_count_for_the_plan(tmp_path: Path) -> None:
    lost = [row | {"test_score": ""} for row in arm("gru", [0.0] * 3, range(5, 8), status="failed")]
    gru = arm("gru", GRU) + lost
    with pytest.raises(UserError, match="--planned 5: gru has 8 seeds"):
        compared(tmp_path, arm("lstm", LSTM), gru, planned=5)
    with pytest.raises(UserError, match="--planned 5: gru has 8 seeds"):
        changed(tmp_path, arm("gru", LSTM), gru, planned=5)
    with pytest.raises(UserError, match="--planned 2: gru has 3 seeds"):
        compared(tmp_path, arm("lstm", LSTM[:2]), lost, planned=2)


def test_seeds_that_change_nothing_are_no_evidence(tmp_path: Path) -> None:
    group = grouped(tmp_path, arm("a", [0.8] * 6), arm("b", [0.7] * 6), fixed("m", 0.5))
    assert {pair.verdict for pair in group.pairs} == {"no difference shown"}
    assert all("the seed changes no score" in pair.reason for pair in group.pairs)
    assert "the seed changes no score, its runs count as one: a, b" in group.notes


@pytest.mark.parametrize("seeds", [None, range(20, 25)])
def test_an_arm_whose_seeds_change_nothing_is_one_observation(
    tmp_path: Path, seeds: range | None
) -> None:
    group = grouped(tmp_path, arm("a", [0.85] * 6), arm("b", GRU, seeds))
    (pair,) = group.pairs
    assert pair.p == pytest.approx(stats.ttest_1samp(GRU, 0.85).pvalue)
    assert pair.reason == "one-sample t, 5 seeds"
    assert (group.arm("a").score.low, group.arm("a").score.high) == (None, None)
    assert half_text(group.arm("a").score) == ""


@pytest.mark.parametrize("shift", [0.0, 0.01])
def test_equal_differences_at_some_common_seeds_count_as_one(tmp_path: Path, shift: float) -> None:
    longer = [*LSTM, 0.84, 0.80]
    group = grouped(tmp_path, arm("a", longer), arm("b", [score + shift for score in LSTM]))
    (pair,) = group.pairs
    p = stats.ttest_ind(longer, LSTM, equal_var=False).pvalue if not shift else pair.p
    assert pair.p == pytest.approx(p)
    assert pair.verdict == "no difference shown"
    assert "5 in common with equal differences, which count as one" in pair.reason


def test_an_untested_arm_that_is_not_shown_to_be_worse_is_marked(tmp_path: Path) -> None:
    """The difference of a and b is the same at all seeds; c is worse than a."""
    a, c = [score + 0.01 for score in LSTM], [score - 0.1 for score in GRU]
    group = grouped(tmp_path, arm("a", a), arm("b", LSTM), arm("c", c))
    assert {each.label for each in group.arms if each.is_among_best} == {"a", "b"}


def test_means_that_differ_by_rounding_are_equal(tmp_path: Path) -> None:
    group = grouped(tmp_path, arm("a", [0.1, 0.2, 0.3]), arm("b", [0.3, 0.1, 0.2]))
    assert "no difference shown; no difference, p = 1.00" in pair_text(group.pairs[0], group)


def test_a_difference_below_the_last_decimal_is_not_zero(tmp_path: Path) -> None:
    near = [
        score + wobble for score, wobble in zip(LSTM, [0.1, -0.1, 0.1, -0.1, 1e-3], strict=True)
    ]
    group = grouped(tmp_path, arm("a", LSTM), arm("b", near))
    assert "b ahead by 0.0002 [" in pair_text(group.pairs[0], group)


def test_an_interval_that_contains_zero_shows_the_sign_of_its_ends() -> None:
    found = Paired(0.1, -0.0004, 0.2004, 0.05, 5, "paired t")
    assert size_text(found) == "0.1000 [-0.0004, 0.2004]"


@pytest.mark.parametrize("seeds", [None, range(5, 10)])
def test_arms_with_identical_scores_are_remarked(tmp_path: Path, seeds: range | None) -> None:
    notes = grouped(tmp_path, arm("a", LSTM), arm("b", LSTM, seeds), arm("c", GRU)).notes
    assert "identical scores: a, b; are they the same network?" in notes


def test_a_baseline_with_one_seed_is_not_the_bar(tmp_path: Path) -> None:
    lucky = arm("lucky", [0.99], baseline="simple")
    group = grouped(tmp_path, arm("lstm", LSTM), lucky, fixed("majority", 0.5))
    assert group.arm("lstm").against_baselines == "beats its best baseline, majority"
    assert any(note.startswith("lucky has a single seed and may be lucky") for note in group.notes)


def test_intervals_agree_with_the_corrected_verdicts(tmp_path: Path) -> None:
    rng = np.random.default_rng(5)
    agreed = []
    for _ in range(20):
        arms = [arm(f"m{n}", rng.normal(0.5 + 0.05 * n, 0.1, 6).tolist()) for n in range(4)]
        for pair in grouped(tmp_path, *arms).pairs:
            assert pair.seeds is not None
            assert pair.seeds.low is not None
            assert pair.seeds.high is not None
            excludes = pair.seeds.low > 0 or pair.seeds.high < 0
            assert excludes == (pair.verdict in ("better", "worse"))
            agreed.append(excludes)
    assert True in agreed
    assert False in agreed


def test_p_of_equivalence_is_corrected_by_holm(tmp_path: Path) -> None:
    """The smallest of three p counts threefold."""
    far = [
        score - wobble for score, wobble in zip(LSTM, [2e-3, 6e-3, 1e-3, 5e-3, 0.0], strict=True)
    ]
    arms = arm("a", LSTM), arm("b", NEAR), arm("c", far)
    pairs = grouped(tmp_path, *arms, margin=parse_margin("0.005")).pairs
    (alone,) = grouped(tmp_path, *arms[:2], margin=parse_margin("0.005")).pairs
    near = next(pair for pair in pairs if {pair.a, pair.b} == {"a", "b"})
    assert alone.p_equivalence is not None
    assert near.p_equivalence == pytest.approx(3 * alone.p_equivalence, rel=1e-6, abs=0)
    assert near.p_equivalence == min(pair.p_equivalence or 1.0 for pair in pairs)


def test_the_report_has_the_margin_and_the_plan_of_its_options(tmp_path: Path) -> None:
    table, page = write(tmp_path / "t.csv", arm("a", LSTM) + arm("b", NEAR)), tmp_path / "p.html"
    options = ["--margin", "0.005", "--planned", "9"]
    assert report.main([str(table), "-o", str(page), *options]) == 0
    text = page.read_text(encoding="utf-8")
    assert "equivalent" in text
    assert "9 seeds were planned" in text


def test_intervals_of_two_tables_have_the_level_of_the_correction(tmp_path: Path) -> None:
    """Of two arms, the interval of the clearer one is at 97.5 %."""
    after = [
        score + wobble for score, wobble in zip(LSTM, [0.05, 0.04, 0.06, 0.05, 0.07], strict=True)
    ]
    two = changed(tmp_path, arm("a", LSTM) + arm("b", GRU), arm("a", after) + arm("b", LSTM))
    change = two["a"].seeds
    assert change is not None
    assert change.low is not None
    differences = np.subtract(after, LSTM)
    error = differences.std(ddof=1) / np.sqrt(5)
    assert two["a"].p_adjusted is not None
    assert two["b"].p_adjusted is not None
    assert two["a"].p_adjusted < two["b"].p_adjusted
    expected = differences.mean() - stats.t.ppf(1 - 0.025 / 2, 4) * error
    assert change.low == pytest.approx(expected)
