"""The page: everything in one file that needs no network."""

from __future__ import annotations

import base64
import hashlib
import json
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from benchmarks.analysis.comparison import Comparison, Group
from benchmarks.reporting.html import theme as appearance
from benchmarks.reporting.html.figure import Figure
from benchmarks.reporting.html.formatting import direction, metric_name, plural
from benchmarks.reporting.html.overview import Table, arm_table, pair_table
from benchmarks.reporting.html.samples import Review, Sample
from benchmarks.reporting.html.summary import Story, story

ASSETS = Path(__file__).resolve().parent / "assets"

NEUTRALS = {
    "ink": appearance.INK,
    "muted": appearance.MUTED,
    "grid": appearance.GRID,
    "paper": appearance.PAPER,
}
"""Variables of the style sheet, and the colours of drawings that they take the place of."""


@dataclass(frozen=True)
class Part:
    """What the page shows of a group.

    Attributes:
        anchor: of its section.
        title: of its section, unlike that of any other part.
        figures: under the heading of their row of figures.
    """

    anchor: str
    title: str
    group: Group
    story: Story
    arms: Table
    pairs: Table
    figures: list[tuple[str, list[Figure]]]
    samples: list[Sample]
    reviews: list[Review]
    notes: list[str]

    @property
    def metric(self) -> str:
        """The metric and its good end."""
        return f"{metric_name(self.group)}, {direction(self.group)}"


def part_of(
    anchor: str,
    title: str,
    group: Group,
    figures: list[tuple[str, list[Figure]]],
    samples: list[Sample],
    reviews: list[Review],
    notes: list[str],
) -> Part:
    """Put a group's part of the page together."""
    return Part(
        anchor,
        title,
        group,
        story(group),
        arm_table(group),
        pair_table(group),
        [(heading, row) for heading, row in figures if row],
        samples,
        reviews,
        [*group.notes, *notes],
    )


def page(title: str, comparison: Comparison, parts: list[Part]) -> str:
    """Write the page. Text from tables and runs is escaped wherever it stands."""
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
        embedded=Markup(as_json({"theme": appearance.THEME, "specs": specs})),
    )


@cache
def vega_script() -> str:
    """Vega, Vega-Lite and Vega-Embed as one script, of the version the charts are written in.

    Raises:
        ValueError: it would end the element it stands in.
    """
    import altair
    import vl_convert

    # The stub of vl-convert has no default for the snippet, which its code has.
    bundle: Any = vl_convert.javascript_bundle
    script = bundle(vl_version=vega_lite_version(altair.SCHEMA_VERSION))
    if "</script" in script or "<!--" in script:
        raise ValueError("the Vega script cannot be put into a page")
    return str(script)


def vega_lite_version(schema: str) -> str:
    """Vega-Lite's version as vl-convert names it: v6.4.1 is 6.4."""
    return ".".join(schema.removeprefix("v").split(".")[:2])


def as_json(value: Any) -> str:
    """Write JSON that may stand in a script element: nothing in it can end one."""
    text = json.dumps(value, separators=(",", ":"), ensure_ascii=False, allow_nan=False)
    return text.replace("&", "\\u0026").replace("<", "\\u003c").replace(">", "\\u003e")


def policy(scripts: list[str]) -> str:
    """What the page may do: run these scripts and nothing else, load nothing.

    Vega compiles its expressions, which are the charts' own, hence `unsafe-eval`.
    """
    hashes = (hashlib.sha256(script.encode()).digest() for script in scripts)
    allowed = " ".join(f"'sha256-{base64.b64encode(each).decode()}'" for each in hashes)
    return (
        f"default-src 'none'; script-src {allowed} 'unsafe-eval'; style-src 'unsafe-inline'; "
        "img-src data:; base-uri 'none'; form-action 'none'"
    )


def neutrals_style() -> str:
    """Rules that give the neutral colours of drawings the page's own, light or dark."""
    return "".join(
        f'.chart svg [{kind}="{colour}"] {{ {kind}: var(--{name}); }}\n'
        for name, colour in NEUTRALS.items()
        for kind in ("fill", "stroke")
    )
