"""Metrics of a comparison: columns, their direction and their kind."""

from __future__ import annotations

from dataclasses import dataclass

from benchmarks.errors import UserError, nearest
from benchmarks.results.row import FACTS, columns_where

HIGHER = columns_where(better="higher")
LOWER = columns_where(better="lower")
SHARES = columns_where(section="score", unit="share", better="higher")
"""Columns whose perfect value is 1."""

TIMES = columns_where(section="time", better=("higher", "lower"))
"""Columns that are comparable only between runs alone on the same machine."""

EXACT = columns_where(kind="exact")
"""Columns that follow from the settings and do not depend on the seed."""

COSTS = (*TIMES, *columns_where(section="memory"), *EXACT)
"""Columns that are costs, for which baselines are no reference."""

PERFECT = {"perplexity": 1.0}
"""Perfect values of metrics other than 0 (lower is better) and 1 (higher is better)."""


@dataclass(frozen=True)
class Metric:
    """The column that arms are compared by; `is_own` is True for the task's own metric."""

    name: str
    higher_is_better: bool
    is_own: bool = True


def direction(metric: str) -> bool:
    """Return True if higher values of a column are better."""
    if metric in HIGHER or metric in LOWER:
        return metric in HIGHER
    allowed = (*HIGHER, *LOWER)
    raise UserError(
        f"--metric {metric}: is not a column with a direction{nearest(metric, allowed)}; "
        f"allowed: {', '.join(allowed)}"
    )


def unit_of(metric: str) -> str:
    """Return the unit of a column; empty for an undocumented column."""
    return FACTS[metric].unit if metric in FACTS else ""


def default_perfect(metric: str, higher_is_better: bool) -> float:
    """Return the perfect value of a metric for tables without the column perfect_score."""
    return PERFECT.get(metric, 1.0 if higher_is_better else 0.0)
