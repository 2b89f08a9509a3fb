"""Verdicts on pairs compared with scipy and calculations by hand."""

from __future__ import annotations

import math
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy import stats

from benchmarks.analysis.comparison import Group
from benchmarks.analysis.margin import parse_margin
from benchmarks.reporting.sentences import pair_text
from tests.helpers.result_tables import GRU, LSTM, RNN, arm, compared, fixed, grouped, pair_of

WOBBLE = [0.0, 0.02, -0.01, 0.01, 0.0]


def test_means_intervals_and_order(tmp_path: Path) -> None:
    group = grouped(tmp_path, arm("rnn", RNN), arm("lstm", LSTM), arm("gru", GRU))
    assert [each.label for each in group.arms] == ["lstm", "gru", "rnn"]
    best = group.arms[0].score
    error = stats.sem(LSTM)
    low, high = stats.t.interval(0.95, 4, np.mean(LSTM), error)
    assert (best.mean, best.low, best.high) == pytest.approx((np.mean(LSTM), low, high))
    assert group.arms[0].deviation == pytest.approx(np.std(LSTM, ddof=1))


def test_pairs_by_seed_with_holm(tmp_path: Path) -> None:
    scores = {"lstm": LSTM, "gru": GRU, "rnn": RNN}
    group = grouped(tmp_path, *(arm(name, values) for name, values in scores.items()))
    raw = {
        (a, b): float(stats.ttest_rel(scores[a], scores[b]).pvalue)
        for a, b in combinations(scores, 2)
    }
    order = sorted(raw, key=lambda ends: raw[ends])
    adjusted, floor = {}, 0.0
    for place, ends in enumerate(order):
        floor = max(floor, min(1.0, raw[ends] * (3 - place)))
        adjusted[ends] = floor
    for (a, b), p in adjusted.items():
        pair = pair_of(group, a, b)
        assert pair.p_adjusted == pytest.approx(p)
        assert pair.verdict == ("better" if p < 0.05 else "no difference shown")
    assert pair_of(group, "lstm", "gru").verdict == "no difference shown"
    assert [each.is_among_best for each in group.arms] == [True, True, False]


def test_seeds_are_paired_by_number_not_by_place(tmp_path: Path) -> None:
    shuffled = arm("rnn", [RNN[seed] for seed in (3, 1, 4, 0, 2)], seeds=[3, 1, 4, 0, 2])
    pair = pair_of(grouped(tmp_path, arm("lstm", LSTM), shuffled), "lstm", "rnn")
    assert pair.seeds is not None
    assert pair.seeds.p == pytest.approx(stats.ttest_rel(LSTM, RNN).pvalue)


def test_the_difference_is_over_all_seeds(tmp_path: Path) -> None:
    group = grouped(tmp_path, arm("lstm", LSTM), arm("rnn", RNN, seeds=[2, 3, 4, 5, 6]))
    pair = group.pairs[0]
    assert pair.seeds is not None
    assert pair.seeds.difference == pytest.approx(np.mean(LSTM) - np.mean(RNN))
    assert pair.reason.endswith("5 and 5 seeds, 3 in common")


def test_without_seeds_in_common_it_is_welch(tmp_path: Path) -> None:
    group = grouped(tmp_path, arm("lstm", LSTM), arm("rnn", RNN[:4], seeds=[4, 5, 6, 7]))
    pair = group.pairs[0]
    found = stats.ttest_ind(LSTM, RNN[:4], equal_var=False)
    ends = found.confidence_interval(0.95)
    assert pair.seeds is not None
    assert (pair.seeds.p, pair.seeds.low, pair.seeds.high) == pytest.approx(
        (found.pvalue, ends.low, ends.high)
    )
    assert pair.reason == "Welch t, 5 and 4 seeds, 1 in common"
    assert pair.verdict == "better"


