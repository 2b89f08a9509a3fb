"""Forecasts of several periods as one test: the groups of a task pooled over their test days."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from benchmarks.analysis.across_tasks import names_over_groups
from benchmarks.analysis.comparison import Arm, Group
from benchmarks.analysis.formatting import listed
from benchmarks.analysis.item_tests import ItemTests
from benchmarks.analysis.over_groups import Periods, PooledArm, PValues
from benchmarks.analysis.statistics.common import Vector
from benchmarks.analysis.statistics.items import diebold_mariano, harvey
from benchmarks.analysis.statistics.power import holm


@dataclass(frozen=True)
class Period:
    """The test days of a group, and the loss of each arm on each day, a mean over seeds.

    Losses are squared errors, relative to the last value where the predictions contain it.
    """

    days: list[str]
    is_relative: bool
    losses: dict[str, Vector]
    arms: dict[str, Arm]

    @property
    def name(self) -> str:
        """First and last day."""
        return f"{self.days[0]} to {self.days[-1]}"


def pooled_periods(groups: Sequence[Group], by: Sequence[str] = ()) -> list[Periods]:
    """Pool the groups of each task and metric that forecast different days one step ahead.

    Args:
        groups: the groups of a comparison.
        by: the columns that define an arm, if not all settings.
    """
    same: dict[tuple[str, str], list[Group]] = {}
    for group in groups:
        same.setdefault((group.task, group.metric), []).append(group)
    found = (pooled(each, by) for each in same.values() if len(each) > 1)
    return [each for each in found if each is not None]


def pooled(groups: Sequence[Group], by: Sequence[str]) -> Periods | None:
    """Pool the groups of a task; None if they are no forecasts, or a day occurs twice."""
    read = (period_of(group, by) for group in groups)
    periods = sorted((each for each in read if each is not None), key=lambda each: each.days[0])
    days = [day for period in periods for day in period.days]
    if len(periods) < 2 or len(set(days)) < len(days):
        return None
    common = [name for name in periods[0].losses if all(name in p.losses for p in periods)]
    naive = next((name for name in common if periods[0].arms[name].baseline == "naive"), None)
    if naive is None:
        return None
    losses = {name: np.concatenate([p.losses[name] for p in periods]) for name in common}
    others = {name for period in periods for name in period.losses} - {*common}
    baselines = [name for name in common if periods[0].arms[name].baseline]
    best = min(baselines, key=lambda name: float(losses[name].mean()))
    arms = [pooled_arm(name, naive, best, losses, periods) for name in common]
    return Periods(
        task=groups[0].task,
        metric=groups[0].metric,
        periods=[period.name for period in periods],
        days=len(days),
        is_relative=periods[0].is_relative,
        naive=naive,
        best_baseline=best,
        arms=corrected(sorted(arms, key=lambda arm: arm.ratio)),
        notes=[f"not in all periods: {listed(sorted(others), 10)}"] if others else [],
    )


def period_of(group: Group, by: Sequence[str]) -> Period | None:
    """Read the losses of a group; None without predictions of the group's metric."""
    own = {str(metric) for arm in group.arms for metric in arm.rows["own_metric"].unique()}
    tests, arms = ItemTests(), group.arms
    file = next((f for arm in arms for f, _ in tests.runs(arm).values()), None)
    if own != {group.metric} or file is None:
        return None
    known = days_and_scale(file.predictions)
    if known is None:
        return None
    days, scale = known
    names = dict(zip([arm.label for arm in arms], names_over_groups(arms, by), strict=True))
    read = tests.mean_losses(arms, most=len(arms))
    unit = 1.0 if scale is None else scale**2
    losses = {names[label]: each / unit for label, _, each in read if len(each) == len(days)}
    return Period(days, scale is not None, losses, {names[arm.label]: arm for arm in arms})


def days_and_scale(file: Path) -> tuple[list[str], Vector | None] | None:
    """Return the day of each item, and the last values before, if stored; None without days."""
    import pyarrow
    import pyarrow.parquet

    try:
        names = pyarrow.parquet.read_schema(file).names
        if "day" not in names or "predicted" not in names or "step" in names:
            return None
        columns = [name for name in ("item", "day", "last") if name in names]
        table = pyarrow.parquet.read_table(file, columns=columns).sort_by("item")
    except (OSError, ValueError, pyarrow.ArrowException):
        return None
    days: list[str] = table.column("day").to_pylist()
    if "last" not in columns:
        return days, None
    last = table.column("last").to_numpy().astype(np.float64)
    return (days, last) if len(days) and last.min() > 0 else None


def pooled_arm(
    name: str, naive: str, best: str, losses: dict[str, Vector], periods: Sequence[Period]
) -> PooledArm:
    """Return the ratios of an arm and its tests against the naive arm and the best baseline."""

    def ratio(ours: Vector, theirs: Vector) -> float:
        return float(np.sqrt(ours.mean() / theirs.mean()))

    return PooledArm(
        name=name,
        baseline=periods[0].arms[name].baseline,
        runs=sum(period.arms[name].completed for period in periods),
        ratio=ratio(losses[name], losses[naive]),
        ratios=[ratio(period.losses[name], period.losses[naive]) for period in periods],
        ratio_to_best=ratio(losses[name], losses[best]),
        p_naive=p_values(losses[name], losses[naive]),
        p_best=p_values(losses[name], losses[best]),
    )


def p_values(ours: Vector, theirs: Vector) -> PValues:
    """Return p of both variants of the test of Diebold and Mariano; 1 if it cannot be computed."""
    errors = np.sqrt(ours), np.sqrt(theirs)  # whose squares it compares
    found = (diebold_mariano(*errors).p, harvey(*errors).p)
    return (1.0 if found[0] is None else found[0], 1.0 if found[1] is None else found[1])


def corrected(arms: Sequence[PooledArm]) -> list[PooledArm]:
    """Return arms whose networks have p-values corrected by Holm; those of baselines are kept."""
    nets = [arm for arm in arms if not arm.baseline]
    tests = np.array([[*arm.p_naive, *arm.p_best] for arm in nets]).reshape(-1, 4)
    adjusted = zip(*(holm(column) for column in tests.T.tolist()), strict=True)
    changed = {
        arm.name: dataclasses.replace(arm, p_naive=(a, b), p_best=(c, d))
        for arm, (a, b, c, d) in zip(nets, adjusted, strict=False)
    }
    return [changed.get(arm.name, arm) for arm in arms]
