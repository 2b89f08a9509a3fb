"""Verdicts on the difference between two arms."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import combinations
from typing import TypeVar

import numpy as np

from benchmarks.analysis.arms import budget_name
from benchmarks.analysis.comparison import (
    BETTER,
    EQUIVALENT,
    NOT_COMPARABLE,
    NOT_SHOWN,
    OPEN,
    UNDECIDED,
    WITHHELD,
    WORSE,
    Arm,
    Change,
    Completion,
    FailedArm,
    Pair,
    best_baseline,
)
from benchmarks.analysis.completion import (
    completion_of,
    in_view_of_failures,
    with_correction,
    withheld_by,
    without_scores,
)
from benchmarks.analysis.item_tests import ItemTests
from benchmarks.analysis.metrics import EXACT, TIMES, Metric
from benchmarks.analysis.seed_tests import difference
from benchmarks.analysis.statistics.common import LEVEL, Paired, at_level
from benchmarks.analysis.statistics.equivalence import effect_size, tost_p
from benchmarks.analysis.statistics.power import (
    adjusted,
    detectable,
    holm_levels,
    seeds_for_margin,
)
from benchmarks.analysis.statistics.sequential import nominal_level

MOST_FOR_ALL_PAIRS = 30  # arms up to which all pairs are tested, not only those with the best
DRAWS_PER_PAIR = 100  # p is at least 1 / draws, which leaves room for Holm's correction
FEWEST_DRAWS = 2000
MOST_DRAWS = 20_000
Judged = TypeVar("Judged", Pair, Change)
NO_ITEMS = "n = 1: one value each and no stored predictions"


@dataclass(frozen=True)
class Rules:
    """How pairs of a group are tested.

    Attributes:
        items: tests over items, or None to test only over seeds.
        margin: smallest difference worth a decision, in units of the metric.
        planned: number of seeds per arm that was fixed beforehand.
    """

    metric: Metric
    items: ItemTests | None = None
    margin: float | None = None
    planned: int | None = None

    @property
    def undecided(self) -> str:
        """The verdict where nothing is shown."""
        return NOT_SHOWN if self.margin is None else UNDECIDED

    def level(self, found: Paired) -> float:
        """Return the nominal level of a test; below 5 % before the planned number of seeds."""
        return LEVEL if found.freedom is None else self.level_at(found.n)

    def level_at(self, n: int) -> float:
        """Return the nominal level of a look at n seeds."""
        return LEVEL if self.planned is None else nominal_level(min(n, self.planned), self.planned)

    def early_text(self, found: Paired) -> str:
        """Return the level of a look before the planned number of seeds; else an empty string."""
        is_early = found.freedom is not None and found.n < (self.planned or 0)
        return f"; shown below {self.level(found):.2g}" if is_early else ""

    def level_of(self, found: Completion | None) -> float:
        """Return the nominal level of tests over all runs, failed ones included."""
        if found is None:
            return LEVEL
        fewest = max if found.p is None else min  # a deterministic baseline has one run, no seeds
        return self.level_at(max(2, fewest(found.a[1], found.b[1])))


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


def run_test(a: Arm, b: Arm, rules: Rules, family: int) -> Pair:
    """Test two arms over seeds, or over items if both are deterministic, without correction."""
    metric = rules.metric
    pair = Pair(a.label, b.label, rules.undecided, reason=incomparable_reason(a, b, metric))
    if pair.reason:
        return replace(pair, verdict=NOT_COMPARABLE)
    between = a.score.mean - b.score.mean
    if metric.name in EXACT:
        verdict = direction_of(between, metric) if between else rules.undecided
        exact = Paired(between, None, None, None, 1, "exact")
        return replace(pair, verdict=verdict, seeds=exact, reason="exact, independent of the seed")
    completion = completion_of(a.by_seed, b.by_seed, metric.higher_is_better)
    pair = replace(pair, completion=completion)
    if not (a.is_deterministic and b.is_deterministic):
        seeds, reason = difference(a.by_seed, b.by_seed)
        return replace(pair, seeds=seeds, reason=reason)
    draws = int(np.clip(DRAWS_PER_PAIR * family, FEWEST_DRAWS, MOST_DRAWS))
    by_items = rules.items.compare(a, b, draws) if rules.items and metric.is_own else None
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


def corrected(pairs: Sequence[Pair], rules: Rules, family: int) -> list[Pair]:
    """Return the verdicts, with Holm's correction over all tests.

    If they were selected from a larger `family` of pairs, Bonferroni's correction accounts for the
    selection. Tests of equivalence and of completion are corrected as families of their own.
    """
    completions = with_correction([pair.completion for pair in pairs], family)
    corrections = corrections_of([pair.seeds for pair in pairs], [rules] * len(pairs), family)
    return [
        judged(replace(pair, completion=completion), rules, each)
        for pair, completion, each in zip(pairs, completions, corrections, strict=True)
    ]


@dataclass(frozen=True)
class Correction:
    """The corrected p-values of a pair, and the levels of the tests that agree with them."""

    p: float
    level: float
    p_equivalence: float | None = None
    level_equivalence: float = LEVEL


def corrections_of(
    found: Sequence[Paired | None], rules: Sequence[Rules], family: int
) -> list[Correction | None]:
    """Return the corrections of all tests; None for pairs without a test."""
    tested = [(n, each) for n, each in enumerate(found) if each is not None and each.p is not None]
    pvalues, levels = correction([each.p or 0.0 for _, each in tested], family)
    margins = [rules[n].margin for n, _ in tested]
    near = [m and tost_p(each, m) for m, (_, each) in zip(margins, tested, strict=True)]
    of_near = zip(*correction([p for p in near if p is not None], family), strict=True)
    result: list[Correction | None] = [None] * len(found)
    for (n, _), p, level, equal in zip(tested, pvalues, levels, near, strict=True):
        result[n] = Correction(p, level, *(() if equal is None else next(of_near)))
    return result


def correction(pvalues: Sequence[float], family: int) -> tuple[list[float], list[float]]:
    """Return corrected p-values, and the level of each test: by Holm, or Bonferroni if selected."""
    levels = [LEVEL / family] * len(pvalues) if family > len(pvalues) else holm_levels(pvalues)
    return adjusted(pvalues, family), levels


def judged(pair: Judged, rules: Rules, correction: Correction | None) -> Judged:
    """Return a pair, or the change of an arm, with its verdict."""
    found = pair.seeds
    if found is not None and correction is not None:
        verdict = verdict_of_test(found, correction, rules)
        pair = replace(
            pair,
            verdict=verdict,
            seeds=with_interval(found, verdict, correction, rules),
            p_adjusted=correction.p,
            p_equivalence=correction.p_equivalence,
            effect=effect_size(found),
            reason=pair.reason + rules.early_text(found),
        )
        if verdict in OPEN:
            pair = with_plan(pair, rules, correction)
    level = rules.level_of(pair.completion)
    verdict = in_view_of_failures(pair.verdict, pair.completion, rules.undecided, level)
    is_withheld = verdict in OPEN and pair.verdict not in OPEN
    by = withheld_by(pair.sides, pair.completion, is_withheld)
    return replace(pair, verdict=verdict, withheld=by)


def verdict_of_test(found: Paired, correction: Correction, rules: Rules) -> str:
    """Return the verdict on the scores; equivalent precedes a difference that is too small."""
    level = rules.level(found)
    if correction.p_equivalence is not None and correction.p_equivalence < level:
        return EQUIVALENT
    if correction.p < level and found.difference != 0:
        return direction_of(found.difference, rules.metric)
    return rules.undecided


def with_interval(found: Paired, verdict: str, correction: Correction, rules: Rules) -> Paired:
    """Return the difference with the interval of the test that decided the verdict.

    Two one-sided tests at a level agree with an interval at twice the level.
    """
    is_equal = verdict == EQUIVALENT
    level = 2 * correction.level_equivalence if is_equal else correction.level
    return at_level(found, level * rules.level(found) / LEVEL)


def with_plan(pair: Judged, rules: Rules, correction: Correction) -> Judged:
    """Add what the seeds would have shown, and the seeds that a margin requires.

    The former is for this look, the latter for the last one of the plan.
    """
    found = pair.seeds
    if found is None or not found.error or found.freedom is None:
        return pair
    level = correction.level * rules.level(found) / LEVEL
    pair = replace(pair, detectable=detectable(found.error, found.freedom, level))
    if rules.margin is None or not found.deviation:
        return pair
    level = correction.level * rules.level_at(rules.planned or found.n) / LEVEL
    needed = seeds_for_margin(rules.margin, found.deviation, found.freedom, level)
    return replace(pair, seeds_for_margin=needed)


def with_population_verdicts(pairs: Sequence[Pair], rules: Rules, family: int) -> list[Pair]:
    """Return the pairs of a group with verdicts beyond the test items, corrected by Holm.

    The data selected the pairs that are shown, so p of all others counts as 1.
    """
    found = [pair.population for pair in pairs]
    tested = sum(each is not None and each.p is not None for each in found)
    family = max(family, sum(pair.p is not None for pair in pairs))
    rest = [Paired(0.0, None, None, 1.0, 1, "not shown")] * (family - tested)
    corrections = corrections_of([*found, *rest], [rules] * (len(found) + len(rest)), 0)
    return [
        pair if each is None else with_population_verdict(pair, each, rules)
        for pair, each in zip(pairs, corrections, strict=False)
    ]


def with_population_verdict(pair: Pair, correction: Correction, rules: Rules) -> Pair:
    """Return a pair with its verdict beyond the test items, withheld where failed runs decide."""
    found = pair.population
    if found is None:
        return pair
    verdict = verdict_of_test(found, correction, rules)
    p = correction.p_equivalence if verdict == EQUIVALENT else correction.p
    interval = with_interval(found, verdict, correction, rules)
    level = rules.level_of(pair.completion)
    in_view = in_view_of_failures(verdict, pair.completion, rules.undecided, level)
    if verdict not in OPEN and in_view != verdict:
        verdict = WITHHELD
    return replace(pair, population=interval, population_verdict=verdict, population_p=p)


def contenders(arms: Sequence[Arm]) -> list[Arm]:
    """Return the networks and the best baseline, or all arms if there are no networks.

    Pairs of baselines would cost the tests of the networks their power.
    """
    if all(arm.baseline for arm in arms):
        return list(arms)
    baseline = best_baseline(arms)
    return [arm for arm in arms if not arm.baseline or arm is baseline]


def family_of(arms: Sequence[Arm], worse: int) -> int:
    """Return the number of all possible pairs if only some are tested, else 0.

    `worse` is the number of arms that were not read.
    """
    among = contenders(arms)
    if len(among) <= MOST_FOR_ALL_PAIRS:
        return 0
    testable = sum(arm.score.n > 1 or arm.is_deterministic for arm in among) + worse
    return testable * (testable - 1) // 2


def failed_pair(arm: Arm, failed: FailedArm, rules: Rules) -> Pair:
    """Compare an arm with one of which no run was completed."""
    completion = without_scores(arm.by_seed, failed.attempted, rules.metric.higher_is_better)
    reason = f"no run of {failed.label} was completed"
    return Pair(arm.label, failed.label, NOT_COMPARABLE, completion=completion, reason=reason)


def all_pairs(
    arms: Sequence[Arm], rules: Rules, family: int, failed: Sequence[FailedArm] = ()
) -> list[Pair]:
    """Compare all pairs of contenders; of many, those with the best arm and the best baseline.

    Failed runs can withhold the verdicts of the best arm: the best one without any is then a
    reference, too. Networks are also compared with those of which no run was completed.
    """
    among = contenders(arms)
    chosen = list(combinations(among, 2))
    if len(among) > MOST_FOR_ALL_PAIRS:
        sound = next((arm for arm in among if not arm.failures), None)
        references = {arm.label for arm in (among[0], sound, best_baseline(among)) if arm}
        chosen = [(a, b) for a, b in chosen if references & {a.label, b.label}]
    count = max(family, len(chosen))
    tests = [run_test(a, b, rules, count) for a, b in chosen]
    nets = [arm for arm in among if not arm.is_deterministic]
    gone = [failed_pair(arm, each, rules) for each in failed for arm in nets]
    return corrected([*tests, *gone[:MOST_FOR_ALL_PAIRS]], rules, family)


def pairs_with(
    arms: Sequence[Arm], reference: Arm, rules: Rules, failed: Sequence[FailedArm] = ()
) -> list[Pair]:
    """Compare every arm with one that was chosen beforehand."""
    others = [arm for arm in arms if arm is not reference]
    tests = [run_test(arm, reference, rules, len(others)) for arm in others]
    if not reference.is_deterministic:
        tests += [failed_pair(reference, each, rules) for each in failed]
    return corrected(tests, rules, 0)
