"""Look of the figures: one colour, shape and dash per arm in all of them, and one theme."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from benchmarks.analysis.comparison import Arm, Group

# The style sheet of the page replaces these, so one chart serves the light and the dark setting.
INK, MUTED, GRID, PAPER = "#1b1f24", "#6b7178", "#dfe2e6", "#fffffe"

# Okabe and Ito (2008), without black and yellow, which are invisible on dark and light backgrounds.
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9")
SHAPES = ("circle", "square", "triangle-up", "diamond", "triangle-down", "cross", "triangle-right")
DASHES = ([1, 0], [7, 3], [2, 2], [9, 3, 2, 3], [4, 4], [12, 3])
BASELINE_SHAPES = {"naive": "cross", "simple": "triangle-right", "classical": "diamond"}
BASELINE_DASHES = {"naive": [2, 3], "simple": [6, 3], "classical": [9, 3, 2, 3]}

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
    """Colour, shape and dash of an arm."""

    colour: str
    shape: str
    dash: list[int]


Style = dict[str, Look]  # by label of the arm


def look_number(i: int, variant: int = 0) -> Look:
    """Return the look of model i; its other arms have the same colour."""
    # When colours repeat, shapes and dashes differ.
    return Look(
        COLOURS[i % len(COLOURS)],
        SHAPES[(i + variant) % len(SHAPES)],
        DASHES[(i + i // len(COLOURS) + variant) % len(DASHES)],
    )


class Looks:
    """The look of every arm, equal in all figures; a model keeps its colour."""

    def __init__(self, groups: Iterable[Group], searched: Iterable[str] = ()) -> None:
        """Assign colours to the models of groups and searches, or to the arms of a single model."""
        nets = [arm for group in groups for arm in group.arms if not arm.baseline]
        models = self.models = sorted({arm.model for arm in nets} | set(searched))
        self.nets: Style = {}
        for i, model in enumerate(models):
            for k, label in enumerate(sorted({arm.label for arm in nets if arm.model == model})):
                self.nets[label] = look_number(k) if len(models) == 1 else look_number(i, k)

    def of(self, arm: Arm) -> Look:
        """Return the look of an arm; baselines are grey."""
        if arm.baseline:
            shape = BASELINE_SHAPES.get(arm.baseline, "diamond")
            return Look(MUTED, shape, BASELINE_DASHES.get(arm.baseline, [3, 3]))
        return self.nets[arm.label]

    def style(self, arms: Iterable[Arm]) -> Style:
        """Return the looks of arms by label."""
        return {arm.label: self.of(arm) for arm in arms}

    def of_search(self, model: str, study: int) -> Look:
        """Return the look of a search of a model."""
        return look_number(self.models.index(model), study)
