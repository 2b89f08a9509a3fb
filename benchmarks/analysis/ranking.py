"""Marks of arms: those that may be the best, and nets that beat the best baseline."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

from benchmarks.analysis.arms import budget_name
from benchmarks.analysis.comparison import BETTER, FLIPPED, WORSE, Arm, Pair
from benchmarks.analysis.formatting import listed
from benchmarks.analysis.item_tests import ItemTests
from benchmarks.analysis.metrics import COSTS, EXACT, Metric
from benchmarks.analysis.pairwise import (
    NO_ITEMS,
    best_baseline,
    contenders,
    decided,
    run_test,
)
from benchmarks.analysis.statistics.power import holm

PairsByLabels = dict[frozenset[str], Pair]


def with_marks(
    arms: list[Arm], pairs: Sequence[Pair], metric: Metric, items: ItemTests | None
) -> tuple[list[Arm], list[str]]:
    """Mark the best arms and the nets that beat the best baseline; return notes on untested arms.

    The last verdict on a pair counts.
    """
    known = {frozenset((pair.a, pair.b)): pair for pair in pairs}
    best, notes = best_arms(arms, known, metric, items)
    baseline = None if metric.name in COSTS else best_baseline(arms)
    result = [dataclasses.replace(arm, is_among_best=arm.label in best) for arm in arms]
    if baseline is not None:
        result = [arm if arm.baseline else against(baseline, arm, known) for arm in result]
    return result, notes


def best_arms(
    arms: Sequence[Arm], known: PairsByLabels, metric: Metric, items: ItemTests | None
) -> tuple[set[str], list[str]]:
    """Return the labels of the best arms and those not shown to be worse, and notes.

    Nets of each budget are compared with each other and with the baselines. A baseline must not
    be worse than the best arm of any budget.
    """
    budgets = {budget_name(arm.match, arm.match_budget) for arm in arms if not arm.baseline}
    best: set[str] = set()
    beaten: set[str] = set()
    notes: dict[str, None] = {}
    for budget in sorted(budgets) or [""]:
        peers = [a for a in arms if a.baseline or budget_name(a.match, a.match_budget) == budget]
        found, untested = best_of_budget(peers, known, metric, items)
        best |= found
        if found:
            beaten |= {arm.label for arm in peers} - found
        if untested and metric.is_own:
            notes[f"not tested, without stored predictions: {listed(untested)}"] = None
    return best - beaten, list(notes)


def best_of_budget(
    arms: Sequence[Arm], known: PairsByLabels, metric: Metric, items: ItemTests | None
) -> tuple[set[str], list[str]]:
    """Return the labels of the best arms of a budget, and of the untested ones.

    The best arm is the first contender that can be tested: an arm with one seed cannot.
    """
    untested: list[str] = []
    for best in contenders(arms):
        if best.score.n == 1 and not best.is_deterministic and metric.name not in EXACT:
            continue
        pairs = pairs_with_best(best, arms, known, metric, items)
        missing = [arm for arm, pair in pairs if pair.reason == NO_ITEMS]
        untested = untested or [arm.label for arm in missing]
        tested = [(arm, pair) for arm, pair in pairs if is_decided(pair)]
        if tested:
            equal = {arm.label for arm in missing if arm.score.mean == best.score.mean}
            kept = {arm.label for arm, pair in tested if verdict_of(best, pair) != BETTER}
            return {best.label} | kept | equal, [arm.label for arm in missing]
    return set(), untested


def pairs_with_best(
    best: Arm, arms: Sequence[Arm], known: PairsByLabels, metric: Metric, items: ItemTests | None
) -> list[tuple[Arm, Pair]]:
    """Return the best arm's pairs with all others: the known ones, and new tests of the rest.

    New tests are corrected for the pairs with the best arm, including the known ones.
    """
    others = [arm for arm in arms if arm is not best]
    pairs = [
        known.get(frozenset((best.label, arm.label)))
        or run_test(best, arm, metric, items, len(others))
        for arm in others
    ]
    adjusted = iter(holm([pair.p for pair in pairs if pair.p is not None]))
    result = []
    for arm, pair in zip(others, pairs, strict=True):
        p_adjusted = None if pair.p is None else next(adjusted)
        if p_adjusted is not None and pair.p_adjusted is None:
            pair = decided(pair, metric, p_adjusted, 1)
        result.append((arm, pair))
    return result


def is_decided(pair: Pair) -> bool:
    """Return True if a verdict rests on a test or on exact numbers."""
    return pair.verdict in (BETTER, WORSE) or pair.p_adjusted is not None


def verdict_of(arm: Arm, pair: Pair) -> str:
    """Return the verdict on an arm of a pair against the other one."""
    return pair.verdict if pair.a == arm.label else FLIPPED.get(pair.verdict, pair.verdict)


def against(baseline: Arm, net: Arm, known: PairsByLabels) -> Arm:
    """Return a net with the verdict against the best baseline."""
    pair = known[frozenset((net.label, baseline.label))]
    verdict = verdict_of(net, pair)
    words = {BETTER: "beats", WORSE: "worse than"}.get(verdict, "not shown to beat")
    why = "" if is_decided(pair) else f" ({pair.reason.partition(':')[0]})"
    phrase = f"{words} its best baseline, {baseline.label}{why}"
    return dataclasses.replace(net, beats_baselines=verdict == BETTER, against_baselines=phrase)
