"""Numbers as text, rounded by the precision of their intervals: one rule for every output."""

from __future__ import annotations

import math
from collections.abc import Sequence

from benchmarks.analysis.statistics.common import Interval, Paired

MAX_DECIMALS = 8
LARGEST = 1e12  # from here on, and where more decimals are needed, numbers have an exponent


def half_width(interval: Interval | Paired) -> float | None:
    """Return half the width of an interval; None where there is no interval."""
    if interval.low is None or interval.high is None:
        return None
    return (interval.high - interval.low) / 2


def decimals_of(half: float | None) -> int | None:
    """Return the decimals of a number with an interval: two digits of the interval's half width.

    Of a half width above 100 they are negative: the digits before the point that are left out.
    """
    if half is None or half <= 0 or not math.isfinite(half):
        return None
    return min(MAX_DECIMALS, 1 - math.floor(math.log10(half)))


def rounded(value: float, decimals: int | None) -> str:
    """Format a number with fixed decimals, or with four significant digits if they are unknown.

    A large number has an exponent, and digits down to the last of these decimals.
    """
    if decimals is None:
        return significant(value, 4)
    if LARGEST <= abs(value) < math.inf:
        digits = math.floor(math.log10(abs(value))) + decimals
        return f"{value:.{min(MAX_DECIMALS, max(1, digits))}e}"
    text = f"{value:,.{max(0, decimals)}f}"
    return text.removeprefix("-") if not text.strip("-0.,") else text


def significant(value: float | None, digits: int = 3) -> str:
    """Format a number with significant digits and thousands separators; empty for None and NaN."""
    if value is None or math.isnan(value):
        return ""
    if value == 0 or math.isinf(value):
        return f"{value:g}"
    decimals = digits - 1 - math.floor(math.log10(abs(value)))
    if decimals > MAX_DECIMALS or abs(value) >= LARGEST:
        return f"{value:.{digits - 1}e}"
    return f"{value:,.{max(0, decimals)}f}"


def short_count(value: float | None) -> str:
    """Format a large count with a unit: 4,641 or 350.6k or 2.692M; empty for None."""
    if value is None or not abs(value) < LARGEST:
        return significant(value, 4)
    for size, unit in ((1e9, "G"), (1e6, "M")):
        if value >= size:
            return f"{significant(value / size, 4)}{unit}"
    return f"{significant(value / 1000, 4)}k" if value >= 100_000 else f"{value:,.0f}"


def p_text(p: float) -> str:
    """Format a p-value, never as 0, with more digits near the significance level."""
    if p < 0.001:
        return "p < 0.001"
    if 0.045 <= p <= 0.055:
        return f"p = {p:.4f}" if f"{p:.4f}" != "0.0500" else f"p = {p:.6f}"
    return f"p = {p:.3f}" if p < 0.1 else f"p = {p:.2f}"


def interval_text(low: float | None, high: float | None, decimals: int | None) -> str:
    """Format the ends of an interval as `[low, high]`; empty where there is none."""
    if low is None or high is None:
        return ""
    return f"[{rounded(low, decimals)}, {rounded(high, decimals)}]"


def mean_text(score: Interval) -> str:
    """Format a mean, rounded by its interval."""
    return rounded(score.mean, decimals_of(half_width(score)))


def listed(names: Sequence[str], most: int = 4) -> str:
    """Join the first names with commas and count the rest."""
    more = f" and {len(names) - most} more" if len(names) > most else ""
    return f"{', '.join(names[:most])}{more}"
