"""A figure: a chart, its description and its numbers as a table."""

from __future__ import annotations

import copy
import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Literal

import altair as alt
import numpy as np

from benchmarks.analysis.formatting import LARGEST
from benchmarks.reporting.html.theme import MUTED, PAPER, THEME, Style
from benchmarks.reporting.json_csv import finite
from benchmarks.system.terminal import visible

Record = dict[str, Any]

EXPORT_WIDTH = 640  # pixels of the drawing area; in the page it fills its container
VEGA_LITE = ".".join(alt.SCHEMA_VERSION.removeprefix("v").split(".")[:2])  # as vl-convert names it

CHANNELS: dict[str, Any] = {
    "color": (alt.Color, "colour"),
    "shape": (alt.Shape, "shape"),
    "strokeDash": (alt.StrokeDash, "dash"),
}
LEGENDS: dict[str, Any] = {
    "": None,
    "stroke": alt.Legend(symbolType="stroke", symbolOpacity=1, symbolSize=400),
    "shape": alt.Legend(symbolOpacity=1),
}


@dataclass(frozen=True)
class Figure:
    """A chart, a caption, a summary for readers who cannot see it, and its numbers."""

    name: str  # of its files, and its anchor in the page
    title: str
    caption: str
    summary: str
    spec: dict[str, Any]
    header: list[str]
    rows: list[list[str]]

    def for_export(self) -> dict[str, Any]:
        """Return the specification with a width, a title and a white background."""
        config = copy.deepcopy(THEME)
        longest = self.spec["usermeta"]["longest"]
        config["legend"]["columns"] = max(1, EXPORT_WIDTH // (7 * longest + 40))
        title = {"text": visible(self.title)}
        size = {"width": EXPORT_WIDTH, "padding": 16, "background": PAPER}
        return copy.deepcopy(self.spec) | {"config": config, "title": title} | size


def printable(data: Any) -> Any:
    """Return data with control characters of its texts as escapes."""
    if isinstance(data, dict):
        return {key: printable(value) for key, value in data.items()}
    if isinstance(data, list):
        return [printable(value) for value in data]
    return visible(data) if isinstance(data, str) else data


def rounded(value: float | None, digits: int = 5) -> float | None:
    """Round to the digits a chart can show; None for NaN and infinity, which JSON lacks."""
    if value is None or not math.isfinite(value):
        return None
    return float(f"{value:.{digits}g}")


def spread(n: int, most: int) -> Any:
    """Return at most this many positions among n, evenly spread from the first to the last."""
    return np.unique(np.linspace(0, n - 1, min(n, most)).round().astype(int))


def chart(records: list[Record]) -> Any:
    """Return an Altair chart of records, without Altair's limit on their number."""
    return alt.Chart(alt.InlineData(values=records))


def encode(
    style: Style,
    channel: Literal["color", "shape", "strokeDash"],
    legend: Literal["stroke", "shape", ""] = "",
) -> Any:
    """Return the encoding that distinguishes arms; channels with the same legend share one."""
    kind, attribute = CHANNELS[channel]
    values = [getattr(look, attribute) for look in style.values()]
    scale = alt.Scale(domain=list(style), range=values)
    return kind("arm:N", scale=scale, legend=LEGENDS[legend])


def lines(
    style: Style,
    records: list[Record],
    x: Any,
    y: Any,
    tips: list[Any],
    detail: str = "",
    **mark: Any,
) -> list[Any]:
    """Return a layer with one line per arm and a layer of invisible points with tooltips.

    An arm has one line for each value of the field `detail`, if one is given.
    """
    colour, dash = encode(style, "color", "stroke"), encode(style, "strokeDash", "stroke")
    base = chart(records).encode(x=x, y=y)
    if detail:
        base = base.encode(detail=f"{detail}:N")
    return [
        base.mark_line(**mark).encode(color=colour, strokeDash=dash),
        base.mark_point(size=50, opacity=0, filled=True).encode(tooltip=tips),
    ]


def zero_line() -> Any:
    """Return a horizontal line at 0."""
    return chart([{"zero": 0}]).mark_rule(color=MUTED).encode(y="zero:Q")


def use_exponents(position: Record, records: Iterable[Record]) -> None:
    """Let an axis label large numbers with exponents; without, they have hundreds of digits."""
    values = (record.get(str(position.get("field"))) for record in records)
    if any(isinstance(value, float) and abs(value) >= LARGEST for value in values):
        position["axis"] = (position.get("axis") or {}) | {"format": ".1e"}


def spec_of(layers: Iterable[Any], labels: Iterable[str] = (), height: int = 260) -> Any:
    """Return the specification of layers, as wide as its container and without the theme.

    Layers without data are left out. The longest label determines the columns of the legend.
    """
    drawn = [layer for layer in layers if layer.data.values]
    found = alt.layer(*drawn)
    # Validation takes most of the time of a report; tests draw every chart instead.
    spec: dict[str, Any] = found.to_dict(validate=False, format="vega-lite")
    spec.pop("config", None)
    for layer, source in zip(spec["layer"], drawn, strict=True):
        for channel in ("x", "y"):
            use_exponents(layer["encoding"].get(channel, {}), source.data.values)
    data: dict[str, Any] = printable(finite(spec))
    return data | {
        "width": "container",
        "height": height,
        "autosize": {"type": "fit-x", "contains": "padding"},
        "usermeta": {"longest": max(map(len, labels), default=0)},
    }
