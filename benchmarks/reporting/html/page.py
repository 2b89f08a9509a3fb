"""The report page: one HTML file without external resources."""

from __future__ import annotations

import base64
import hashlib
import json
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from benchmarks.analysis.comparison import Comparison, Group
from benchmarks.reporting.html import theme
from benchmarks.reporting.html.figure import Figure
from benchmarks.reporting.html.formatting import direction, metric_name, plural
from benchmarks.reporting.html.overview import Table
from benchmarks.reporting.html.samples import Review, Sample
from benchmarks.reporting.html.summary import Summary

ASSETS = Path(__file__).resolve().parent / "assets"

NEUTRALS = {
    "ink": theme.INK,
    "muted": theme.MUTED,
    "grid": theme.GRID,
    "paper": theme.PAPER,
}
"""Variables of the style sheet, and the chart colours that they replace."""


@dataclass(frozen=True)
class Part:
    """The section of a group.

    Attributes:
        anchor: of the section.
        title: of the section, unique on the page.
        figures: rows of figures with their headings.
    """

    anchor: str
    title: str
    group: Group
    summary: Summary
    arms: Table
    pairs: Table
    figures: list[tuple[str, list[Figure]]]
    samples: list[Sample]
    reviews: list[Review]
    notes: list[str]

    @property
    def metric(self) -> str:
        """Return the metric and its direction."""
        return f"{metric_name(self.group)}, {direction(self.group)}"


def page(title: str, comparison: Comparison, parts: list[Part]) -> str:
    """Return the page. All text from tables and runs is escaped."""
    from jinja2 import Environment, FileSystemLoader, StrictUndefined
    from markupsafe import Markup

    scripts = [vega_script(), (ASSETS / "page.js").read_text(encoding="utf-8")]
    environment = Environment(
        loader=FileSystemLoader(ASSETS),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["plural"] = plural
    specs = {f.name: f.spec for part in parts for _, row in part.figures for f in row}
    runs = sum(len(arm.rows) for part in parts for arm in part.group.arms)
    return environment.get_template("page.html").render(
        title=title,
        comparison=comparison,
        parts=parts,
        groups_left=len(comparison.groups) - len(parts),
        subtitle=f"{plural(runs, 'run')} of "
        f"{plural(sum(len(part.group.arms) for part in parts), 'arm')}",
        doubtful=any(arm.doubtful_times for part in parts for arm in part.group.arms),
        policy=policy(scripts),
        style=Markup((ASSETS / "page.css").read_text(encoding="utf-8") + neutrals_style()),
        scripts=[Markup(script) for script in scripts],
        embedded=Markup(as_json({"theme": theme.THEME, "specs": specs})),
    )


@cache
def vega_script() -> str:
    """Return Vega, Vega-Lite and Vega-Embed as one script, in the version of the charts.

    Raises:
        ValueError: the script would end its HTML element.
    """
    import altair
    import vl_convert

    # The stub of vl-convert lacks the default value of the snippet.
    bundle: Any = vl_convert.javascript_bundle
    script = bundle(vl_version=vega_lite_version(altair.SCHEMA_VERSION))
    if "</script" in script or "<!--" in script:
        raise ValueError("the Vega script cannot be put into a page")
    return str(script)


def vega_lite_version(schema: str) -> str:
    """Return the Vega-Lite version in the form of vl-convert: 6.4 for v6.4.1."""
    return ".".join(schema.removeprefix("v").split(".")[:2])


def as_json(value: Any) -> str:
    """Return JSON for a script element; nothing in it can end the element."""
    text = json.dumps(value, separators=(",", ":"), ensure_ascii=False, allow_nan=False)
    return text.replace("&", "\\u0026").replace("<", "\\u003c").replace(">", "\\u003e")


def policy(scripts: list[str]) -> str:
    """Return the content security policy: only these scripts, no external resources.

    Vega compiles the expressions of the charts, hence `unsafe-eval`.
    """
    hashes = (hashlib.sha256(script.encode()).digest() for script in scripts)
    allowed = " ".join(f"'sha256-{base64.b64encode(each).decode()}'" for each in hashes)
    return (
        f"default-src 'none'; script-src {allowed} 'unsafe-eval'; style-src 'unsafe-inline'; "
        "img-src data:; base-uri 'none'; form-action 'none'"
    )


def neutrals_style() -> str:
    """Return CSS rules that map the neutral chart colours to those of the page."""
    return "".join(
        f'.chart svg [{kind}="{colour}"] {{ {kind}: var(--{name}); }}\n'
        for name, colour in NEUTRALS.items()
        for kind in ("fill", "stroke")
    )
