"""The report page: one HTML file without external resources."""

from __future__ import annotations

import base64
import hashlib
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import vl_convert
from jinja2 import Environment, FileSystemLoader, StrictUndefined
from jinja2.utils import htmlsafe_json_dumps
from markupsafe import Markup

from benchmarks.analysis.comparison import Comparison, Group
from benchmarks.reporting.html import theme
from benchmarks.reporting.html.figure import VEGA_LITE, Figure
from benchmarks.reporting.html.formatting import metric_and_direction, plural
from benchmarks.reporting.html.hardest import Hardest
from benchmarks.reporting.html.overview import Table
from benchmarks.reporting.html.samples import Sample
from benchmarks.reporting.html.summary import Summary
from benchmarks.system.terminal import visible

ASSETS = Path(__file__).resolve().parent / "assets"

# Variables of the style sheet, and the chart colours that they replace.
NEUTRALS = {"ink": theme.INK, "muted": theme.MUTED, "grid": theme.GRID, "paper": theme.PAPER}


@dataclass(frozen=True)
class Part:
    """The section of a group."""

    anchor: str
    title: str  # unique on the page
    group: Group
    summary: Summary
    arms: Table
    pairs: Table
    figures: list[tuple[str, list[Figure]]]  # by heading
    samples: list[Sample]
    hardest: Hardest | None
    notes: list[str]

    @property
    def has_failures(self) -> bool:
        """Return True if runs of the group failed."""
        return any(arm.failures for arm in self.group.all_arms)

    @property
    def metric(self) -> str:
        """Return the metric and its direction."""
        return metric_and_direction(self.group)


def page(title: str, comparison: Comparison, parts: list[Part], ranks: Figure | None) -> str:
    """Return the page, with the figure of average ranks. All text from tables is escaped."""
    scripts = [vega_script(), (ASSETS / "page.js").read_text(encoding="utf-8")]
    environment = Environment(
        loader=FileSystemLoader(ASSETS),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        finalize=printable,
    )
    environment.filters["plural"] = plural
    figures = [figure for part in parts for _, row in part.figures for figure in row]
    specs = {f.name: f.spec for f in (*figures, ranks) if f is not None}
    arms = [arm for part in parts for arm in part.group.all_arms]
    runs = sum(arm.attempted for arm in arms)
    done = sum(arm.completed for part in parts for arm in part.group.arms)
    completed = f", {done:,} of them completed" if done < runs else ""
    neutrals = "".join(
        f'.chart svg [{kind}="{colour}"] {{ {kind}: var(--{name}); }}\n'
        for name, colour in NEUTRALS.items()
        for kind in ("fill", "stroke")
    )
    return environment.get_template("page.html").render(
        title=title,
        comparison=comparison,
        parts=parts,
        ranks=ranks,
        groups_left=len(comparison.groups) - len(parts),
        subtitle=f"{plural(runs, 'run')} of {plural(len(arms), 'arm')}{completed}",
        doubtful=any(arm.doubtful_times for part in parts for arm in part.group.arms),
        policy=policy(scripts),
        style=Markup((ASSETS / "page.css").read_text(encoding="utf-8") + neutrals),
        scripts=[Markup(script) for script in scripts],
        embedded=htmlsafe_json_dumps(
            {"theme": theme.THEME, "specs": specs},
            separators=(",", ":"),
            ensure_ascii=False,
            allow_nan=False,
        ),
    )


def printable(value: object) -> object:
    """Return a value of the page: control characters of text are escaped, markup is unchanged."""
    return value if isinstance(value, Markup) or not isinstance(value, str) else visible(value)


@cache
def vega_script() -> str:
    """Return Vega, Vega-Lite and Vega-Embed as one script, in the version of the charts."""
    # The stub of vl-convert lacks the default value of the snippet.
    bundle: Any = vl_convert.javascript_bundle
    script = bundle(vl_version=VEGA_LITE)
    if "</script" in script or "<!--" in script:
        raise ValueError("the Vega script cannot be put into a page")
    return str(script)


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
