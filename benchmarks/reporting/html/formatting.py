"""Numbers and verdicts of the report page as text."""

from __future__ import annotations

import math

from benchmarks.analysis.arms import budget_name
from benchmarks.analysis.comparison import (
    BETTER,
    EQUIVALENT,
    NOT_COMPARABLE,
    OPEN,
    UNDECIDED,
    WORSE,
    Arm,
    Group,
)
from benchmarks.analysis.formatting import (
    decimals_of,
    half_width,
    p_text,
    rounded,
    short_count,
    significant,
)
from benchmarks.analysis.statistics.common import Interval
from benchmarks.reporting.answer import budgets, nets, pair_of
from benchmarks.reporting.sentences import direction_text

ABBREVIATIONS = {
    "rmse": "RMSE",
    "mae": "MAE",
    "mase": "MASE",
    "smape": "sMAPE",
    "auroc": "AUROC",
    "f1": "F1",
}
NONE = "–"  # noqa: RUF001  an en dash: an empty cell of a table


def with_minus(text: str) -> str:
    """Replace hyphens by minus signs."""
    return text.replace("-", "−")  # noqa: RUF001  a minus sign


def number(value: float | None, digits: int = 4) -> str:
    """Format a number with significant digits; a dash for None and NaN."""
    return with_minus(significant(value, digits)) or NONE


def seconds(value: float | None) -> str:
    """Format a duration in a suitable unit."""
    if value is None or math.isnan(value):
        return NONE
    if value < 1:
        return f"{number(1000 * value, 2)} ms"
    size, unit = (1, "s") if value < 120 else (60, "min") if value < 7200 else (3600, "h")
    return f"{number(value / size, 3)} {unit}"


def count(value: float | None) -> str:
    """Format a large count with a unit; a dash for None and NaN."""
    return NONE if value is None or math.isnan(value) else short_count(value)


def p_value(p: float | None) -> str:
    """Format a p-value, never as 0; a dash for None and NaN."""
    return NONE if p is None or math.isnan(p) else p_text(p)


def ends(interval: Interval) -> str:
    """Format an interval; `n = 1` for a single value."""
    if interval.low is None or interval.high is None:
        return "n = 1" if interval.n == 1 else ""
    return f"{number(interval.low)} to {number(interval.high)}"


def score_texts(interval: Interval) -> tuple[str, str]:
    """Format a mean and its interval, rounded by the width of the interval."""
    places = decimals_of(half_width(interval))
    if places is None or interval.low is None or interval.high is None:
        return number(interval.mean), ends(interval)
    mean, low, high = (
        with_minus(rounded(value, places)) for value in (interval.mean, interval.low, interval.high)
    )
    return mean, f"{low} to {high}"


def plural(n: int, word: str) -> str:
    """Format a count with its noun: `1 seed`, `2 seeds`."""
    return f"{n:,} {word}" if n == 1 else f"{n:,} {word}s"


def metric_name(group: Group, with_unit: bool = True) -> str:
    """Return the name of the metric, with its unit as in the title of an axis."""
    words = group.metric.replace("_", " ").split()
    name = " ".join(ABBREVIATIONS.get(word, word) for word in words)
    return f"{name} ({group.unit})" if group.unit and with_unit else name


def metric_and_direction(group: Group, with_unit: bool = True) -> str:
    """Return the name and the direction of the metric."""
    return f"{metric_name(group, with_unit)}, {direction_text(group.higher_is_better)}"


def data_unit(group: Group, otherwise: str) -> str:
    """Return the unit of the data, such as `reviews`; the other word if the table has none."""
    units = {str(unit): None for arm in group.arms for unit in arm.rows.get("data_unit", ())}
    return next((unit for unit in units if unit not in ("", "nan")), otherwise)


def among_nets(group: Group, arm: Arm) -> str:
    """Return the verdict on a network against the best network of its group and budget."""
    if arm.baseline or len(nets(group)) < 2:
        return NONE
    by_budget = budgets(group)
    others = by_budget[budget_name(arm.match, arm.match_budget)]
    if len(others) == 1:
        return "only one in its budget"
    within = " of its budget" if len(by_budget) > 1 else ""
    best = others[0]
    if arm is best:
        found = [pair_of(group, arm, other) for other in others[1:]]
        is_best = all(each is not None and each[1] == BETTER for each in found)
        return f"best network{within}" if is_best else f"best mean of the networks{within}"
    pair = pair_of(group, arm, best)
    if pair is None:
        return f"not tested against {best.label}"
    if pair[1] == WORSE:
        p = pair[0].p_adjusted
        return f"worse than {best.label}" + (f" ({p_value(p)})" if p is not None else "")
    if pair[1] in OPEN:
        if pair[0].p_adjusted is None:
            return f"one seed: not tested against {best.label}"
        if pair[1] == UNDECIDED:
            return f"undecided against {best.label}"
        return f"no difference from {best.label} shown"
    with_best = f"with {best.label}" if pair[1] == NOT_COMPARABLE else f"than {best.label}"
    return f"equivalent to {best.label}" if pair[1] == EQUIVALENT else f"{pair[1]} {with_best}"
