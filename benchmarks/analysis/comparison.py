"""The result of a comparison: arms, pairs and groups, or the changes between two tables."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property

import pandas as pd

from benchmarks.analysis.over_groups import AcrossTasks, Periods
from benchmarks.analysis.seed_tests import Scores
from benchmarks.analysis.statistics.common import Interval, Paired

BETTER, WORSE = "better", "worse"
FAILS_MORE, FAILS_LESS = "fails more often", "fails less often"
# Verdicts on A against B as verdicts on B against A
FLIPPED = {BETTER: WORSE, WORSE: BETTER, FAILS_MORE: FAILS_LESS, FAILS_LESS: FAILS_MORE}
SHOWN = tuple(FLIPPED)

NOT_SHOWN = "no difference shown"
EQUIVALENT, UNDECIDED = "equivalent", "undecided"  # only with a margin
OPEN = (NOT_SHOWN, UNDECIDED)
WITHHELD = "withheld"  # beyond the test items, in favour of an arm whose runs failed
NOT_COMPARABLE = "not comparable"
IMPROVED, SAME = "improved", "same"
FAILED = "failed in B"
ONLY_IN_A, ONLY_IN_B = "only in A", "only in B"

FEW_PAIRS = 15  # number of pairs, those of six arms, up to which all pairs are shown


@dataclass(frozen=True)
class Arm:
    """All runs that differ only in their seed.

    Attributes:
        label: the model and the settings that distinguish it within its group.
        rows: its rows by seed, with `score`, the compared value, and `table`, the file.
        skill: relative to the naive arm of the group.
        seasonal_skill: of the RMSE, relative to the value one season before on the same items.
        train_seconds, latency_ms, memory_mib (tensors), rss_mib, utilisation: medians of the rows.
        trials: number of trials of the search whose best trial this arm is.
        failures: number of seeds whose latest run failed, by status.
        undertrained: number of runs whose best epoch is the last.
        is_among_best: the best of its budget on these test items, or not shown to be worse there.
        beats_baselines: None for baselines, without baselines, and for costs.
    """

    key: str
    label: str
    model: str
    baseline: str
    match: str
    match_budget: float | None
    rows: pd.DataFrame = field(repr=False, compare=False)
    score: Interval
    deviation: float | None
    interquartile_mean: float | None
    validation: float | None
    skill: float | None
    parameters: int | None
    encoder_parameters: int | None
    train_seconds: float | None
    latency_ms: float | None
    memory_mib: float | None
    doubtful_times: str = ""
    trials: int | None = None
    is_among_best: bool = False
    beats_baselines: bool | None = None
    against_baselines: str = ""
    rss_mib: float | None = None
    seasonal_skill: float | None = None
    kernel: str = ""
    precision: str = ""
    utilisation: float | None = None
    undertrained: int = 0
    failures: dict[str, int] = field(default_factory=dict, hash=False)

    @property
    def completed(self) -> int:
        """Number of runs with a score: one per seed, unless arms are pooled."""
        return len(self.rows)

    @property
    def attempted(self) -> int:
        """Number of runs that were completed or failed."""
        return self.completed + sum(self.failures.values())

    @property
    def undertrained_text(self) -> str:
        """The share of undertrained runs; empty without one."""
        runs = f" in {self.undertrained} of {self.completed} runs" if self.completed > 1 else ""
        return f"undertrained{runs}" if self.undertrained else ""

    @property
    def is_deterministic(self) -> bool:
        """True for a baseline without a seed."""
        return self.by_seed.is_deterministic

    @cached_property
    def by_seed(self) -> Scores:
        """One score per seed; the mean over pooled arms."""
        by = self.rows.groupby("replicate", sort=True)
        seeds = by["seed"].first().dropna().to_numpy("int64")
        is_deterministic = bool(self.baseline) and not len(seeds)
        failed = sum(self.failures.values())
        runs = self.rows["score"].to_numpy() if "single" in self.rows else None
        return Scores(seeds, by["score"].mean().to_numpy(), is_deterministic, failed, runs)


@dataclass(frozen=True)
class FailedArm:
    """An arm of which no run was completed; the fields are those of `Arm`."""

    label: str
    model: str
    baseline: str
    failures: dict[str, int]
    completed: int = 0

    @property
    def attempted(self) -> int:
        """Number of runs."""
        return sum(self.failures.values())


@dataclass(frozen=True)
class Completion:
    """Numbers of completed and attempted runs of two arms, of which at least one run failed.

    Attributes:
        p, p_adjusted: of Fisher's exact test, before and after Holm's correction over the pairs;
            None if an arm is deterministic and has one run.
        ranked_p, probability: of all runs with failures ranked worst: the p-value, and the
            probability that a run of A is better than a run of B.
    """

    a: tuple[int, int]
    b: tuple[int, int]
    p: float | None
    ranked_p: float
    probability: float
    p_adjusted: float | None = None

    @property
    def excess(self) -> float:
        """The share of failed runs of A minus that of B."""
        return self.b[0] / self.b[1] - self.a[0] / self.a[1]

    @property
    def why_open(self) -> str:
        """What failed runs leave open, of the arm with the larger share of them."""
        done, runs = self.a if self.excess > 0 else self.b
        return f"completed only {done:,} of {runs:,} runs"

    @property
    def reversed(self) -> Completion:
        """The same with B as its first arm."""
        return replace(self, a=self.b, b=self.a, probability=1 - self.probability)

    @property
    def has_failed_arm(self) -> bool:
        """True if no run of an arm was completed."""
        return 0 in (self.a[0], self.b[0])


@dataclass(frozen=True)
class Pair:
    """The comparison of two arms of a group.

    Attributes:
        a, b: labels of the arms; differences are A - B. A has the better mean. If pairs with one
            arm were requested, that arm is B.
        seeds: difference over seeds, with the interval at the corrected level; None where seeds
            allow no test.
        detectable: smallest difference detected with 80 % power at this number of seeds; only
            where no difference is shown.
        seeds_for_margin: fewest and most seeds to detect a difference as large as the margin,
            None if more than 1000; only where a verdict with a margin is undecided.
        p_equivalence: of the test for a difference smaller than the margin, corrected.
        effect: the difference in sd of the seeds. completion: None if all runs completed.
        withheld: label of the arm whose failed runs leave the verdict open that its completed runs
            would have; else empty.
        differ: settings in which the arms differ besides the model, as a phrase.
        items: difference over the test items of the runs `items_of`; None without predictions.
        population: difference over all seeds and all test items, of which those of the runs are
            samples, with the interval at the corrected level; None without the predictions of three
            common seeds.
        population_verdict, population_p: verdict on it, empty without a test, and its corrected p.
    """

    a: str
    b: str
    verdict: str
    seeds: Paired | None = None
    p_adjusted: float | None = None
    detectable: float | None = None
    seeds_for_margin: tuple[int | None, int | None] | None = None
    p_equivalence: float | None = None
    effect: Interval | None = None
    completion: Completion | None = None
    withheld: str = ""
    items: Paired | None = None
    reason: str = ""
    items_of: str = ""
    differ: str = ""
    population: Paired | None = None
    population_verdict: str = ""
    population_p: float | None = None

    @property
    def p(self) -> float | None:
        """The p-value over seeds, before the correction."""
        return None if self.seeds is None else self.seeds.p

    @property
    def sides(self) -> tuple[str, str]:
        """Names of the arms in the order of the difference and of the completion."""
        return self.a, self.b

    @property
    def has_failed_arm(self) -> bool:
        """True if no run of an arm was completed: the group's `arm` does not find it."""
        return self.completion is not None and self.completion.has_failed_arm


