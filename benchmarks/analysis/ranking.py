"""Which arms may be the best, and which nets beat the best baseline."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

from benchmarks.analysis import statistics
from benchmarks.analysis.arms import one_budget
from benchmarks.analysis.comparison import BETTER, FLIPPED, WORSE, Arm, Pair
from benchmarks.analysis.formatting import listed
from benchmarks.analysis.item_tests import ItemTests
from benchmarks.analysis.metrics import EXACT, is_cost
from benchmarks.analysis.pairwise import (
    NO_ITEMS,
    Question,
    best_baseline,
    contenders,
    find,
    judge,
)

Known = dict[frozenset[str], Pair]


def marked(
    arms: list[Arm], pairs: Sequence[Pair], question: Question, items: ItemTests | None
) -> tuple[list[Arm], list[str]]:
    """Mark the best group, and which nets beat the best baseline.

    Args:
        arms: of a group, best first.
        pairs: that have a verdict; of one pair the last verdict counts, which is the one shown.
        question, items: see `find`.

    Returns:
        The arms, and notes on what could not be tested.
    """
    known = {frozenset((pair.a, pair.b)): pair for pair in pairs}
    best, notes = best_group(arms, known, question, items)
    baseline = None if is_cost(question.metric) else best_baseline(arms)
    result = []
    for arm in arms:
        beats, words = None, ""
        if baseline is not None and not arm.baseline:
            beats, words = against(arm, baseline, known)
        result.append(
            dataclasses.replace(
                arm,
                is_among_best=arm.label in best,
                beats_baselines=beats,
                against_baselines=words,
            )
        )
    return result, notes


def best_group(
    arms: Sequence[Arm], known: Known, question: Question, items: ItemTests | None
) -> tuple[set[str], list[str]]:
    """Labels of the best arms and of those not shown to be worse, and what was not tested.

    Nets of each budget are compared with each other and with the baselines; a baseline must hold
    its own beside the best of every budget.
    """
    budgets = {one_budget(arm.match, arm.match_budget) for arm in arms if not arm.baseline}
    best: set[str] = set()
    beaten: set[str] = set()
    notes: dict[str, None] = {}
    for budget in sorted(budgets) or [""]:
        mine = [a for a in arms if a.baseline or one_budget(a.match, a.match_budget) == budget]
        found, untested = best_of_budget(mine, known, question, items)
        best |= found
        if found:
            beaten |= {arm.label for arm in mine} - found
        if untested and question.is_own:
            notes[f"not tested, as item predictions are not there: {listed(untested)}"] = None
    return best - beaten, list(notes)


def best_of_budget(
    arms: Sequence[Arm], known: Known, question: Question, items: ItemTests | None
) -> tuple[set[str], list[str]]:
    """Labels of the best of arms and of those not shown to be worse, and of those not tested.

    The best is the first contender that could be tested against another: one seed shows nothing.
    """
    untested: list[str] = []
    for best in contenders(arms):
        if best.score.n == 1 and not best.is_deterministic and question.metric not in EXACT:
            continue
        pairs = pairs_with_best(best, arms, known, question, items)
        lacking = [arm for arm, pair in pairs if pair.reason == NO_ITEMS]
        untested = untested or [arm.label for arm in lacking]
        decided = [(arm, pair) for arm, pair in pairs if is_decided(pair)]
        if decided:
            alike = {arm.label for arm in lacking if arm.score.mean == best.score.mean}
            kept = {arm.label for arm, pair in decided if verdict_of(best, pair) != BETTER}
            return {best.label} | kept | alike, [arm.label for arm in lacking]
    return set(), untested


def pairs_with_best(
    best: Arm, arms: Sequence[Arm], known: Known, question: Question, items: ItemTests | None
) -> list[tuple[Arm, Pair]]:
    """The best arm's pairs with all others: known verdicts stand, the others are found here.

    What is found here is corrected for the pairs with the best arm alone, the known ones included.
    """
    others = [arm for arm in arms if arm is not best]
    stands = [known.get(frozenset((best.label, arm.label))) for arm in others]
    asked = [arm for arm, pair in zip(others, stands, strict=True) if pair is None]
    found = [find(best, arm, question, items, len(others)) for arm in asked]
    raw = [p for p in (each.p for each in found) if p is not None]
    raw += [p for p in (raw_p(pair) for pair in stands if pair is not None) if p is not None]
    adjusted = iter(statistics.holm(raw))
    new = iter(
        [judge(each, question, None if each.p is None else next(adjusted), 1) for each in found]
    )
    return [
        (arm, next(new) if pair is None else pair) for arm, pair in zip(others, stands, strict=True)
    ]


def raw_p(pair: Pair) -> float | None:
    """The p-value that a pair's verdict rests on, before its correction."""
    return None if pair.p_adjusted is None or pair.seeds is None else pair.seeds.p


def is_decided(pair: Pair) -> bool:
    """Whether a pair's verdict rests on a test or on exact numbers."""
    return pair.verdict in (BETTER, WORSE) or pair.p_adjusted is not None


def verdict_of(arm: Arm, pair: Pair) -> str:
    """A pair's verdict, as seen from one of its arms."""
    return pair.verdict if pair.a == arm.label else FLIPPED.get(pair.verdict, pair.verdict)


def against(net: Arm, baseline: Arm, known: Known) -> tuple[bool, str]:
    """Whether a net is shown to beat a baseline, in words too."""
    pair = known[frozenset((net.label, baseline.label))]
    verdict = verdict_of(net, pair)
    if verdict == BETTER:
        return True, f"beats its best baseline, {baseline.label}"
    if verdict == WORSE:
        return False, f"worse than its best baseline, {baseline.label}"
    why = "" if is_decided(pair) else f" ({pair.reason.partition(':')[0]})"
    return False, f"not shown to beat its best baseline, {baseline.label}{why}"