def test_a_net_against_a_deterministic_baseline(tmp_path: Path) -> None:
    group = grouped(tmp_path, arm("lstm", LSTM), fixed("majority", 0.80))
    pair = group.pairs[0]
    assert pair.seeds is not None
    assert pair.seeds.p == pytest.approx(stats.ttest_1samp(LSTM, 0.80).pvalue)
    assert (pair.reason, pair.verdict) == ("one-sample t, 5 seeds", "better")
    (net,) = [each for each in group.arms if not each.baseline]
    assert (net.beats_baselines, net.against_baselines) == (
        True,
        "beats its best baseline, majority",
    )


@pytest.mark.parametrize(
    ("score", "words"),
    [
        (0.83, "not shown to beat its best baseline, tfidf"),
        (0.95, "worse than its best baseline, tfidf"),
    ],
)
def test_a_net_that_does_not_beat_its_best_baseline(
    tmp_path: Path, score: float, words: str
) -> None:
    nets = arm("lstm", LSTM)
    group = grouped(tmp_path, nets, fixed("majority", 0.5), fixed("tfidf", score, "classical"))
    net = group.arm("lstm")
    assert (net.beats_baselines, net.against_baselines) == (False, words)
    assert group.arm("tfidf").beats_baselines is None


def test_single_seeds_are_not_tested(tmp_path: Path) -> None:
    group = grouped(tmp_path, arm("lstm", [0.9]), arm("rnn", [0.5]), fixed("majority", 0.4))
    assert {pair.verdict for pair in group.pairs} == {"no difference shown"}
    assert all(pair.reason.startswith("n = 1") for pair in group.pairs)
    assert not any(each.is_among_best for each in group.arms)
    assert group.arm("lstm").against_baselines == (
        "not shown to beat its best baseline, majority (n = 1)"
    )
    assert any("the order of these arms is not tested" in note for note in group.notes)


def test_one_lucky_seed_is_not_the_best_arm(tmp_path: Path) -> None:
    group = grouped(tmp_path, arm("lucky", [0.99]), arm("lstm", LSTM), arm("rnn", RNN))
    marks = {each.label: each.is_among_best for each in group.arms}
    assert marks == {"lucky": False, "lstm": True, "rnn": False}


def test_the_detectable_difference(tmp_path: Path) -> None:
    pair = pair_of(grouped(tmp_path, arm("lstm", LSTM), arm("gru", GRU)), "lstm", "gru")
    sd = float(np.std(np.subtract(LSTM, GRU), ddof=1))
    assert pair.detectable is not None
    shift, bound = pair.detectable / sd * math.sqrt(5), stats.t.ppf(0.975, 4)
    power = stats.nct.sf(bound, 4, shift) + stats.nct.cdf(-bound, 4, shift)
    assert power == pytest.approx(0.8, abs=1e-6)


def power_at(n: int, effect: float) -> float:
    """Return the power of the two-sided paired t-test from the distribution of its statistic."""
    bound = stats.t.ppf(0.975, n - 1)
    return float(stats.nct.sf(bound, n - 1, effect * math.sqrt(n)))


def test_equal_scores_are_no_difference(tmp_path: Path) -> None:
    pair = grouped(tmp_path, arm("a", LSTM), arm("b", LSTM)).pairs[0]
    assert (pair.verdict, pair.p_adjusted) == ("no difference shown", 1.0)


def test_a_difference_without_spread_is_not_shown(tmp_path: Path) -> None:
    """Scores rounded to two digits often have equal differences at two seeds."""
    pair = grouped(tmp_path, arm("a", [0.85, 0.86]), arm("b", [0.84, 0.85])).pairs[0]
    assert pair.verdict == "no difference shown"


def test_lower_is_better(tmp_path: Path) -> None:
    down: dict[str, Any] = {"metric": "rmse", "higher_is_better": "false"}
    group = grouped(tmp_path, arm("rnn", RNN, **down), arm("lstm", LSTM, **down))
    assert [each.label for each in group.arms] == ["rnn", "lstm"]
    assert (group.pairs[0].a, group.pairs[0].verdict) == ("rnn", "better")


