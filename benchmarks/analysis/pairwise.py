"""Verdicts on the difference between two arms."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from itertools import combinations

import numpy as np

from benchmarks.analysis.arms import budget_name
from benchmarks.analysis.comparison import (
    BETTER,
    NOT_COMPARABLE,
    NOT_SHOWN,
    WORSE,
    Arm,
    Pair,
)
from benchmarks.analysis.item_tests import ItemTests
from benchmarks.analysis.metrics import EXACT, TIMES, Metric
from benchmarks.analysis.seed_tests import difference
from benchmarks.analysis.statistics.common import LEVEL, Paired
from benchmarks.analysis.statistics.power import holm, minimum_detectable, seeds_needed

MOST_FOR_ALL_PAIRS = 30  # arms up to which all pairs are tested, not only those with the best
DRAWS_PER_PAIR = 100  # p is at least 1 / draws, which leaves room for Holm's correction
FEWEST_DRAWS = 2000
MOST_DRAWS = 20_000
NO_ITEMS = "n = 1: one value each and no stored predictions"


def incomparable_reason(a: Arm, b: Arm, metric: Metric) -> str:
    """Return why two arms of a group are not comparable; empty if they are."""
    if a.model == b.model and a.baseline == b.baseline:
        versions = [arm.rows["model_version"].iloc[0] for arm in (a, b)]
        if versions[0] != versions[1] and not np.isnan(versions).any():
            return f"model versions {versions[0]:.0f} and {versions[1]:.0f}"
    budgets = [budget_name(arm.match, arm.match_budget) for arm in (a, b) if not arm.baseline]
    if len(set(budgets)) > 1:
        return f"budgets differ: {budgets[0]}, {budgets[1]}"
    if metric.name in TIMES:
        for arm in (a, b):
            if arm.doubtful_times:
                return f"times of {arm.label} are unreliable: {arm.doubtful_times}"
    return ""


def run_test(a: Arm, b: Arm, metric: Metric, items: ItemTests | None, family: int) -> Pair:
    """Test two arms over seeds, or over items if both are deterministic, without correction."""
    pair = Pair(a.label, b.label, NOT_SHOWN, reason=incomparable_reason(a, b, metric))
    if pair.reason:
        return replace(pair, verdict=NOT_COMPARABLE)
    between = a.score.mean - b.score.mean
    if metric.name in EXACT:
        verdict = direction_of(between, metric) if between else NOT_SHOWN
        exact = Paired(between, None, None, None, 1, "exact")
        return replace(pair, verdict=verdict, seeds=exact, reason="exact, independent of the seed")
    if not (a.is_deterministic and b.is_deterministic):
        seeds, reason = difference(a.by_seed, b.by_seed, family)
        return replace(pair, seeds=seeds, reason=reason)
    draws = int(np.clip(DRAWS_PER_PAIR * family, FEWEST_DRAWS, MOST_DRAWS))
    by_items = items.compare(a, b, draws) if items is not None and metric.is_own else None
    if by_items is None:
        seeds = Paired(between, None, None, None, 1, "one value each: no test")
        return replace(pair, seeds=seeds, reason=NO_ITEMS)
    found, items_of = by_items
    seeds = Paired(between, None, None, found.p, 1, found.method)
    reason = f"{found.method}, {found.n:,} items"
    return replace(pair, seeds=seeds, items=found, items_of=items_of, reason=reason)


def direction_of(between: float, metric: Metric) -> str:
    """Return the verdict of a shown difference A - B."""
    return BETTER if (between > 0) == metric.higher_is_better else WORSE


def corrected(pairs: Sequence[Pair], metric: Metric, family: int) -> list[Pair]:
    """Return the verdicts, with Holm's correction over all tests.

    If they were selected from a larger `family` of pairs, Bonferroni's correction accounts for the
    selection.
    """
    tested = [pair.p for pair in pairs if pair.p is not None]
    selected = family > len(tested)
    adjusted = iter([min(1.0, p * family) for p in tested] if selected else holm(tested))
    family = max(family, len(tested))
    return [
        pair if pair.p is None else decided(pair, metric, next(adjusted), family) for pair in pairs
    ]


def decided(pair: Pair, metric: Metric, p_adjusted: float, family: int) -> Pair:
    """Return a tested pair with its verdict."""
    seeds = pair.seeds
    assert seeds is not None
    pair = replace(pair, p_adjusted=p_adjusted)
    if p_adjusted < LEVEL and seeds.difference != 0:
        return replace(pair, verdict=direction_of(seeds.difference, metric))
    if seeds.deviation is None:
        return pair
    level = LEVEL / family
    return replace(
        pair,
        detectable=minimum_detectable(seeds.deviation, seeds.n, level),
        seeds_needed=seeds_needed(seeds.difference, seeds.deviation, level),
    )


def contenders(arms: Sequence[Arm]) -> list[Arm]:
    """Return the nets and the best baseline, or all arms if there are no nets.

    Pairs of baselines would cost the tests of the nets their power.
    """
    if all(arm.baseline for arm in arms):
        return list(arms)
    baseline = best_baseline(arms)
    return [arm for arm in arms if not arm.baseline or arm is baseline]


def best_baseline(arms: Sequence[Arm]) -> Arm | None:
    """Return the first baseline of arms in order."""
    return next((arm for arm in arms if arm.baseline), None)


def family_of(arms: Sequence[Arm], worse: int) -> int:
    """Return the number of pairs the tested are selected from, with `worse` unread arms, or 0."""
    among = contenders(arms)
    if len(among) <= MOST_FOR_ALL_PAIRS:
        return 0
    testable = sum(arm.score.n > 1 or arm.is_deterministic for arm in among) + worse
    return testable * (testable - 1) // 2


def all_pairs(
    arms: Sequence[Arm], metric: Metric, items: ItemTests | None, family: int
) -> list[Pair]:
    """Compare all pairs of contenders; of many, those with the best arm and the best baseline."""
    among = contenders(arms)
    chosen = list(combinations(among, 2))
    if len(among) > MOST_FOR_ALL_PAIRS:
        baseline = best_baseline(among)
        chosen = [(a, b) for a, b in chosen if a is among[0] or a is baseline or b is baseline]
    count = max(family, len(chosen))
    return corrected([run_test(a, b, metric, items, count) for a, b in chosen], metric, family)


def pairs_with(
    arms: Sequence[Arm], reference: Arm, metric: Metric, items: ItemTests | None
) -> list[Pair]:
    """Compare every arm with one that was chosen beforehand."""
    others = [arm for arm in arms if arm is not reference]
    tests = [run_test(arm, reference, metric, items, len(others)) for arm in others]
    return corrected(tests, metric, 0)
