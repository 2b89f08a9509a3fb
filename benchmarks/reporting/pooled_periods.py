"""Forecasts pooled over periods: a section of a comparison."""

from __future__ import annotations

from benchmarks.analysis.formatting import listed, p_text, rounded
from benchmarks.analysis.over_groups import Periods, PooledArm
from benchmarks.errors import counted
from benchmarks.reporting.renderers import Section, TextTable

MOST_NAMED = 20  # periods named in a line
DECIMALS = 4  # of a ratio


def period_section(found: Periods) -> Section:
    """Return the section of pooled forecasts: ratios of errors, and tests over days."""
    header = [
        *("arm", "baseline", "runs", f"error / {found.naive}", "p\nEWC", "p\nHLN"),
        *("worst period", f"error / {found.best_baseline}", "p\nEWC", "p\nHLN"),
    ]
    relative = "error relative to the last value" if found.is_relative else "error"
    names = listed(found.periods, MOST_NAMED)
    return Section(
        title=f"{found.task}: {found.metric}, pooled over {counted(len(found.periods), 'period')}",
        about=[f"root mean squared {relative} on {counted(found.days, 'test day')}: {names}"],
        table=TextTable(header, [row_of(arm, found) for arm in found.arms], frozenset({0, 1})),
        below=[
            f"{found.best_baseline} is the best baseline; below 1 the arm is better",
            "p: test of Diebold and Mariano on mean losses over seeds, for networks corrected by "
            "Holm; EWC allows for dependent days, HLN takes them for independent",
        ],
        lists=[("notes", found.notes)] if found.notes else [],
    )


def row_of(arm: PooledArm, found: Periods) -> list[str]:
    """Return the cells of an arm; one is not tested against itself."""
    worst = max(range(len(arm.ratios)), key=lambda number: arm.ratios[number])
    worst_text = f"{rounded(arm.ratios[worst], DECIMALS)} ({found.periods[worst][:4]})"
    cells = [arm.name, arm.baseline, f"{arm.runs:,}", rounded(arm.ratio, DECIMALS)]
    cells += [p_cell(p, arm.name == found.naive) for p in arm.p_naive]
    cells += ["" if arm.name == found.naive else worst_text, rounded(arm.ratio_to_best, DECIMALS)]
    return cells + [p_cell(p, arm.name == found.best_baseline) for p in arm.p_best]


def p_cell(p: float, is_itself: bool) -> str:
    """Return a p-value without its name; empty for an arm against itself."""
    return "" if is_itself else p_text(p).removeprefix("p ").removeprefix("= ")
