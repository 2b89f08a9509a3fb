"""Critical-difference diagram of the average ranks over groups (Demšar 2006)."""

from __future__ import annotations

from typing import Any

import altair as alt

from benchmarks.analysis.formatting import rounded
from benchmarks.analysis.over_groups import AcrossTasks
from benchmarks.analysis.statistics.common import LEVEL
from benchmarks.reporting.average_ranks import groups_text, statistic_text, verdict_texts
from benchmarks.reporting.html.figure import Figure, Record, chart, spec_of
from benchmarks.reporting.html.theme import INK, MUTED

ROW = 26  # pixels of a row
AXIS = 1.7  # rows above the axis: the critical difference and the numbers of the axis
BAR = 0.4  # rows of a bar that joins arms
MARGIN = 0.5  # space for names beside the axis, as a share of its length


def rank_figure(found: AcrossTasks | None, name: str = "across-tasks") -> Figure | None:
    """Draw the average ranks; None without any."""
    if found is None:
        return None
    verdict = "No difference between these networks is shown"
    if found.p < LEVEL:
        verdict = "Thick bars join networks that are not shown to differ (Nemenyi's test, 5 %)"
    return Figure(
        name=name,
        title="Average ranks across tasks",
        caption=f"Rank 1 is the best network of a group, on average over {len(found.groups)} "
        f"groups. {verdict}. {statistic_text(found)}.",
        summary=". ".join([_ranks_text(found), *verdict_texts(found), groups_text(found)]),
        spec=spec_of(_layers(found), height=round(ROW * _rows(found))),
        header=["network", "average rank"],
        rows=[[arm, rounded(rank, 2)] for arm, rank in zip(found.arms, found.ranks, strict=True)],
    )


def _ranks_text(found: AcrossTasks) -> str:
    pairs = zip(found.arms, found.ranks, strict=True)
    return "Average ranks, best first: " + ", ".join(f"{a} {rounded(r, 2)}" for a, r in pairs)


def _first_row(found: AcrossTasks) -> float:
    """Return the row of the first name: below the axis and the bars."""
    return AXIS + 1.3 + BAR * len(found.not_shown)


def _rows(found: AcrossTasks) -> float:
    return _first_row(found) + (len(found.arms) + 1) // 2 - 0.6


def _layers(found: AcrossTasks) -> list[Any]:
    arms = len(found.arms)
    low, high = 1 - MARGIN * (arms - 1), arms + MARGIN * (arms - 1)
    high = max(high, 1.1 + found.critical_difference)
    x = alt.X("x:Q", axis=None, scale=alt.Scale(domain=[low, high], nice=False, zero=False))
    ends = alt.Scale(domain=[0, _rows(found)], nice=False, reverse=True)
    y = alt.Y("y:Q", axis=None, scale=ends)

    def rules(records: list[Record], colour: str, width: float) -> Any:
        mark = chart(records).mark_rule(color=colour, strokeWidth=width)
        return mark.encode(x=x, x2="x2:Q", y=y, y2="y2:Q")

    def texts(records: list[Record], colour: str, align: Any, size: int = 12) -> Any:
        mark = chart(records).mark_text(color=colour, align=align, dy=-8, fontSize=size)
        return mark.encode(x=x, y=y, text="text:N")

    difference = [_line(1, 1 + found.critical_difference, 0.8)]
    text = f"critical difference {rounded(found.critical_difference, 2)}"
    ticks: list[Record] = [{"x": n, "y": AXIS, "text": str(n)} for n in range(1, arms + 1)]
    left, right, lines = _names(found, low, high)
    return [
        rules(lines, MUTED, 1),
        rules([_line(1, arms, AXIS)], INK, 1),
        rules([_line(n, n, AXIS - 0.15, AXIS) for n in range(1, arms + 1)], INK, 1),
        texts(ticks, MUTED, "center"),
        rules(difference, INK, 2),
        texts([{"x": 1, "y": 0.8, "text": text}], INK, "left"),
        rules(_bars(found), INK, 5),
        texts(left, INK, "left"),
        texts(right, INK, "right"),
    ]


def _line(x: float, x2: float, y: float, y2: float | None = None) -> Record:
    return {"x": x, "x2": x2, "y": y, "y2": y if y2 is None else y2}


def _bars(found: AcrossTasks) -> list[Record]:
    """Return the bars below the axis that join arms, a little wider than their ranks."""
    rank_of = dict(zip(found.arms, found.ranks, strict=True))
    wider = 0.02 * (len(found.arms) - 1)
    return [
        _line(rank_of[joined[0]] - wider, rank_of[joined[-1]] + wider, AXIS + 0.5 + BAR * place)
        for place, joined in enumerate(found.not_shown)
    ]


def _names(
    found: AcrossTasks, low: float, high: float
) -> tuple[list[Record], list[Record], list[Record]]:
    """Return the names at the left and at the right, and the lines from the axis to them.

    The better half is at the left. The outermost ranks have the first rows, so no lines cross.
    """
    sides: tuple[list[Record], list[Record]] = ([], [])
    lines: list[Record] = []
    half = (len(found.arms) + 1) // 2
    for place, (arm, rank) in enumerate(zip(found.arms, found.ranks, strict=True)):
        is_left = place < half
        edge = low if is_left else high
        y = _first_row(found) + (place if is_left else len(found.arms) - 1 - place)
        text = f"{arm} {rounded(rank, 2)}" if is_left else f"{rounded(rank, 2)} {arm}"
        sides[not is_left].append({"x": edge, "y": y, "text": text})
        lines += [_line(rank, rank, AXIS, y), _line(min(edge, rank), max(edge, rank), y)]
    return *sides, lines
