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
    result = []
    for arm in arms:
        beats, phrase = None, ""
        if baseline is not None and not arm.baseline:
            beats, phrase = against_baseline(arm, baseline, known)
        is_best = arm.label in best
        result.append(
            dataclasses.replace(
                arm, is_among_best=is_best, beats_baselines=beats, against_baselines=phrase
            )
        )
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
    pairs = [known.get(frozenset((best.label, arm.label))) for arm in others]
    missing = [arm for arm, pair in zip(others, pairs, strict=True) if pair is None]
    tests = [run_test(best, arm, metric, items, len(others)) for arm in missing]
    # The p-values before their correction that the verdicts rest on.
    raw = [test.p for test in tests if test.p is not None]
    for pair in pairs:
        if pair is not None and pair.p_adjusted is not None and pair.seeds is not None:
            raw += [] if pair.seeds.p is None else [pair.seeds.p]
    adjusted = iter(holm(raw))
    new = iter([decided(t, metric, None if t.p is None else next(adjusted), 1) for t in tests])
    return [
        (arm, next(new) if pair is None else pair) for arm, pair in zip(others, pairs, strict=True)
    ]


def is_decided(pair: Pair) -> bool:
    """Return True if a verdict rests on a test or on exact numbers."""
    return pair.verdict in (BETTER, WORSE) or pair.p_adjusted is not None


def verdict_of(arm: Arm, pair: Pair) -> str:
    """Return the verdict on an arm of a pair against the other one."""
    return pair.verdict if pair.a == arm.label else FLIPPED.get(pair.verdict, pair.verdict)


def against_baseline(net: Arm, baseline: Arm, known: PairsByLabels) -> tuple[bool, str]:
    """Return True if a net is shown to beat the best baseline, and the verdict as a phrase."""
    pair = known[frozenset((net.label, baseline.label))]
    verdict = verdict_of(net, pair)
    if verdict == BETTER:
        return True, f"beats its best baseline, {baseline.label}"
    if verdict == WORSE:
        return False, f"worse than its best baseline, {baseline.label}"
    why = "" if is_decided(pair) else f" ({pair.reason.partition(':')[0]})"
    return False, f"not shown to beat its best baseline, {baseline.label}{why}"
