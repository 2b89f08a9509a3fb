"""A figure: a chart, its description and its numbers as a table."""

from __future__ import annotations

import copy
import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from benchmarks.reporting.html.theme import MUTED, PAPER, THEME, Look

if TYPE_CHECKING:
    import altair as alt

Record = dict[str, Any]

EXPORT_WIDTH = 640
"""Width of the drawing area of an exported chart, in pixels; in the page it fills its container."""


@dataclass(frozen=True)
class Figure:
    """A chart with its text.

    Attributes:
        name: of its files, and its anchor in the page.
        title: what is plotted.
        caption: how to read it, and what is omitted.
        summary: a description for readers who cannot see the chart.
        spec: Vega-Lite specification, as wide as its container.
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
        """Return the specification with a width, a title and a white background."""
        spec = copy.deepcopy(self.spec)
        spec["config"] = copy.deepcopy(THEME)
        longest = spec.get("usermeta", {}).get("longest", 1)
        spec["config"]["legend"]["columns"] = max(1, EXPORT_WIDTH // (7 * longest + 40))
        spec |= {"width": EXPORT_WIDTH, "padding": 16, "background": PAPER}
        spec["title"] = {"text": self.title}
        return spec


@dataclass(frozen=True)
class ArmStyle:
    """The labels of the arms of a chart, and how each is drawn."""

    labels: list[str]
    looks: list[Look]

    def encode(
        self,
        channel: Literal["color", "shape", "strokeDash"],
        legend: Literal["stroke", "shape", ""] = "",
    ) -> Any:
        """Return the encoding that distinguishes the arms in one channel.

        Args:
            channel: of the marks.
            legend: `stroke` for lines, `shape` for points, empty for none. Channels with the same
                legend share one.
        """
        import altair as alt

        kind: Any = {"color": alt.Color, "shape": alt.Shape, "strokeDash": alt.StrokeDash}[channel]
        attribute = {"color": "colour", "shape": "shape", "strokeDash": "dash"}[channel]
        named: Any = None
        if legend == "stroke":
            named = alt.Legend(symbolType="stroke", symbolOpacity=1, symbolSize=400)
        elif legend == "shape":
            named = alt.Legend(symbolOpacity=1)
        values = [getattr(look, attribute) for look in self.looks]
        return kind("arm:N", scale=alt.Scale(domain=self.labels, range=values), legend=named)

    def lines(self, records: list[Record], x: Any, y: Any, tips: list[Any], **mark: Any) -> Any:
        """Return a layer with one line per arm and a layer of invisible points with tooltips."""
        import altair as alt

        base = alt.Chart(data(records))
        return (
            base.mark_line(**mark).encode(
                x=x,
                y=y,
                color=self.encode("color", "stroke"),
                strokeDash=self.encode("strokeDash", "stroke"),
            ),
            base.mark_point(size=50, opacity=0, filled=True).encode(x=x, y=y, tooltip=tips),
        )


def rounded(value: float | None, digits: int = 5) -> float | None:
    """Round to the digits a chart can show; None for NaN and infinity, which JSON lacks."""
    if value is None or not math.isfinite(value):
        return None
    return float(f"{value:.{digits}g}")


def data(records: list[Record]) -> alt.InlineData:
    """Return records as chart data, without Altair's limit on their number."""
    import altair as alt

    return alt.InlineData(values=records)


def zero_line() -> Any:
    """Return a horizontal line at 0."""
    import altair as alt

    line = alt.Chart(data([{"zero": 0}])).mark_rule(color=MUTED)
    return line.encode(y=alt.Y("zero:Q"))


def layered(*charts: alt.Chart) -> alt.TopLevelMixin:
    """Combine charts in layers, without those that have no data: their axes would have no ends."""
    import altair as alt

    return alt.layer(*(chart for chart in charts if chart.data.values))


def spec_of(chart: alt.TopLevelMixin, height: int, labels: list[str] | None = None) -> Any:
    """Return the specification of a chart, as wide as its container and without the theme.

    Args:
        chart: made with Altair.
        height: of the drawing area, in pixels.
        labels: of the legend; the longest determines its columns.
    """
    # Validation takes most of the time of a report; tests draw every chart instead.
    spec: dict[str, Any] = chart.to_dict(validate=False, format="vega-lite")
    spec.pop("config", None)
    spec["width"], spec["height"] = "container", height
    spec["autosize"] = {"type": "fit-x", "contains": "padding"}
    spec["usermeta"] = {"longest": max(map(len, labels or [""]), default=0)}
    return spec
