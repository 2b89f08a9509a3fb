"""How figures look: one colour, shape and dash per arm in all of them, and one theme.

Neutral colours are given as fixed values that the page's style sheet turns into its own, so that
one drawing serves light and dark.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from benchmarks.comparison.model import Arm, Group

INK, MUTED, GRID, PAPER = "#1b1f24", "#6b7178", "#dfe2e6", "#fffffe"

COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9")
"""Okabe and Ito (2008), told apart with any colour vision; without black and yellow, which vanish
on dark and on light paper."""

SHAPES = ("circle", "square", "triangle-up", "diamond", "triangle-down", "cross", "triangle-right")
DASHES = ([1, 0], [7, 3], [2, 2], [9, 3, 2, 3], [4, 4], [12, 3])
BASELINE_SHAPES = {"naive": "cross", "simple": "triangle-right", "classical": "diamond"}

FONT = "system-ui, -apple-system, 'Segoe UI', Roboto, 'Liberation Sans', Arial, sans-serif"

THEME: dict[str, Any] = {
    "background": None,
    "font": FONT,
    "view": {"stroke": None},
    "axis": {
        "labelColor": MUTED,
        "titleColor": INK,
        "domainColor": MUTED,
        "tickColor": MUTED,
        "gridColor": GRID,
        "labelFontSize": 12,
        "titleFontSize": 12,
        "titleFontWeight": "normal",
        "titlePadding": 8,
        "labelLimit": 190,
        "tickSize": 4,
    },
    "axisY": {"domain": False, "ticks": False, "labelPadding": 8},
    "axisX": {"grid": False},
    "legend": {
        "orient": "top",
        "title": None,
        "labelColor": INK,
        "labelFontSize": 12,
        "labelLimit": 260,
        "columnPadding": 16,
        "symbolSize": 70,
        "offset": 8,
    },
    "title": {
        "anchor": "start",
        "color": INK,
        "fontSize": 15,
        "fontWeight": 600,
        "offset": 14,
        "subtitleColor": MUTED,
        "subtitleFontSize": 12,
        "subtitlePadding": 6,
    },
    "line": {"strokeWidth": 2, "strokeCap": "round", "strokeJoin": "round"},
}


@dataclass(frozen=True)
class Look:
    """How an arm is drawn."""

    colour: str
    shape: str
    dash: list[int]


def look_number(i: int) -> Look:
    """The look of the arm number i; those of the first few differ in colour, shape and dash."""
    # A second round through the colours meets other shapes and dashes.
    return Look(
        COLOURS[i % len(COLOURS)],
        SHAPES[i % len(SHAPES)],
        DASHES[(i + i // len(COLOURS)) % len(DASHES)],
    )


class Looks:
    """The look of every arm, the same wherever it is drawn."""

    def __init__(self, groups: Iterable[Group]) -> None:
        """Give colours to the nets of all groups by their names, so that a model keeps its own."""
        nets = sorted({arm.label for group in groups for arm in group.arms if not arm.baseline})
        self.nets = {label: look_number(i) for i, label in enumerate(nets)}

    def of(self, arm: Arm) -> Look:
        """How an arm is drawn; baselines are grey."""
        if arm.baseline:
            return Look(MUTED, BASELINE_SHAPES.get(arm.baseline, "diamond"), [3, 3])
        return self.nets[arm.label]