@dataclass(frozen=True)
class Group:
    """Comparable arms: the same task and metric on the same data, the best arm first.

    Attributes:
        budget: what all nets have in common, as a phrase; states if it is mixed.
        also_differ: settings in which arms differ besides model and budget, as a phrase;
            `differing` has the names of those that no label contains.
        task_settings: overrides of the task that all arms have, except the data.
        pairs: the tested pairs, over which Holm's correction runs: of the nets and the best
            baseline; of baselines if there are no nets; only with the best arm or the best
            baseline in a large group; only with the requested arm if there is one.
        failed_arms: arms of which no run was completed.
        confidence_set: labels of the Model Confidence Set over test items, or empty.
        asked: label of the arm whose pairs were requested. family: number of pairs that p is
            corrected for, if larger than the number tested.
        margin: smallest difference worth a decision. planned: seeds per arm, fixed beforehand.
    """

    task: str
    title: str
    metric: str
    unit: str
    higher_is_better: bool
    dataset: str
    split: str
    budget: str
    arms: list[Arm]
    pairs: list[Pair]
    naive: str | None
    confidence_set: list[str]
    notes: list[str]
    asked: str | None = None
    family: int = 0
    margin: float | None = None
    planned: int | None = None
    failed_arms: list[FailedArm] = field(default_factory=list)
    also_differ: str = ""
    differing: tuple[str, ...] = ()
    task_settings: str = ""

    def arm(self, label: str) -> Arm:
        """Return the arm with this label."""
        return next(arm for arm in self.arms if arm.label == label)

    @property
    def all_arms(self) -> list[Arm | FailedArm]:
        """The arms, and those of which no run was completed."""
        return [*self.arms, *self.failed_arms]

    @property
    def facts(self) -> list[str]:
        """What the arms have in common, and in what they differ."""
        found = (self.dataset, self.split, self.task_settings, self.budget, self.also_differ)
        return [fact for fact in found if fact]

    @property
    def best_baseline(self) -> Arm | None:
        """The baseline that networks are compared with."""
        return best_baseline(self.arms)

    @property
    def is_mixed(self) -> bool:
        """True if nets have different budgets."""
        nets = [arm for arm in self.arms if not arm.baseline]
        return len({(arm.match, arm.match_budget) for arm in nets}) > 1

    @property
    def pairs_to_show(self) -> list[Pair]:
        """The requested pairs, or all if they are few, or those with the best net or baseline."""
        if self.asked is not None or len(self.pairs) <= FEW_PAIRS:
            return self.pairs
        baseline = self.best_baseline
        chosen = {next((arm.label for arm in self.arms if not arm.baseline), self.arms[0].label)}
        if baseline is not None:
            chosen.add(baseline.label)
        return [pair for pair in self.pairs if pair.a in chosen or pair.b in chosen]


