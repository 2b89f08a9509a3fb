"""Marks of arms: those that may be the best, and nets that beat the best baseline."""

from __future__ import annotations

import dataclasses
from collections.abc import Collection, Sequence

from benchmarks.analysis.arms import budget_name
from benchmarks.analysis.comparison import (
    BETTER,
    EQUIVALENT,
    FAILS_LESS,
    FAILS_MORE,
    FLIPPED,
    OPEN,
    SHOWN,
    WORSE,
    Arm,
    Pair,
    best_baseline,
)
from benchmarks.analysis.metrics import COSTS, EXACT
from benchmarks.analysis.pairwise import Rules, contenders, corrected, run_test

PairsByLabels = dict[frozenset[str], Pair]

AGAINST_BASELINE = {
    BETTER: "beats",
    WORSE: "worse than",
    EQUIVALENT: "equivalent to",
    FAILS_MORE: "fails more often than",
}


def with_marks(
    arms: list[Arm], pairs: Sequence[Pair], shown: Sequence[Pair], rules: Rules, family: int
) -> list[Arm]:
    """Mark the best arms and the networks that beat the best baseline.

    The verdicts of the pairs that are `shown` precede those of all pairs. `family` is as in
    `corrected`.
    """
    tested = {frozenset((pair.a, pair.b)): pair for pair in (*pairs, *shown)}
    failing = {label for pair in (*pairs, *shown) if (label := failing_more(pair)) is not None}
    qualified = [arm for arm in arms if arm.label not in failing]
    best = best_arms(qualified, tested, rules, family)
    if failing and len(qualified) == 1:
        best = {qualified[0].label}
    best -= {label for pair in shown if (label := loser(pair, failing)) is not None}
    baseline = None if rules.metric.name in COSTS else best_baseline(arms)
    result = [dataclasses.replace(arm, is_among_best=arm.label in best) for arm in arms]
    if baseline is not None:
        result = [arm if arm.baseline else against(baseline, arm, tested) for arm in result]
    return result


def best_arms(arms: Sequence[Arm], tested: PairsByLabels, rules: Rules, family: int) -> set[str]:
    """Return the labels of the best arms and those not shown to be worse.

    Nets of each budget are compared with each other and with the baselines. A baseline must not
    be worse than the best arm of any budget.
    """
    budgets = {budget_name(arm.match, arm.match_budget) for arm in arms if not arm.baseline}
    best: set[str] = set()
    beaten: set[str] = set()
    for budget in sorted(budgets) or [""]:
        peers = [a for a in arms if a.baseline or budget_name(a.match, a.match_budget) == budget]
        found = best_of_budget(peers, tested, rules, family)
        best |= found
        if found:
            beaten |= {arm.label for arm in peers} - found
    return best - beaten


def best_of_budget(
    arms: Sequence[Arm], tested: PairsByLabels, rules: Rules, family: int
) -> set[str]:
    """Return the labels of the best arms of a budget.

    The best arm is the first contender that can be tested: an arm with one seed cannot. Arms whose
    failed runs leave a verdict open come last.
    """
    doubtful = {pair.withheld for pair in tested.values()}
    for best in sorted(contenders(arms), key=lambda arm: arm.label in doubtful):
        if best.score.n == 1 and not best.is_deterministic and rules.metric.name not in EXACT:
            continue
        pairs = pairs_with_best(best, arms, tested, rules, family)
        if any(is_decided(pair) for _, pair in pairs):
            kept = {arm.label for arm, pair in pairs if may_be_best(arm, pair, best)}
            fixed = [arm for arm in arms if arm.is_deterministic]
            kept |= {arm.label for arm in fixed if best.is_deterministic}
            return kept - certainly_worse(fixed, rules.margin or 0.0) | {best.label}
    return set()


def may_be_best(arm: Arm, pair: Pair, best: Arm) -> bool:
    """Return True if an arm with several seeds or a test is not shown to be worse than the best."""
    is_open = pair.verdict in OPEN and arm.score.n > 1
    return (is_open or is_decided(pair)) and verdict_of(best, pair) not in (BETTER, FAILS_LESS)


def certainly_worse(fixed: Sequence[Arm], margin: float) -> set[str]:
    """Return the labels of arms without seeds that are worse than the first by more than a margin.

    They have one score each on these test items, whatever a test for other items shows.
    """
    return {arm.label for arm in fixed if abs(arm.score.mean - fixed[0].score.mean) > margin}


def pairs_with_best(
    best: Arm, arms: Sequence[Arm], tested: PairsByLabels, rules: Rules, family: int
) -> list[tuple[Arm, Pair]]:
    """Return the best arm's pairs with others: the tested ones, and new tests over seeds.

    New tests are corrected for the pairs with the best arm, including the tested ones, or for the
    `family` that they are a selection from.
    """
    others = [
        arm
        for arm in arms
        if arm is not best
        and (
            frozenset((best.label, arm.label)) in tested
            or not (arm.is_deterministic and best.is_deterministic)
        )
    ]
    pairs = [
        tested.get(frozenset((best.label, arm.label))) or run_test(best, arm, rules, len(others))
        for arm in others
    ]
    again = corrected(pairs, rules, family)
    return [
        (arm, pair if frozenset((best.label, arm.label)) in tested else new)
        for arm, pair, new in zip(others, pairs, again, strict=True)
    ]


def failing_more(pair: Pair) -> str | None:
    """Return the label of the arm of a pair that fails more often, if one is shown to."""
    return {FAILS_MORE: pair.a, FAILS_LESS: pair.b}.get(pair.verdict)


def loser(pair: Pair, failing: Collection[str]) -> str | None:
    """Return the label of the arm of a pair that is shown to be worse than one not `failing`."""
    winner, label = {BETTER: (pair.a, pair.b), WORSE: (pair.b, pair.a)}.get(
        pair.verdict, (None, None)
    )
    return label if winner not in failing else None


def is_decided(pair: Pair) -> bool:
    """Return True if a verdict rests on a test or on exact numbers."""
    return pair.verdict in SHOWN or pair.p_adjusted is not None


def verdict_of(arm: Arm, pair: Pair) -> str:
    """Return the verdict on an arm of a pair against the other one."""
    return pair.verdict if pair.a == arm.label else FLIPPED.get(pair.verdict, pair.verdict)


def against(baseline: Arm, net: Arm, tested: PairsByLabels) -> Arm:
    """Return a network with the verdict against the best baseline."""
    pair = tested[frozenset((net.label, baseline.label))]
    verdict = verdict_of(net, pair)
    words = AGAINST_BASELINE.get(verdict, "not shown to beat")
    why = "" if is_decided(pair) else f" ({pair.reason.partition(':')[0]})"
    phrase = f"{words} its best baseline, {baseline.label}{why}"
    return dataclasses.replace(net, beats_baselines=verdict == BETTER, against_baselines=phrase)
