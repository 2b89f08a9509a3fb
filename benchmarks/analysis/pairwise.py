"""What the difference between two arms is worth."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np

from benchmarks.analysis import statistics
from benchmarks.analysis.arms import one_budget
from benchmarks.analysis.comparison import (
    BETTER,
    NOT_COMPARABLE,
    NOT_SHOWN,
    WORSE,
    Arm,
    Group,
    Pair,
)
from benchmarks.analysis.item_tests import ItemTests
from benchmarks.analysis.metrics import EXACT, is_time
from benchmarks.analysis.seed_tests import difference
from benchmarks.analysis.statistics import LEVEL, Paired

MOST_FOR_ALL_PAIRS = 30
"""Of more arms only the pairs with the best one and with the best baseline are tested."""

DRAWS_PER_PAIR = 100
"""A resampled p is at least one in so many draws, which must leave room for Holm's correction."""

FEWEST_DRAWS = 2000
MOST_DRAWS = 20_000

NO_ITEMS = "n = 1: one value each, and no items to test by"


@dataclass(frozen=True)
class Question:
    """By what arms are compared.

    Attributes:
        is_own: it is the task's metric, of which items are kept.
    """

    metric: str
    higher_is_better: bool
    is_own: bool = True


@dataclass(frozen=True)
class Finding:
    """What two arms' numbers say before it is known how many other pairs were looked at.

    Attributes:
        seeds, items, items_of: see `Pair`.
        p: of what decides; None if nothing can.
        verdict: if it is decided without a p-value.
        reason: what was done, or why nothing can be.
    """

    a: Arm
    b: Arm
    seeds: Paired | None = None
    items: Paired | None = None
    items_of: str = ""
    p: float | None = None
    verdict: str = ""
    reason: str = ""


def why_not(a: Arm, b: Arm, question: Question) -> str:
    """Why two arms of a group are not comparable, or nothing if they are."""
    if a.model == b.model and a.baseline == b.baseline:
        versions = [arm.rows["model_version"].iloc[0] for arm in (a, b)]
        if versions[0] != versions[1] and not np.isnan(versions).any():
            return f"model versions {versions[0]:.0f} and {versions[1]:.0f}"
    budgets = [one_budget(arm.match, arm.match_budget) for arm in (a, b) if not arm.baseline]
    if len(set(budgets)) > 1:
        return f"budgets differ: {budgets[0]}, {budgets[1]}"
    if is_time(question.metric):
        for arm in (a, b):
            if arm.doubtful_times:
                return f"times of {arm.label} are in doubt: {arm.doubtful_times}"
    return ""


def find(a: Arm, b: Arm, question: Question, items: ItemTests | None, family: int) -> Finding:
    """Ask seeds what they say of two arms; items, of two arms that have none.

    Args:
        a, b: the arms; differences are A - B.
        question: by what they are compared.
        items: reads predictions; None if items are not asked.
        family: pairs that are looked at in all.
    """
    reason = why_not(a, b, question)
    if reason:
        return Finding(a, b, verdict=NOT_COMPARABLE, reason=reason)
    if question.metric in EXACT:
        between = a.score.mean - b.score.mean
        verdict = as_verdict(between, question) if between else NOT_SHOWN
        exact = Paired(between, None, None, None, 1, "no chance has a part in it")
        return Finding(a, b, seeds=exact, verdict=verdict, reason="exact, whatever the seed")
    if a.is_deterministic and b.is_deterministic:
        return by_items(a, b, question, items, family)
    found, reason = difference(a.by_seed, b.by_seed, family)
    return Finding(a, b, seeds=found, p=None if found is None else found.p, reason=reason)


def by_items(a: Arm, b: Arm, question: Question, items: ItemTests | None, family: int) -> Finding:
    """Let the test's items decide between two arms without seeds."""
    between = a.score.mean - b.score.mean
    found = (
        items.compare(a, b, draws_for(family)) if items is not None and question.is_own else None
    )
    if found is None:
        seeds = Paired(between, None, None, None, 1, "one value each: no test")
        return Finding(a, b, seeds=seeds, reason=NO_ITEMS)
    seeds = Paired(between, None, None, found[0].p, 1, found[0].method)
    return Finding(
        a, b, seeds, *found, p=found[0].p, reason=f"{found[0].method}, {found[0].n:,} items"
    )


def as_verdict(between: float, question: Question) -> str:
    """Which way a difference A - B that is there goes."""
    return BETTER if (between > 0) == question.higher_is_better else WORSE


