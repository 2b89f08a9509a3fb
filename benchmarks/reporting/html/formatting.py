"""Numbers and verdicts as people read them."""

from __future__ import annotations

import math

from benchmarks.analysis.arms import budget_name
from benchmarks.analysis.comparison import (
    BETTER,
    NOT_COMPARABLE,
    NOT_SHOWN,
    WORSE,
    Arm,
    Group,
    Pair,
)
from benchmarks.analysis.formatting import decimals_of, half_width
from benchmarks.analysis.statistics import Interval

NONE = "–"  # noqa: RUF001  an en dash: an empty cell of a table

FLIPPED = {BETTER: WORSE, WORSE: BETTER}


def number(value: float | None, digits: int = 4) -> str:
    """Write a number with so many significant digits; whole thousands keep all of theirs."""
    return _plain(value, digits).replace("-", "−")  # noqa: RUF001  that very sign


def _plain(value: float | None, digits: int) -> str:
    if value is None or math.isnan(value):
        return NONE
    if math.isinf(value):
        return "infinite"
    if value == 0:
        return "0"
    if abs(value) >= 10 ** (digits - 1):
        return f"{value:,.0f}"
    if abs(value) < 1e-4:
        return f"{value:.{digits - 1}e}"
    places = max(0, digits - 1 - math.floor(math.log10(abs(value))))
    return f"{value:.{places}f}"


def seconds(value: float | None) -> str:
    """Write a span of time in the unit that suits it."""
    if value is None or math.isnan(value):
        return NONE
    if value < 1:
        return f"{number(1000 * value, 2)} ms"
    if value < 120:
        return f"{number(value, 3)} s"
    if value < 7200:
        return f"{number(value / 60, 3)} min"
    return f"{number(value / 3600, 3)} h"


def count(value: float | None) -> str:
    """Write a large count shortly, as in 82.4k."""
    if value is None or math.isnan(value):
        return NONE
    for size, letter in ((1e9, "G"), (1e6, "M"), (1e3, "k")):
        if abs(value) >= size:
            return f"{number(value / size, 3)}{letter}"
    return f"{value:.0f}"


def p_value(p: float | None) -> str:
    """Write a p-value, never as 0."""
    if p is None or math.isnan(p):
        return NONE
    return "p < 0.001" if p < 0.001 else f"p = {p:.3f}" if p < 0.1 else f"p = {p:.2f}"


def ends(interval: Interval) -> str:
    """Write an interval, or that one value has none."""
    if interval.low is None or interval.high is None:
        return "n = 1" if interval.n == 1 else ""
    return f"{number(interval.low)} to {number(interval.high)}"


def decimal(value: float, places: int) -> str:
    """Write a number with so many decimals; what rounds to zero has no sign."""
    text = f"{value:,.{places}f}"
    text = text.removeprefix("-") if not text.strip("-0.,") else text
    return text.replace("-", "−")  # noqa: RUF001  that very sign


def score_texts(interval: Interval) -> tuple[str, str]:
    """Write a mean and its interval, both rounded by what that interval says is known."""
    places = decimals_of(half_width(interval))
    if places is None or interval.low is None or interval.high is None:
        return number(interval.mean), ends(interval)
    low, high = decimal(interval.low, places), decimal(interval.high, places)
    return decimal(interval.mean, places), f"{low} to {high}"


def budget(arm: Arm) -> str:
    """Name what a net was matched by, with its size and unit."""
    return budget_name(arm.match, arm.match_budget)


def budgets(group: Group) -> dict[str, list[Arm]]:
    """The nets by what they were matched by, best first; verdicts hold within one of these."""
    found: dict[str, list[Arm]] = {}
    for arm in nets(group):
        found.setdefault(budget(arm), []).append(arm)
    return found


def plural(n: int, word: str) -> str:
    """Write `1 seed`, `2 seeds`."""
    return f"{n:,} {word}" if n == 1 else f"{n:,} {word}s"


def metric_name(group: Group, with_unit: bool = True) -> str:
    """Name the metric, with its unit as the title of an axis does."""
    name = group.metric.replace("_", " ")
    name = " ".join(word.upper() if word == "rmse" else word for word in name.split())
    unit = f" ({group.unit})" if group.unit and with_unit else ""
    return f"{name}{unit}"


def direction(group: Group) -> str:
    """Say which end of the metric is the good one."""
    return "higher is better" if group.higher_is_better else "lower is better"


def nets(group: Group) -> list[Arm]:
    """Arms that are no baselines, best first."""
    return [arm for arm in group.arms if not arm.baseline]


def pair_of(group: Group, a: Arm, b: Arm) -> tuple[Pair, str] | None:
    """The pair of two arms, and its verdict on A against B."""
    for pair in group.pairs:
        if (pair.a, pair.b) == (a.label, b.label):
            return pair, pair.verdict
        if (pair.a, pair.b) == (b.label, a.label):
            return pair, FLIPPED.get(pair.verdict, pair.verdict)
    return None


def among_nets(group: Group, arm: Arm) -> str:
    """Say where a net stands among the nets of its group and budget."""
    if arm.baseline or len(nets(group)) < 2:
        return NONE
    by_budget = budgets(group)
    others = by_budget[budget(arm)]
    if len(others) == 1:
        return "alone in its budget"
    within = " of its budget" if len(by_budget) > 1 else ""
    best = others[0]
    if arm is best:
        found = [pair_of(group, arm, other) for other in others[1:]]
        is_best = all(each is not None and each[1] == BETTER for each in found)
        return f"best net{within}" if is_best else f"best mean of the nets{within}"
    pair = pair_of(group, arm, best)
    if pair is None:
        return f"not tested against {best.label}"
    if pair[1] == WORSE:
        p = pair[0].p_adjusted
        return f"worse than {best.label}" + (f" ({p_value(p)})" if p is not None else "")
    if pair[1] == NOT_SHOWN:
        if pair[0].p_adjusted is None:
            return f"one seed: nothing shown against {best.label}"
        return f"no difference from {best.label} shown"
    return f"{pair[1]} with {best.label}" if pair[1] == NOT_COMPARABLE else pair[1]


def against_baselines(group: Group, arm: Arm) -> str:
    """Say in words whether a net beats the best baseline, or that this one is it."""
    if not arm.baseline:
        return arm.against_baselines or NONE
    return "the best baseline" if arm is group.best_baseline else NONE