def best_baseline(arms: Sequence[Arm]) -> Arm | None:
    """Return the best baseline of arms in order.

    A baseline with a single seed, which may be lucky, is the last choice.
    """
    baselines = [arm for arm in arms if arm.baseline]
    tested = [arm for arm in baselines if arm.is_deterministic or arm.score.n > 1]
    return next(iter(tested or baselines), None)


@dataclass(frozen=True)
class Change:
    """The change of one arm from table A to table B.

    `before` and `after` are the scores of A and B, `seeds` is the difference B - A. Other fields
    are those of `Pair`; `completion` has B as its first arm, and `withheld` is A or B. `differ`
    names the settings in which A and B differ. `completed` and `failures` count the runs of A and
    of B as in `Arm`.
    """

    task: str
    metric: str
    higher_is_better: bool
    label: str
    verdict: str
    before: Interval | None
    after: Interval | None
    seeds: Paired | None = None
    p_adjusted: float | None = None
    detectable: float | None = None
    seeds_for_margin: tuple[int | None, int | None] | None = None
    p_equivalence: float | None = None
    effect: Interval | None = None
    margin: float | None = None
    completion: Completion | None = None
    withheld: str = ""
    reason: str = ""
    is_deterministic: bool = False
    differ: str = ""
    completed: tuple[int, int] = (0, 0)
    failures: tuple[dict[str, int], dict[str, int]] = ({}, {})

    @property
    def sides(self) -> tuple[str, str]:
        """Names of the tables in the order of the difference and of the completion."""
        return "B", "A"

    @property
    def is_shown(self) -> bool:
        """True if the arm differs, could not be tested, or completes another share of its runs."""
        is_uneven = self.completion is not None and self.completion.excess != 0
        return is_uneven or self.verdict not in (SAME, EQUIVALENT, *OPEN)


@dataclass(frozen=True)
class Changes:
    """The changes of all arms between two tables; `left_out` has the excluded rows of each."""

    sources: tuple[str, str]
    changes: list[Change]
    left_out: tuple[list[ExcludedRows], list[ExcludedRows]]
    notes: list[str]


@dataclass(frozen=True)
class ExcludedRows:
    """Rows that are not compared: the reason, their number, and the run ids of some."""

    reason: str
    count: int
    examples: list[str]


@dataclass(frozen=True)
class Comparison:
    """The groups of one or more tables, by task, the largest group of a task first.

    `across` has the average ranks over the groups; None if too few have networks in common.
    `periods` has the groups of a task that are periods of a series, pooled.
    """

    sources: list[str]
    groups: list[Group]
    left_out: list[ExcludedRows]
    notes: list[str] = field(default_factory=list)
    across: AcrossTasks | None = None
    periods: list[Periods] = field(default_factory=list)
