"""Numbers and verdicts of a comparison in words, rounded by what is known of them."""

from __future__ import annotations

from benchmarks.analysis.comparison import (
    FAILED,
    IMPROVED,
    NOT_COMPARABLE,
    NOT_SHOWN,
    SAME,
    WORSE,
    Change,
    Changes,
    Group,
    LeftOut,
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
from benchmarks.analysis.statistics import Paired

DECIDED = (IMPROVED, WORSE, SAME, FAILED)
"""Verdicts of two tables that say something even without a test."""


def direction_text(higher_is_better: bool) -> str:
    """Say which way is better."""
    return "higher is better" if higher_is_better else "lower is better"


def pair_text(pair: Pair, group: Group) -> str:
    """Say what is known of two arms, in one sentence."""
    if pair.verdict == NOT_COMPARABLE:
        return f"{pair.a} and {pair.b}: not comparable ({pair.reason})"
    found = pair.seeds
    if found is None or (found.p is None and pair.verdict == NOT_SHOWN):
        return f"{pair.a} and {pair.b}: {pair.verdict} ({pair.reason}){items_text(pair)}"
    decimals = decimals_of(half_width(found))
    size = gain(found, group.higher_is_better)
    if pair.verdict != NOT_SHOWN:
        by = f"{rounded(abs(found.difference), decimals)}{size_range(size, decimals)}"
        return f"{pair.a} {pair.verdict} than {pair.b} by {by}{tested(pair)}{items_text(pair)}"
    leader = pair.a if size.difference > 0 else pair.b
    told = "no difference"
    if size.difference:
        told = f"{leader} ahead by {rounded(abs(size.difference), decimals)}"
        told += size_range(size, decimals)
    more = []
    if pair.detectable is not None:
        more.append(f"{significant(pair.detectable, 2)} would have shown")
        if found.difference:
            more.append(seeds_text(pair.seeds_needed))
    also = f"; {', '.join(more)}" if more else ""
    return (
        f"{pair.a} and {pair.b}: no difference shown ({told}{tested(pair)}{also}){items_text(pair)}"
    )


def gain(found: Paired, higher_is_better: bool) -> Paired:
    """Turn a difference so that above zero A is the better one."""
    if higher_is_better:
        return found
    low = None if found.high is None else -found.high
    high = None if found.low is None else -found.low
    return Paired(-found.difference, low, high, found.p, found.n, found.method)


def size_range(size: Paired, decimals: int | None) -> str:
    """The interval of a difference, as seen by who is ahead."""
    low, high = size.low, size.high
    if low is None or high is None:
        return ""
    if size.difference < 0:
        low, high = -high, -low
    return f" {interval_text(low, high, decimals)}"


def seeds_text(count: int | None) -> str:
    """Say how many seeds a difference of the size found would take."""
    many = "more than 1,000" if count is None else f"{count:,}"
    return f"{many} seeds would show it with 80 % power if it is as large"


def tested(pair: Pair) -> str:
    """The p-value and where it is from."""
    if pair.p_adjusted is None:
        return f" ({pair.reason})" if pair.verdict != NOT_SHOWN else ""
    if pair.verdict == NOT_SHOWN:
        return f", {p_text(pair.p_adjusted)}"
    return f", {p_text(pair.p_adjusted)} (Holm; {pair.reason})"


def items_text(pair: Pair) -> str:
    """What the items say of these runs; nothing if they are not kept or have decided already."""
    found = pair.items
    if found is None or found.p is None or (pair.seeds is not None and pair.seeds.p == found.p):
        return ""
    higher = found.method.startswith("McNemar")
    ahead = pair.a if (found.difference > 0) == higher else pair.b
    method = found.method.removesuffix(" (HLN)").removesuffix(" exact")
    which = f", {pair.items_of}" if pair.items_of else ""
    who = f"{ahead} ahead, " if found.difference else ""
    return f"; test items: {who}{p_text(found.p)} ({method}{which})"


def change_text(change: Change) -> str:
    """Say why an arm's change is called what it is."""
    found = change.seeds
    if found is None or change.p_adjusted is None:
        return change.reason
    text = f"{p_text(change.p_adjusted)} (Holm; {change.reason})"
    if change.detectable is not None:
        text += f"; {significant(change.detectable, 2)} would have shown"
    return text


def untested_text(found: Changes) -> str:
    """Say that, and why, no arm of two tables could be tested; empty if one was."""
    if any(c.p_adjusted is not None or c.verdict in DECIDED for c in found.changes):
        return ""
    reasons: dict[str, int] = {}
    for change in found.changes:
        reason = change.reason or change.verdict
        reasons[reason] = reasons.get(reason, 0) + 1
    parts = [f"{count:,} × {reason}" for reason, count in reasons.items()]  # noqa: RUF001  that very sign
    more = f"; and {len(parts) - 3} more reasons" if len(parts) > 3 else ""
    return f"nothing could be tested: {'; '.join(parts[:3]) or 'no row counts'}{more}"


def left_out_text(left: LeftOut) -> str:
    """Say how many rows do not count, and why."""
    more = ", …" if left.count > len(left.examples) else ""
    return f"{left.count:,} {left.reason} ({', '.join(left.examples)}{more})"
