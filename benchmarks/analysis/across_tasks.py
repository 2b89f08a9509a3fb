"""Average ranks of networks over the groups of a comparison (Demšar 2006)."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np

from benchmarks.analysis.arms import budget_name
from benchmarks.analysis.comparison import Arm, FailedArm, Group
from benchmarks.analysis.formatting import listed
from benchmarks.analysis.metrics import COSTS
from benchmarks.analysis.over_groups import AcrossTasks
from benchmarks.analysis.statistics.common import LEVEL, Vector
from benchmarks.analysis.statistics.completion import doubled_ranks
from benchmarks.analysis.statistics.ranks import friedman, nemenyi_difference

FEWEST_GROUPS = 5
FEWEST_ARMS = 3


@dataclass(frozen=True)
class Block:
    """The networks of one budget of a group, by name."""

    name: str
    higher_is_better: bool
    arms: dict[str, Arm | FailedArm]

    def scores(self, names: Sequence[str]) -> list[float]:
        """Return values of which a higher one is better.

        They are the mean scores, or if a run failed, the mean ranks of all runs of these arms with
        failures ranked worst.
        """
        sign = 1 if self.higher_is_better else -1
        arms = [self.arms[name] for name in names]
        if not any(arm.failures for arm in arms):
            return [sign * arm.score.mean for arm in arms if isinstance(arm, Arm)]
        runs = [runs_with_failures(arm, sign) for arm in arms]
        ranks = doubled_ranks(np.concatenate(runs))
        ends = np.cumsum([arm.attempted for arm in arms])[:-1]
        return [float(each.mean()) for each in np.split(ranks, ends)]


def runs_with_failures(arm: Arm | FailedArm, sign: int) -> Vector:
    """Return the scores of all runs of an arm; those of failed runs are the worst."""
    lost = np.full(arm.attempted - arm.completed, -np.inf)
    return np.append(sign * arm.by_seed.runs, lost) if isinstance(arm, Arm) else lost


def across_tasks(groups: Sequence[Group], by: Sequence[str] = ()) -> AcrossTasks | None:
    """Rank the networks that are in the most groups; None with too few groups or networks.

    Args:
        groups: the groups of a comparison.
        by: the columns that define an arm, if not all settings.
    """
    blocks = blocks_of(groups, by)
    common = common_arms(blocks)
    used = [block for block in blocks if common <= block.arms.keys()]
    if not common or len(used) < FEWEST_GROUPS:
        return None
    names = sorted(common)
    ranks, statistic, p = friedman([block.scores(names) for block in used], higher_is_better=True)
    difference = nemenyi_difference(len(names), len(used), LEVEL)
    order = np.argsort(ranks, kind="stable")
    names, means = [names[place] for place in order], ranks[order].tolist()
    runs = [(0, len(names) - 1)] if p >= LEVEL else close_runs(means, difference)
    return AcrossTasks(
        arms=names,
        ranks=means,
        groups=[block.name for block in used],
        statistic=statistic,
        p=p,
        critical_difference=difference,
        not_shown=[names[first : last + 1] for first, last in runs],
        notes=[*left_out_notes(blocks, used, names), *failure_notes(used, names)],
    )


def blocks_of(groups: Sequence[Group], by: Sequence[str]) -> list[Block]:
    """Return the networks of each group and budget; costs are no scores."""
    blocks = []
    for group in groups:
        budgets: dict[str, list[Arm | FailedArm]] = {}
        for arm in group.arms if group.metric not in COSTS else ():
            if not arm.baseline:
                budgets.setdefault(budget_name(arm.match, arm.match_budget), []).append(arm)
        if len(budgets) == 1:  # the budget of a failed arm is not known
            (arms,) = budgets.values()
            arms += [arm for arm in group.failed_arms if not arm.baseline]
        for budget, arms in budgets.items():
            name = f"{group.title} ({group.metric}{f', {budget}' if len(budgets) > 1 else ''})"
            named = dict(zip(names_over_groups(arms, by), arms, strict=True))
            blocks.append(Block(name, group.higher_is_better, named))
    return blocks


def names_over_groups(arms: Sequence[Arm | FailedArm], by: Sequence[str]) -> list[str]:
    """Return names of arms that are comparable between groups: a model that is unique, or labels.

    A label contains the settings that differ within its group.
    """
    models = Counter(arm.model for arm in arms)
    return [arm.model if models[arm.model] == 1 and not by else arm.label for arm in arms]


def common_arms(blocks: Sequence[Block]) -> frozenset[str]:
    """Return the arms that are together in the most blocks, and of these sets the largest."""
    found = {frozenset(block.arms) for block in blocks}
    candidates = found | {a & b for a, b in combinations(found, 2)}
    enough = [names for names in candidates if len(names) >= FEWEST_ARMS]

    def size(names: frozenset[str]) -> tuple[int, int, list[str]]:
        return sum(names <= block.arms.keys() for block in blocks), len(names), sorted(names)

    return max(enough, key=size, default=frozenset())


def close_runs(ranks: Sequence[float], difference: float) -> list[tuple[int, int]]:
    """Return the first and last places of the longest runs of ranks within a difference."""
    runs: list[tuple[int, int]] = []
    for first, rank in enumerate(ranks):
        last = max(place for place, other in enumerate(ranks) if other - rank < difference)
        if last > first and (not runs or last > runs[-1][1]):
            runs.append((first, last))
    return runs


def left_out_notes(
    blocks: Sequence[Block], used: Sequence[Block], names: Sequence[str]
) -> list[str]:
    """Return notes on arms that some groups do not contain, and on groups without some arms."""
    counts = Counter(name for block in used for name in block.arms if name not in names)
    notes = [
        f"{name} is not ranked: it is in {count:,} of {len(used):,} groups"
        for name, count in sorted(counts.items())
    ]
    for block in blocks:
        missing = [name for name in names if name not in block.arms]
        if missing:
            notes.append(f"{block.name} is left out: it does not contain {listed(missing)}")
    return notes


def failure_notes(used: Sequence[Block], names: Sequence[str]) -> list[str]:
    """Return a note on arms whose runs failed; it counts the completed ones."""
    found = [
        f"{name} {arm.completed:,} of {arm.attempted:,} in {block.name}"
        for block in used
        for name in names
        if (arm := block.arms[name]).failures
    ]
    return [f"ranked by all runs, failed ones worst: {listed(found)}"] if found else []
