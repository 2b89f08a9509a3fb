"""Results over several groups of a comparison: average ranks, and pooled periods."""

from __future__ import annotations

from dataclasses import dataclass

PValues = tuple[float, float]
"""Of the test of Diebold and Mariano: with the EWC variance, and with that of independent days."""


@dataclass(frozen=True)
class AcrossTasks:
    """Average ranks of networks over groups, and tests of their differences.

    Attributes:
        arms, ranks: names and average ranks, the best first; rank 1 is the best of a group.
        groups: names of the groups.
        statistic, p: of Friedman's test, the F of Iman and Davenport.
        critical_difference: the difference of average ranks that Nemenyi's test shows.
        not_shown: sets of arms that are not shown to differ; all arms if Friedman's test shows no
            difference.
    """

    arms: list[str]
    ranks: list[float]
    groups: list[str]
    statistic: float
    p: float
    critical_difference: float
    not_shown: list[list[str]]
    notes: list[str]


@dataclass(frozen=True)
class PooledArm:
    """An arm over the test days of several periods.

    Attributes:
        baseline: its kind, or empty for a network.
        runs: number of runs in all periods.
        ratio, ratio_to_best: root mean squared error relative to that of the naive arm, and to that
            of the best baseline.
        ratios: those to the naive arm, by period.
        p_naive, p_best: of the tests against them, of networks corrected by Holm.
    """

    name: str
    baseline: str
    runs: int
    ratio: float
    ratios: list[float]
    ratio_to_best: float
    p_naive: PValues
    p_best: PValues


@dataclass(frozen=True)
class Periods:
    """Forecasts of one step ahead of a task, pooled over periods; the best arm first.

    Attributes:
        periods: first and last day of each.
        days: number of days of all periods.
        is_relative: errors are relative to the last value.
    """

    task: str
    metric: str
    periods: list[str]
    days: int
    is_relative: bool
    naive: str
    best_baseline: str
    arms: list[PooledArm]
    notes: list[str]
