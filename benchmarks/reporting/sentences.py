"""Sentences about pairs of arms, changes between tables, and excluded rows."""

from __future__ import annotations

from collections import Counter

from benchmarks.analysis.comparison import (
    FAILED,
    IMPROVED,
    NOT_COMPARABLE,
    NOT_SHOWN,
    SAME,
    WORSE,
    Change,
    Changes,
    ExcludedRows,
    Group,
    Pair,
)
from benchmarks.analysis.formatting import (
    decimals_of,
    half_width,
    interval_text,
    p_text,
    rounded,
    significant,
)
from benchmarks.analysis.statistics.common import Paired

DECIDED = (IMPROVED, WORSE, SAME, FAILED)  # verdicts on a change that need no test


def direction_text(higher_is_better: bool) -> str:
    """Return the direction of a metric."""
    return "higher is better" if higher_is_better else "lower is better"


def pair_text(pair: Pair, group: Group) -> str:
    """Return the verdict on two arms with its numbers, in one sentence."""
    if pair.verdict == NOT_COMPARABLE:
        return f"{pair.a} and {pair.b}: not comparable ({pair.reason})"
    found = pair.seeds
    if found is None or (found.p is None and pair.verdict == NOT_SHOWN):
        return f"{pair.a} and {pair.b}: {pair.verdict} ({pair.reason}){items_text(pair)}"
    size = size_text(found)
    if pair.verdict != NOT_SHOWN:
        test = f" ({pair.reason})"
        if pair.p_adjusted is not None:
            test = f", {p_text(pair.p_adjusted)} (Holm; {pair.reason})"
        return f"{pair.a} {pair.verdict} than {pair.b} by {size}{test}{items_text(pair)}"
    parts = ["no difference"]
    if found.difference:
        leader = pair.a if (found.difference > 0) == group.higher_is_better else pair.b
        parts = [f"{leader} ahead by {size}"]
    if pair.p_adjusted is not None:
        parts.append(f", {p_text(pair.p_adjusted)}")
    if pair.detectable is not None:
        parts.append(f"; detectable difference {significant(pair.detectable, 2)}")
        if found.difference:
            count = "more than 1,000" if pair.seeds_needed is None else f"{pair.seeds_needed:,}"
            parts.append(f", {count} seeds needed for 80 % power")
    return f"{pair.a} and {pair.b}: no difference shown ({''.join(parts)}){items_text(pair)}"


def size_text(found: Paired) -> str:
    """Return the absolute difference and its interval, seen from the leading arm."""
    decimals = decimals_of(half_width(found))
    text = rounded(abs(found.difference), decimals)
    if found.low is None or found.high is None:
        return text
    low, high = found.low, found.high
    if found.difference < 0:
        low, high = -high, -low
    return f"{text} {interval_text(low, high, decimals)}"


def items_text(pair: Pair) -> str:
    """Return the test over items; empty without one, or if the verdict rests on it."""
    found = pair.items
    if found is None or found.p is None or (pair.seeds is not None and pair.seeds.p == found.p):
        return ""
    higher = found.method.startswith("McNemar")
    ahead = pair.a if (found.difference > 0) == higher else pair.b
    method = found.method.removesuffix(" (HLN)").removesuffix(" exact")
    runs = f", {pair.items_of}" if pair.items_of else ""
    leader = f"{ahead} ahead, " if found.difference else ""
    return f"; test items: {leader}{p_text(found.p)} ({method}{runs})"


def change_text(change: Change) -> str:
    """Return the reason for the verdict on a change, with its p-value."""
    if change.seeds is None or change.p_adjusted is None:
        return change.reason
    text = f"{p_text(change.p_adjusted)} (Holm; {change.reason})"
    if change.detectable is not None:
        text += f"; detectable difference {significant(change.detectable, 2)}"
    return text


def untested_text(found: Changes) -> str:
    """Return why no arm of two tables could be tested; empty if one was."""
    if any(c.p_adjusted is not None or c.verdict in DECIDED for c in found.changes):
        return ""
    reasons = Counter(change.reason or change.verdict for change in found.changes)
    parts = [f"{count:,} × {reason}" for reason, count in reasons.items()]  # noqa: RUF001  a multiplication sign
    more = f"; and {len(parts) - 3} more reasons" if len(parts) > 3 else ""
    return f"nothing could be tested: {'; '.join(parts[:3]) or 'no rows'}{more}"


def excluded_text(rows: ExcludedRows) -> str:
    """Return the number of excluded rows, the reason, and some run ids."""
    more = ", …" if rows.count > len(rows.examples) else ""
    return f"{rows.count:,} {rows.reason} ({', '.join(rows.examples)}{more})"