def judged(findings: Sequence[Finding], question: Question, looked_at: int) -> list[Pair]:
    """Turn findings into verdicts, with Holm's correction over all that were looked at.

    Args:
        findings: of the pairs.
        question: by what the arms are compared.
        looked_at: pairs among which these were chosen; if they are more than those tested, the
            choice is paid for by Bonferroni's correction.
    """
    tested = [each.p for each in findings if each.p is not None]
    family = max(looked_at, len(tested))
    if family > len(tested):
        adjusted = iter([min(1.0, p * family) for p in tested])
    else:
        adjusted = iter(statistics.holm(tested))
    return [
        judge(each, question, None if each.p is None else next(adjusted), family)
        for each in findings
    ]


def judge(finding: Finding, question: Question, p_adjusted: float | None, family: int) -> Pair:
    """Give one verdict."""
    seeds = finding.seeds
    verdict, detectable, needed = finding.verdict or NOT_SHOWN, None, None
    if p_adjusted is not None and seeds is not None:
        if p_adjusted < LEVEL and seeds.difference != 0:
            verdict = as_verdict(seeds.difference, question)
        elif seeds.deviation is not None:
            # At the level that is left for one pair of so many.
            level = LEVEL / max(1, family)
            detectable = statistics.minimum_detectable(seeds.deviation, seeds.n, level)
            needed = statistics.seeds_needed(seeds.difference, seeds.deviation, level)
    return Pair(
        a=finding.a.label,
        b=finding.b.label,
        verdict=verdict,
        seeds=seeds,
        p_adjusted=p_adjusted,
        detectable=detectable,
        seeds_needed=needed,
        items=finding.items,
        reason=finding.reason,
        items_of=finding.items_of,
    )


def contenders(arms: Sequence[Arm]) -> list[Arm]:
    """The arms whose order is the question: the nets and the best baseline; all if there is no net.

    What one baseline is beside another is not asked, and would cost the nets' tests their power.
    """
    if all(arm.baseline for arm in arms):
        return list(arms)
    baseline = best_baseline(arms)
    return [arm for arm in arms if not arm.baseline or arm is baseline]


def best_baseline(arms: Sequence[Arm]) -> Arm | None:
    """The first baseline of arms that are sorted."""
    return next((arm for arm in arms if arm.baseline), None)


def pairs_among(arms: Sequence[Arm], more: int = 0) -> int:
    """How many pairs could be tested among some arms and so many more."""
    testable = sum(arm.score.n > 1 or arm.is_deterministic for arm in arms) + more
    return testable * (testable - 1) // 2


def draws_for(family: int) -> int:
    """How many draws give a p-value that can stand the correction for so many pairs."""
    return int(np.clip(DRAWS_PER_PAIR * family, FEWEST_DRAWS, MOST_DRAWS))


def choice_of(arms: Sequence[Arm], worse: int = 0) -> int:
    """How many pairs are paid for where those tested are chosen among more; 0 where all are."""
    asked = contenders(arms)
    return pairs_among(asked, worse) if len(asked) > MOST_FOR_ALL_PAIRS else 0


def all_pairs(
    arms: Sequence[Arm], question: Question, items: ItemTests | None, worse: int = 0
) -> list[Pair]:
    """Judge all pairs of contenders; of many, those with the best and the best baseline.

    Args:
        arms: of a group, best first.
        question: by what they are compared.
        items: see `find`.
        worse: further arms, from which these were chosen as the best.
    """
    asked = contenders(arms)
    chosen = list(combinations(asked, 2))
    family = choice_of(arms, worse)
    if len(asked) > MOST_FOR_ALL_PAIRS:
        baseline = best_baseline(asked)
        chosen = [(a, b) for a, b in chosen if a is asked[0] or a is baseline or b is baseline]
    looked_at = max(family, len(chosen))
    found = [find(a, b, question, items, looked_at) for a, b in chosen]
    return judged(found, question, family)


def pairs_with(
    arms: Sequence[Arm], asked: Arm, question: Question, items: ItemTests | None
) -> list[Pair]:
    """Judge every arm against one that was named beforehand, and so is no choice to pay for."""
    found = [find(arm, asked, question, items, len(arms) - 1) for arm in arms if arm is not asked]
    return judged(found, question, 0)


def with_items(pair: Pair, group: Group, items: ItemTests) -> Pair:
    """Show beside a verdict of seeds what the items say of these runs."""
    if pair.items is not None or pair.verdict == NOT_COMPARABLE:
        return pair
    found = items.compare(group.arm(pair.a), group.arm(pair.b), FEWEST_DRAWS)
    return pair if found is None else dataclasses.replace(pair, items=found[0], items_of=found[1])
