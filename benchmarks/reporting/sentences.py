"""Sentences about pairs of arms, changes between tables, and excluded rows."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping

from benchmarks.analysis.comparison import (
    BETTER,
    FAILED,
    FAILS_LESS,
    FAILS_MORE,
    IMPROVED,
    NOT_COMPARABLE,
    OPEN,
    SAME,
    SHOWN,
    WITHHELD,
    WORSE,
    Arm,
    Change,
    Changes,
    Completion,
    ExcludedRows,
    FailedArm,
    Group,
    Pair,
)
from benchmarks.analysis.formatting import (
    MAX_DECIMALS,
    decimals_of,
    half_width,
    interval_text,
    p_text,
    rounded,
    significant,
)
from benchmarks.analysis.metrics import COSTS
from benchmarks.analysis.statistics.common import Paired

# Verdicts on a change that need no p-value
DECIDED = (IMPROVED, WORSE, SAME, FAILED, FAILS_MORE, FAILS_LESS)


def count_text(arm: Arm | FailedArm) -> str:
    """Return the number of scores of an arm, and that of all runs if some failed."""
    if isinstance(arm, FailedArm):
        return f"0 of {arm.attempted:,}"
    if not arm.failures and arm.is_deterministic:
        return ""
    return runs_text(arm.score.n, arm.completed, arm.failures)


def runs_text(n: int, completed: int, failures: Mapping[str, int]) -> str:
    """Return a number of scores, and that of all runs if some failed."""
    if not failures:
        return f"{n:,}"
    runs = f"{completed:,} of {completed + sum(failures.values()):,}"
    return runs if completed == n else f"{n:,} ({runs} runs)"


def failures_text(arm: Arm | FailedArm) -> str:
    """Return the number of failed runs of an arm by status."""
    return ", ".join(f"{count:,} {failure}" for failure, count in arm.failures.items())


def direction_text(higher_is_better: bool) -> str:
    """Return the direction of a metric."""
    return "higher is better" if higher_is_better else "lower is better"


def pair_text(pair: Pair, group: Group) -> str:
    """Return the verdict on two arms with its numbers, and their differences, in one sentence."""
    parts = [verdict_text(pair, group), pair.differ, undertrained_text(pair, group)]
    return "; ".join(part for part in parts if part)


def open_text(found: Pair | Change) -> str:
    """Return whose failed runs leave a verdict open; empty if none do."""
    if not found.withheld or found.completion is None:
        return ""
    return f"because {found.withheld} {found.completion.why_open}"


def undertrained_text(pair: Pair, group: Group) -> str:
    """Return the undertrained arms of a pair with a verdict on its scores; empty without one."""
    if pair.has_failed_arm or pair.verdict == NOT_COMPARABLE or group.metric in COSTS:
        return ""
    arms = [arm for label in (pair.a, pair.b) if (arm := group.arm(label)).undertrained]
    if len(arms) < 2:
        return "".join(f"{arm.label} is {arm.undertrained_text}" for arm in arms)
    shares = [f"{arm.undertrained} of {arm.completed}" for arm in arms]
    return f"both are undertrained in {' and '.join(dict.fromkeys(shares))} runs"


def verdict_text(pair: Pair, group: Group) -> str:
    """Return the verdict on two arms with its numbers."""
    if pair.verdict == NOT_COMPARABLE:
        return f"{pair.a} and {pair.b}: not comparable ({pair.reason})"
    more = f"{completion_text(pair.completion, pair.a, pair.b)}{items_text(pair)}"
    found = pair.seeds
    if found is None and pair.verdict in (FAILS_MORE, FAILS_LESS):
        return f"{pair.a} {pair.verdict} than {pair.b} ({pair.reason}){more}"
    both = f"{pair.a} and {pair.b}: {pair.verdict}"
    both += f", {open_text(pair)}" if pair.withheld else ""
    if found is None or (found.p is None and pair.verdict in OPEN):
        return f"{both} ({pair.reason}){more}"
    if pair.verdict in (BETTER, WORSE):
        test = f"{test_text(pair)}{effect_text(pair, group.margin)}"
        return f"{pair.a} {pair.verdict} than {pair.b} by {size_text(found)}{test}{more}"
    numbers = scores_text(pair, found, group)
    if pair.verdict in (FAILS_MORE, FAILS_LESS):
        return f"{pair.a} {pair.verdict} than {pair.b}{more}; completed runs: {numbers}"
    runs = "completed runs: " if pair.withheld else ""
    return f"{both}; {runs}{numbers}{more}"


def test_text(pair: Pair) -> str:
    """Return the p-value of a pair with its test."""
    if pair.p_adjusted is None:
        return f" ({pair.reason})"
    return f", {p_text(pair.p_adjusted)} (Holm; {pair.reason})"


def scores_text(pair: Pair, found: Paired, group: Group) -> str:
    """Return the difference of the scores of two arms, and what the seeds can show."""
    size = "no difference"
    if found.difference:
        leader = pair.a if (found.difference > 0) == group.higher_is_better else pair.b
        size = f"{leader} ahead by {size_text(found)}"
    return f"{size}{test_text(pair)}{margin_text(pair, group.margin)}"


def margin_text(found: Pair | Change, margin: float | None) -> str:
    """Return the test of equivalence, the detectable difference and the seeds for the margin."""
    parts = [""]
    if found.p_equivalence is not None and margin is not None:
        parts.append(
            f"difference below {significant(margin, 2)}: {p_text(found.p_equivalence)} (Holm)"
        )
    if found.detectable is not None:
        parts.append(f"detectable difference {significant(found.detectable, 2)}")
    if found.seeds_for_margin is not None:
        parts.append(f"{seeds_text(found.seeds_for_margin)} to detect the margin")
    return "; ".join(parts) + effect_text(found, margin)


def effect_text(found: Pair | Change, margin: float | None) -> str:
    """Return the size of the effect, if there is a margin that asks for it."""
    effect = found.effect
    if effect is None or margin is None:
        return ""
    size, low, high = effect.mean, effect.low, effect.high
    if size < 0:
        size, low, high = -size, None if high is None else -high, None if low is None else -low
    decimals = decimals_of(None if low is None or high is None else (high - low) / 2)
    interval = interval_text(low, high, decimals)
    return f"; effect size {rounded(size, decimals)} {interval}".rstrip()


def seeds_text(needed: tuple[int | None, int | None]) -> str:
    """Return a range of numbers of seeds."""
    few, many = ("more than 1,000" if n is None else f"{n:,}" for n in needed)
    return f"{few} seeds" if few == many else f"{few} to {many} seeds"


def completion_text(found: Completion | None, a: str, b: str) -> str:
    """Return the completed runs of two arms with their tests; empty if all runs completed."""
    if found is None:
        return ""
    (done_a, all_a), (done_b, all_b) = found.a, found.b
    ahead = a if found.probability > 0.5 else b
    ranked = "neither ahead" if found.probability == 0.5 else f"{ahead} ahead"
    counts, method = f"{a} {done_a} of {all_a}, {b} {done_b} of {all_b}", "rank sum"
    if found.p is None:  # one arm is deterministic
        fewer = (a, done_a, all_a) if done_a < all_a else (b, done_b, all_b)
        counts, method = "{} {} of {}".format(*fewer), "sign test"
    fisher = "" if found.p_adjusted is None else f", {p_text(found.p_adjusted)} (Holm; Fisher)"
    return (
        f"; completed: {counts}{fisher}; all runs, failed ones ranked worst: {ranked}, "
        f"{p_text(found.ranked_p)} ({method}, uncorrected)"
    )


def size_text(found: Paired) -> str:
    """Return the absolute difference and its interval, seen from the leading arm."""
    decimals = shown_decimals(found)
    text = rounded(abs(found.difference), decimals)
    if found.difference and not text.strip("0.,"):
        text = significant(abs(found.difference), 1)
    if found.low is None or found.high is None:
        return text
    low, high = found.low, found.high
    if found.difference < 0:
        low, high = -high, -low
    return f"{text} {interval_text(low, high, decimals)}"


def shown_decimals(found: Paired) -> int | None:
    """Return the decimals of a difference, so that neither end of its interval rounds to 0."""
    decimals = decimals_of(half_width(found))
    if decimals is None or found.low is None or found.high is None or found.low * found.high == 0:
        return decimals
    nearest = min(abs(found.low), abs(found.high))
    while decimals < MAX_DECIMALS and round(nearest, decimals) == 0:
        decimals += 1
    return decimals


def items_text(pair: Pair) -> str:
    """Return the verdict beyond the test items and the test over items; empty without them."""
    return population_text(pair) + own_items_text(pair)


def population_text(pair: Pair) -> str:
    """Return the verdict beyond the test items, which is that on A; empty without a test."""
    found, p = pair.population, pair.population_p
    if found is None or p is None:
        return ""
    verdict = pair.population_verdict
    if verdict in SHOWN:
        verdict = f"{pair.a} {verdict}"
    elif verdict == WITHHELD and pair.completion is not None:
        doubted = pair.a if pair.completion.excess > 0 else pair.b
        verdict += f", because {doubted} {pair.completion.why_open}; completed runs"
    test = f"Holm; {found.method}{warning_text(found)}"
    return f"; beyond these test items: {verdict}, {p_text(p)} ({test})"


def own_items_text(pair: Pair) -> str:
    """Return the test over the items of the runs; only its warning if the verdict rests on it."""
    found = pair.items
    if found is None or found.p is None:
        return ""
    if pair.seeds is not None and pair.seeds.p == found.p:
        return warning_text(found)
    higher = found.method.startswith("McNemar")
    ahead = pair.a if (found.difference > 0) == higher else pair.b
    method = found.method.removesuffix(" (EWC)").removesuffix(" exact")
    runs = f", {pair.items_of}" if pair.items_of else ""
    leader = f"{ahead} ahead, " if found.difference else ""
    return f"; test items: {leader}{p_text(found.p)} ({method}{runs}{warning_text(found)})"


def warning_text(found: Paired) -> str:
    """Return the warning of a test, to be appended to it; empty without one."""
    return f"; {found.warning}" if found.warning else ""


def change_text(change: Change) -> str:
    """Return the reason for the verdict on a change, with its p-value and other differences."""
    text = change.reason
    if change.seeds is not None and change.p_adjusted is not None:
        text = f"{p_text(change.p_adjusted)} (Holm; {change.reason})"
    text += margin_text(change, change.margin)
    if change.completion is not None:
        text = f"{open_text(change)}; completed runs: {text}" if change.withheld else text
        text += completion_text(change.completion.reversed, "A", "B")
    return f"{text}; {change.differ}" if change.differ else text


def untested_text(found: Changes) -> str:
    """Return why no arm of two tables could be tested; empty if one was."""
    if any(c.p_adjusted is not None or c.verdict in DECIDED for c in found.changes):
        return ""
    reasons = Counter(change.reason or change.verdict for change in found.changes)
    parts = [f"{count:,} arm{'s' * (count > 1)} ({why})" for why, count in reasons.items()]
    more = f" and {len(parts) - 3} more reasons" if len(parts) > 3 else ""
    return f"nothing could be tested: {', '.join(parts[:3]) or 'no rows'}{more}"


def excluded_text(rows: ExcludedRows) -> str:
    """Return the number of excluded rows, the reason, and some run ids."""
    more = ", …" if rows.count > len(rows.examples) else ""
    reason = singular(rows.reason) if rows.count == 1 else rows.reason
    return f"{rows.count:,} {reason} ({', '.join(rows.examples)}{more})"


def singular(reason: str) -> str:
    """Return the reason of excluded rows for a single row: the first noun and verb change."""
    noun = re.sub(r"\b(row|run|test|trial)s\b", r"\1", reason, count=1)
    return re.sub(r"\bwere\b", "was", noun, count=1)
