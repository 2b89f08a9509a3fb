"""The result of a comparison: arms, pairs and groups, or the changes between two tables."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property

import numpy as np
import pandas as pd

from benchmarks.analysis.seed_tests import Scores
from benchmarks.analysis.statistics.common import Interval, Paired

BETTER, WORSE = "better", "worse"
FLIPPED = {BETTER: WORSE, WORSE: BETTER}  # Verdicts on A against B as verdicts on B against A

NOT_SHOWN = "no difference shown"
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
        train_seconds, latency_ms, memory_mib, rss_mib, utilisation: medians over the rows;
            memory_mib is the tensors of a training step, rss_mib the process.
        trials: number of trials of the search whose best trial this arm is.
        is_among_best: the best arm of its budget, or tested and not shown to be worse.
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
    kernel: str = ""
    precision: str = ""
    utilisation: float | None = None

    @property
    def is_deterministic(self) -> bool:
        """True for a baseline without a seed."""
        return self.by_seed.is_deterministic

    @cached_property
    def by_seed(self) -> Scores:
        """One score per seed; the mean over pooled arms."""
        means = self.rows.groupby("seed", dropna=False)["score"].mean()
        seeds = means.index.to_numpy(dtype="float64")
        is_deterministic = bool(self.baseline) and bool(np.isnan(seeds).all())
        return Scores(seeds, means.to_numpy(), is_deterministic)


@dataclass(frozen=True)
class Pair:
    """The comparison of two arms of a group.

    Attributes:
        a, b: labels of the arms; differences are A - B. A has the better mean, unless the pairs
            with one arm were requested, which then is B.
        seeds: difference over seeds; None where seeds allow no test.
        detectable: smallest difference detected with 80 % power at this number of seeds; only
            where no difference is shown.
        seeds_needed: seeds to show a difference of the observed size; None if more than 1000.
        items: difference over the test items of the runs `items_of`; None without predictions.
    """

    a: str
    b: str
    verdict: str
    seeds: Paired | None = None
    p_adjusted: float | None = None
    detectable: float | None = None
    seeds_needed: int | None = None
    items: Paired | None = None
    reason: str = ""
    items_of: str = ""

    @property
    def p(self) -> float | None:
        """The p-value over seeds, before the correction."""
        return None if self.seeds is None else self.seeds.p


@dataclass(frozen=True)
class Group:
    """Comparable arms: the same task and metric on the same data, the best arm first.

    Attributes:
        budget: what all nets have in common, as a phrase; states if it is mixed.
        pairs: the tested pairs, over which Holm's correction runs: of the nets and the best
            baseline; of baselines if there are no nets; only with the best arm or the best
            baseline in a large group; only with the requested arm if there is one.
        confidence_set: labels of the Model Confidence Set over test items, or empty.
        asked: label of the arm whose pairs were requested.
        family: number of pairs that p is corrected for, if larger than the number tested.
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

    def arm(self, label: str) -> Arm:
        """Return the arm with this label."""
        return next(arm for arm in self.arms if arm.label == label)

    @property
    def best_baseline(self) -> Arm | None:
        """The baseline with the best score."""
        return next((arm for arm in self.arms if arm.baseline), None)

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


@dataclass(frozen=True)
class Change:
    """The change of one arm from table A to table B.

    `before` and `after` are scores over the paired seeds, `dropped` the number of seeds of A, and
    of B, that the other table does not contain. `seeds` is the difference B - A.
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
    reason: str = ""
    dropped: tuple[int, int] = (0, 0)
    is_deterministic: bool = False

    @property
    def is_shown(self) -> bool:
        """True if the arm differs or could not be tested."""
        return self.verdict not in (SAME, NOT_SHOWN)


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
    """The groups of one or more tables, by task, the largest group of a task first."""

    sources: list[str]
    groups: list[Group]
    left_out: list[ExcludedRows]
    notes: list[str] = field(default_factory=list)
