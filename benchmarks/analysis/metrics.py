"""Columns by which arms may be compared, and which way is better."""

from __future__ import annotations

from benchmarks.errors import UserError, nearest
from benchmarks.results.row import FACTS, columns_where

HIGHER = columns_where(better="higher")
LOWER = columns_where(better="lower")
SHARES = columns_where(section="score", unit="share", better="higher")
"""Metrics with a perfect score of 1, also in tables without that column."""

TIMES = columns_where(section="time", better=("higher", "lower"))
"""Not comparable if the runs shared their machine or ran on different ones."""

EXACT = columns_where(kind="exact")
"""Equal for all seeds: a difference is a fact and requires no test."""

COSTS = (*TIMES, *columns_where(section="memory"), *EXACT)
"""Costs of a score; a baseline has no advantage in them."""

PERFECT = {"perplexity": 1.0}
"""What is not 0 where lower is better, for tables that do not say; 1 where higher is better."""


def direction(metric: str) -> bool:
    """Whether higher is better.

    Raises:
        UserError: the column has no better and worse.
    """
    if metric in HIGHER:
        return True
    if metric in LOWER:
        return False
    allowed = (*HIGHER, *LOWER)
    raise UserError(
        f"--metric {metric}: is no column with a better and a worse{nearest(metric, allowed)}; "
        f"allowed: {', '.join(allowed)}"
    )


def unit_of(metric: str) -> str:
    """The unit of a column; empty for one that is not documented."""
    return FACTS[metric].unit if metric in FACTS else ""


def default_perfect(metric: str, higher_is_better: bool) -> float:
    """The ideal value of a metric whose rows do not say it."""
    return PERFECT.get(metric, 1.0 if higher_is_better else 0.0)


def is_cost(metric: str) -> bool:
    """Whether a column is what a score takes, not a score."""
    return metric in COSTS


def is_time(metric: str) -> bool:
    """Whether a column depends on who else used the machine."""
    return metric in TIMES
