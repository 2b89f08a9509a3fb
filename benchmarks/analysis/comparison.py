"""What a comparison comes to, before anyone shows it."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property

import numpy as np
import pandas as pd

from benchmarks.analysis.seed_tests import Scores
from benchmarks.analysis.statistics import Interval, Paired

BETTER, WORSE = "better", "worse"
FLIPPED = {BETTER: WORSE, WORSE: BETTER}
"""Verdicts on A against B as verdicts on B against A."""

NOT_SHOWN = "no difference shown"
NOT_COMPARABLE = "not comparable"
IMPROVED, SAME = "improved", "same"
FAILED = "failed in B"
ONLY_IN_A, ONLY_IN_B = "only in A", "only in B"

FEW_PAIRS = 15
"""Up to so many, those of six arms, all are shown."""


@dataclass(frozen=True)
class Arm:
    """All runs that differ in their seed alone.

    Attributes:
        key: its identity, the column `arm` or what stands for it.
        label: the model, and the settings that tell it from other arms of the group.
        rows: the rows that count, one per seed (several where arms were pooled), by seed; columns
            as in the results table, and `score`, what is compared, and `table`, the file.
        score: mean of the seeds' scores and its interval.
        deviation: standard deviation over seeds; None for one.
        interquartile_mean: None for few seeds.
        validation: mean validation score.
        skill: over the naive row of the group; None where there is none.
        train_seconds, latency_ms, memory_mib, rss_mib: medians over the rows; None where none is
            known. The memory is that of the tensors of a training step, rss that of the process.
        doubtful_times: why its times count for nothing, or empty.
        kernel: what computed its recurrence; empty where it is not known.
        precision: of its matrix products; empty for baselines.
        utilisation: part of the machine's peak at which it trains, median over the rows.
        trials: of a search whose best trial stands here; None otherwise.
        is_among_best: the best arm of its budget, or tested and not shown to be worse; False where
            nothing could be tested.
        beats_baselines: shown to be better than the best baseline of the group; None for baselines,
            where there is none to beat, and of a cost.
        against_baselines: the same in words; empty where it is None.
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
        """Whether chance has no part in it: a baseline without a seed."""
        return self.by_seed.is_deterministic

    @cached_property
    def by_seed(self) -> Scores:
        """One score per seed; of pooled arms their mean."""
        means = self.rows.groupby("seed", dropna=False)["score"].mean()
        seeds = means.index.to_numpy(dtype="float64")
        is_deterministic = bool(self.baseline) and bool(np.isnan(seeds).all())
        return Scores(seeds, means.to_numpy(), is_deterministic)


@dataclass(frozen=True)
class Pair:
    """Two arms of a group.

    Attributes:
        a, b: their labels; differences are A - B. A is the better one by its mean, unless the
            pairs with one arm were asked for, which is B then.
        verdict: of A against B: better, worse, no difference shown, not comparable.
        seeds: what the seeds say; None where they cannot say anything.
        p_adjusted: by Holm, over the pairs of the group.
        detectable: the smallest difference that so many seeds would have shown, with 80 % power;
            only where none was.
        seeds_needed: to show a difference of the size found; None also if more than 1000.
        items: what the items of the test split say; None where they are not kept, the pair is not
            among `pairs_to_show` or the arms are not compared by the task's metric.
        items_of: which runs those are.
        reason: for the verdict, in words.
    """

    a: str
    b: str
    verdict: str
    seeds: Paired | None
    p_adjusted: float | None
    detectable: float | None
    seeds_needed: int | None
    items: Paired | None
    reason: str
    items_of: str = ""


@dataclass(frozen=True)
class Group:
    """Arms that answer the same question on the same data.

    Attributes:
        title: the task, and what tells this group from others of the task.
        unit: of the metric; may be empty.
        budget: what the arms were given alike, in words; says so if it is mixed.
        arms: best first.
        pairs: of the nets with each other and with the best baseline, over which Holm's correction
            runs; of baselines alone all; in a large group only those with the best arm or the best
            baseline; if pairs with one arm were asked for, these.
        naive: label of the naive arm, None if there is none.
        confidence_set: labels of the arms that may be the best by the test items (Model Confidence
            Set); empty where items are not kept or there are two arms only.
        notes: what must be known to read it.
        asked: label of the arm whose pairs were asked for, None if all were.
        family: pairs that p is corrected for; more than those tested where these were chosen.
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
        """Find an arm by its label."""
        return next(arm for arm in self.arms if arm.label == label)

    @property
    def best_baseline(self) -> Arm | None:
        """The baseline with the best score."""
        return next((arm for arm in self.arms if arm.baseline), None)

    @property
    def is_mixed(self) -> bool:
        """Whether nets have different budgets."""
        nets = [arm for arm in self.arms if not arm.baseline]
        return len({(arm.match, arm.match_budget) for arm in nets}) > 1

    @property
    def pairs_to_show(self) -> list[Pair]:
        """The pairs a reader can take in: those asked for, all if few, else those with the best."""
        if self.asked is not None or len(self.pairs) <= FEW_PAIRS:
            return self.pairs
        baseline = self.best_baseline
        chosen = {next((arm.label for arm in self.arms if not arm.baseline), self.arms[0].label)}
        if baseline is not None:
            chosen.add(baseline.label)
        return [pair for pair in self.pairs if pair.a in chosen or pair.b in chosen]


@dataclass(frozen=True)
class Change:
    """What became of an arm from one table to another.

    Attributes:
        task, metric: its question.
        verdict: improved, worse, same (every number), no difference shown, failed in B, not
            comparable, only in A, only in B.
        before, after: its scores in A and in B, of the seeds that are paired if those are fewer;
            None where it is not.
        seeds: of the difference B - A.
        p_adjusted: by Holm, over all arms.
        detectable: see `Pair`.
        reason: for the verdict, in words.
        dropped: seeds of A, and of B, that are not in the other.
        is_deterministic: chance has no part in it.
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
        """Whether it differs, or may differ for all that is known of it."""
        return self.verdict not in (SAME, NOT_SHOWN)


@dataclass(frozen=True)
class Changes:
    """All arms of two tables.

    Attributes:
        sources: A and B.
        left_out: rows of A, and of B, that do not count.
        notes: what must be known of the tables.
    """

    sources: tuple[str, str]
    changes: list[Change]
    left_out: tuple[list[LeftOut], list[LeftOut]]
    notes: list[str]


@dataclass(frozen=True)
class LeftOut:
    """Rows that do not count, and why.

    Attributes:
        examples: some of their run ids.
    """

    reason: str
    count: int
    examples: list[str]


@dataclass(frozen=True)
class Comparison:
    """All groups of the tables that were compared.

    Attributes:
        sources: the tables.
        groups: by task; of one task the largest first.
        left_out: rows that do not count.
        notes: what must be known of the tables.
    """

    sources: list[str]
    groups: list[Group]
    left_out: list[LeftOut]
    notes: list[str] = field(default_factory=list)
