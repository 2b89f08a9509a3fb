"""Average ranks over groups: a section of a report, and their verdict as text."""

from __future__ import annotations

from benchmarks.analysis.formatting import listed, p_text, rounded, significant
from benchmarks.analysis.over_groups import AcrossTasks
from benchmarks.analysis.statistics.common import LEVEL
from benchmarks.reporting.renderers import Section, TextTable

TITLE = "across tasks: average ranks"
MOST_NAMED = 12  # groups named in a line


def rank_section(found: AcrossTasks) -> Section:
    """Return the section of the average ranks."""
    table = TextTable(
        header=["arm", "average\nrank"],
        rows=[[arm, rounded(rank, 2)] for arm, rank in zip(found.arms, found.ranks, strict=True)],
        text_columns=frozenset({0}),
    )
    return Section(
        title=f"{TITLE} (1 is the best of a group)",
        about=[groups_text(found), statistic_text(found)],
        table=table,
        below=verdict_texts(found),
        lists=[("notes", found.notes)] if found.notes else [],
    )


def groups_text(found: AcrossTasks) -> str:
    """Return the number and names of the groups."""
    return f"{len(found.groups):,} groups: {listed(found.groups, MOST_NAMED)}"


def statistic_text(found: AcrossTasks) -> str:
    """Return the two tests with their numbers."""
    difference = rounded(found.critical_difference, 2)
    return (
        f"Friedman's test: F = {significant(found.statistic)}, {p_text(found.p)}; "
        f"Nemenyi's critical difference: {difference}"
    )


def verdict_texts(found: AcrossTasks) -> list[str]:
    """Return which arms are not shown to differ."""
    if found.p >= LEVEL:
        return ["no difference between these arms is shown"]
    if not found.not_shown:
        return ["all of these arms are shown to differ"]
    return [f"not shown to differ: {', '.join(arms)}" for arms in found.not_shown]
