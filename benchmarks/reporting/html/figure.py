"""A figure: a chart, the words around it, and its numbers as a table."""

from __future__ import annotations

import copy
import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from benchmarks.reporting.html.theme import PAPER, THEME, Look

if TYPE_CHECKING:
    import altair as alt

Record = dict[str, Any]

EXPORT_WIDTH = 640
"""Of an exported chart's drawing area, in pixels; in the page it fills its place."""


@dataclass(frozen=True)
class Figure:
    """What is drawn of one matter.

    Attributes:
        name: of its files, and its anchor in the page.
        title: what is seen.
        caption: how to read it, and what is not drawn.
        summary: the same in words, for who cannot see it.
        spec: Vega-Lite, its width that of its place.
        header, rows: its numbers.
    """

    name: str
    title: str
    caption: str
    summary: str
    spec: dict[str, Any]
    header: list[str]
    rows: list[list[str]]

    def for_export(self) -> dict[str, Any]:
        """Its specification with a width, a title and white paper of its own."""
        spec = copy.deepcopy(self.spec)
        spec["config"] = copy.deepcopy(THEME)
        longest = spec.get("usermeta", {}).get("longest", 1)
        spec["config"]["legend"]["columns"] = max(1, EXPORT_WIDTH // (7 * longest + 40))
        spec["width"] = EXPORT_WIDTH
        spec["padding"] = 16
        spec["background"] = PAPER
        spec["title"] = {"text": self.title}
        return spec


def rounded(value: float | None, digits: int = 5) -> float | None:
    """Keep the digits a picture can show; None for what is no number, as JSON has no other."""
    if value is None or not math.isfinite(value):
        return None
    return float(f"{value:.{digits}g}")


def data(records: list[Record]) -> alt.InlineData:
    """Put records into a chart, without Altair's limit on their number."""
    import altair as alt

    return alt.InlineData(values=records)


def layered(*charts: alt.Chart) -> alt.TopLevelMixin:
    """Lay charts over each other, but for those without data, whose axes would have no ends."""
    import altair as alt

    return alt.layer(*(chart for chart in charts if chart.data.values))


def spec_of(chart: alt.TopLevelMixin, height: int, labels: list[str] | None = None) -> Any:
    """Give a chart's specification, as wide as its place and without the theme.

    Args:
        chart: what Altair made.
        height: of the drawing area, in pixels.
        labels: of the legend, whose columns follow from the longest.
    """
    # Altair's check against the schema takes most of a report's time, and tests draw every chart.
    spec: dict[str, Any] = chart.to_dict(validate=False, format="vega-lite")
    spec.pop("config", None)
    spec["width"], spec["height"] = "container", height
    spec["autosize"] = {"type": "fit-x", "contains": "padding"}
    spec["usermeta"] = {"longest": max(map(len, labels or [""]), default=0)}
    return spec


def by_label(
    labels: list[str], looks: list[Look], channel: str, legend: Literal["stroke", "shape", ""] = ""
) -> Any:
    """Tell arms apart in one channel: color, shape or strokeDash.

    Args:
        labels, looks: of the arms.
        channel: see above.
        legend: `stroke` for lines, `shape` for points, nothing for none. Channels that are given
            the same have one legend together.
    """
    import altair as alt

    ranges: dict[str, list[Any]] = {
        "color": [look.colour for look in looks],
        "shape": [look.shape for look in looks],
        "strokeDash": [look.dash for look in looks],
    }
    named: Any = None
    if legend == "stroke":
        named = alt.Legend(symbolType="stroke", symbolOpacity=1, symbolSize=400)
    elif legend == "shape":
        named = alt.Legend(symbolOpacity=1)
    kind: Any = {"color": alt.Color, "shape": alt.Shape, "strokeDash": alt.StrokeDash}[channel]
    return kind(
        "arm:N",
        scale=alt.Scale(domain=labels, range=ranges[channel]),
        legend=named,
    )
