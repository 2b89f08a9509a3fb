"""Figures of a report as image files, and its tables as Markdown and LaTeX."""

from __future__ import annotations

from pathlib import Path

import vl_convert

from benchmarks.reporting.html.figure import VEGA_LITE, Figure
from benchmarks.reporting.html.page import Part
from benchmarks.reporting.renderers import (
    TextTable,
    in_latex,
    in_markdown,
    latex_table,
    markdown_table,
)

SCALE = 2  # pixels of a PNG per unit of the chart


def export(parts: list[Part], ranks: Figure | None, folder: Path) -> int:
    """Write each figure as PNG and SVG and the arms as Markdown and LaTeX; return their number."""
    folder.mkdir(parents=True, exist_ok=True)
    figures = [figure for part in parts for _, row in part.figures for figure in row]
    figures += [ranks] if ranks is not None else []
    for figure in figures:
        svg = vl_convert.vegalite_to_svg(figure.for_export(), vl_version=VEGA_LITE)
        (folder / f"{figure.name}.svg").write_text(svg, encoding="utf-8")
        png = vl_convert.svg_to_png(svg, scale=SCALE)
        (folder / f"{figure.name}.png").write_bytes(png)
    markdown, latex = [], []
    for part in parts:
        title, header = f"{part.title}: {part.metric}", part.arms.header
        rows = [[f"{c.text} ({c.more})" if c.more else c.text for c in r] for r in part.arms.rows]
        escaped = [[in_markdown(cell) for cell in row] for row in (header, *rows)]
        columns = range(len(header))
        table = markdown_table(escaped[0], escaped[1:], columns)
        facts = "; ".join(part.group.facts)
        markdown.append(f"## {in_markdown(title)}\n\n{in_markdown(facts)}\n\n{table}\n")
        body = latex_table(TextTable(header, rows, frozenset(columns)))
        caption = in_latex(f"{title} ({facts})")
        latex.append(f"\\begin{{table}}\n\\caption{{{caption}}}\n{body}\n\\end{{table}}\n")
    (folder / "arms.md").write_text("\n".join(markdown), encoding="utf-8")
    (folder / "arms.tex").write_text("\n".join(latex), encoding="utf-8")
    return len(figures)