def test_pairs_with_one_arm_are_corrected_for_these_alone(tmp_path: Path) -> None:
    arms = arm("lstm", LSTM), arm("gru", GRU), arm("rnn", RNN)
    group = grouped(tmp_path, *arms, baseline="gru")
    assert [(pair.a, pair.b) for pair in group.pairs] == [("lstm", "gru"), ("rnn", "gru")]
    worse = group.pairs[1]
    assert worse.verdict == "worse"
    assert worse.p_adjusted == pytest.approx(2 * stats.ttest_rel(RNN, GRU).pvalue)
    assert [each.is_among_best for each in group.arms] == [True, True, False]


def test_baselines_beside_the_best_one_cost_the_nets_no_power(tmp_path: Path) -> None:
    nets = arm("lstm", LSTM), arm("rnn", RNN)
    simple = [fixed(f"simple_{n}", 0.3 + n / 100, "simple") for n in range(8)]
    group = grouped(tmp_path, *nets, *simple, fixed("majority", 0.5))
    assert {frozenset((pair.a, pair.b)) for pair in group.pairs} == {
        frozenset(ends) for ends in combinations(("lstm", "rnn", "majority"), 2)
    }
    assert [each.label for each in group.arms if each.is_among_best] == ["lstm"]


def test_pairs_with_the_best_of_many_arms_are_corrected_for_all_pairs(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    arms = [arm("lstm", rng.normal(0.5, 0.1, 5).tolist(), hidden_size=n) for n in range(40)]
    group = grouped(tmp_path, *arms)
    assert len(group.pairs) == 39
    assert {pair.a for pair in group.pairs} == {group.arms[0].label}
    raw = [pair.seeds.p for pair in group.pairs if pair.seeds is not None and pair.seeds.p]
    adjusted = [pair.p_adjusted for pair in group.pairs]
    assert adjusted == pytest.approx([min(1.0, p * 780) for p in raw])


def test_arms_of_one_distribution_rarely_differ(tmp_path: Path) -> None:
    """Any pair of three equal arms differs in at most 5 % of draws."""
    rng, draws = np.random.default_rng(1), 60
    arms = [
        arm(name, rng.normal(0.5, 0.1, 5).tolist(), task=f"draw {number}")
        for number in range(draws)
        for name in ("a", "b", "c")
    ]
    groups = compared(tmp_path, *arms).groups
    assert len(groups) == draws
    wrong = [g for g in groups if {p.verdict for p in g.pairs} != {"no difference shown"}]
    assert len(wrong) <= stats.binom.ppf(0.999, draws, 0.05)


def test_a_planted_difference_is_found_as_often_as_stated(tmp_path: Path) -> None:
    """Of 2 sd of the difference, at 5 seeds."""
    rng, draws = np.random.default_rng(2), 60
    arms = [
        arm(name, rng.normal(mean, 1.0, 5).tolist(), task=f"draw {number}", metric="score")
        for number in range(draws)
        for name, mean in (("a", 2 * math.sqrt(2)), ("b", 0.0))
    ]
    pairs = [group.pairs[0] for group in compared(tmp_path, *arms).groups]
    found = sum(pair.verdict == "better" and pair.a == "a" for pair in pairs)
    low, high = stats.binom.ppf([0.001, 0.999], draws, power_at(5, 2.0))
    assert low <= found <= high


def marks(group: Group) -> set[str]:
    return {each.label for each in group.arms if each.is_among_best}


def test_marks_agree_with_the_pairs(tmp_path: Path) -> None:
    """With any number of baselines."""
    near = [
        score - 0.02 - wobble for score, wobble in zip(LSTM, [0, 0.02, 0, 0.01, 0], strict=True)
    ]
    simple = [fixed(f"simple_{n}", np.mean(LSTM) - n / 1e5, "simple") for n in range(1, 40)]
    verdicts = []
    nets = arm("lstm", LSTM), arm("near", near)
    for options in ({}, {"baseline": "lstm"}, {"baseline": "near"}):
        group = grouped(tmp_path, *nets, *simple, **options)
        verdicts.append(pair_of(group, "lstm", "near").verdict != "no difference shown")
        assert ("near" in marks(group)) != verdicts[-1]
    assert verdicts[:2] == [True, False]


def test_other_baselines_are_marked_by_the_pairs_with_the_best(tmp_path: Path) -> None:
    """With Holm's correction over these three, one of which is shown."""
    score = float(np.mean(LSTM)) - 3.4 * float(stats.sem(LSTM))
    p = float(stats.ttest_1samp(LSTM, score).pvalue)
    assert 0.025 < p < 0.05
    worst = fixed("majority", 0.5)
    best = fixed("tfidf", float(np.mean(LSTM)) - 0.001, "classical")
    seeded = arm("svm", [score] * 5, baseline="classical")
    assert marks(grouped(tmp_path, arm("lstm", LSTM), best, seeded, worst)) == {
        "lstm",
        "tfidf",
        "svm",
    }
    far = arm("svm", [float(np.mean(LSTM)) - 6 * float(stats.sem(LSTM))] * 5, baseline="classical")
    assert marks(grouped(tmp_path, arm("lstm", LSTM), best, far, worst)) == {"lstm", "tfidf"}


def test_a_lower_baseline_without_seeds_is_not_marked(tmp_path: Path) -> None:
    net = arm("lstm", [0.2, 0.3, 0.25])
    baselines = fixed("tfidf", 0.8, "classical"), fixed("svm", 0.79, "classical"), fixed("m", 0.5)
    group = grouped(tmp_path, net, *baselines, fixed("twin", 0.8, "classical"))
    assert marks(group) == {"tfidf", "twin"}
    margin = parse_margin("0.02")
    group = grouped(tmp_path, net, *baselines, fixed("twin", 0.8, "classical"), margin=margin)
    assert marks(group) == {"tfidf", "twin", "svm"}


@pytest.mark.parametrize(("margin", "marked"), [(None, {"nb_3"}), ("0.02", {"nb_3", "nb_1"})])
def test_a_noisy_network_does_not_mark_baselines_that_are_certainly_worse(
    tmp_path: Path, margin: str | None, marked: set[str]
) -> None:
    net = arm("gru", [0.70, 0.95, 0.80])
    bars = [fixed(f"nb_{n}", score, "classical") for n, score in enumerate((0.79, 0.60, 0.80), 1)]
    found = grouped(tmp_path, net, *bars, margin=margin and parse_margin(margin))
    assert marks(found) == {"gru", *marked}


def test_each_budget_has_its_best(tmp_path: Path) -> None:
    small, large = ({"match": "parameters", "match_budget": n} for n in (100, 900))
    group = grouped(
        tmp_path,
        arm("lstm", LSTM, **large),
        arm("rnn", RNN, **large),
        arm("gru", [s - 0.05 for s in LSTM], **small),
        arm("elman", [s - 0.1 for s in RNN], **small),
        fixed("tfidf", 0.775, "classical"),  # beside gru alone it would be among the best
    )
    assert marks(group) == {"lstm", "gru"}
    assert group.is_mixed


def test_scores_above_perfect_have_a_note(tmp_path: Path) -> None:
    message = "accuracy of lstm is above the perfect score 1: are these per cent?"
    assert message in grouped(tmp_path, arm("lstm", [90, 91])).notes
    assert message in grouped(tmp_path, arm("lstm", [90, 91], perfect_score=1)).notes
    for rows in (
        arm("lstm", [1.0, 1.0 + 1e-9]),
        arm("lstm", [90, 91], perfect_score=100),
        arm("lstm", [90, 91], metric="rmse", higher_is_better="false"),
    ):
        assert not any("per cent" in note for note in grouped(tmp_path, rows).notes)


def test_an_interval_that_excludes_zero_is_not_shown_as_zero(tmp_path: Path) -> None:
    """The corrected p is just below 0.05, so the interval ends just above 0."""
    shift = stats.t.ppf(0.975, 4) * stats.sem(WOBBLE) * 1.001 - np.mean(WOBBLE)
    near = [a - (b + shift) for a, b in zip(LSTM, WOBBLE, strict=True)]
    group = grouped(tmp_path, arm("lstm", LSTM), arm("near", near))
    assert group.pairs[0].verdict == "better"
    assert "[0.00" in (text := pair_text(group.pairs[0], group))
    assert "[0.000," not in text
