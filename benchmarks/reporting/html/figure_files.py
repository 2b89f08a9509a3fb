"""Figures of a report as image files, and its tables as Markdown and LaTeX."""

from __future__ import annotations

from pathlib import Path

from benchmarks.reporting.html.figure import Figure
from benchmarks.reporting.html.overview import Cell, Table
from benchmarks.reporting.html.page import Part, vega_lite_version
from benchmarks.reporting.renderers import TextTable, in_latex, latex_table, markdown_table

SCALE = 2
"""Pixels of a PNG per unit of the chart."""


def export(parts: list[Part], folder: Path) -> int:
    """Write each figure as PNG and SVG, and the tables of arms as Markdown and LaTeX.

    Returns:
        The number of figures.

    Raises:
        OSError: the folder cannot be written.
    """
    folder.mkdir(parents=True, exist_ok=True)
    figures = [figure for part in parts for _, row in part.figures for figure in row]
    for figure in figures:
        draw(figure, folder)
    tables = [(f"{part.title}: {part.metric}", part.arms) for part in parts]
    markdown = "\n".join(f"## {title}\n\n{as_markdown(table)}" for title, table in tables)
    (folder / "arms.md").write_text(markdown, encoding="utf-8")
    latex = "\n".join(as_latex(table, title) for title, table in tables)
    (folder / "arms.tex").write_text(latex, encoding="utf-8")
    return len(figures)


def draw(figure: Figure, folder: Path) -> None:
    """Write a figure as NAME.png and NAME.svg."""
    import altair
    import vl_convert

    version = vega_lite_version(altair.SCHEMA_VERSION)
    svg = vl_convert.vegalite_to_svg(figure.for_export(), vl_version=version)
    (folder / f"{figure.name}.svg").write_text(svg, encoding="utf-8")
    png = vl_convert.svg_to_png(svg, scale=SCALE)
    (folder / f"{figure.name}.png").write_bytes(png)


def text_of(cell: Cell) -> str:
    """Return the text of a cell in one line."""
    return f"{cell.text} ({cell.more})" if cell.more else cell.text


def as_markdown(table: Table) -> str:
    """Format a table as Markdown."""
    rows = [[" ".join(text_of(c).split()).replace("<", "&lt;") for c in row] for row in table.rows]
    return markdown_table(table.header, rows, range(len(table.header))) + "\n"


def as_latex(table: Table, caption: str) -> str:
    """Format a table as LaTeX for the package booktabs."""
    rows = [[text_of(cell) for cell in row] for row in table.rows]
    body = latex_table(TextTable(table.header, rows, frozenset(range(len(table.header)))))
    return f"\\begin{{table}}\n\\caption{{{in_latex(caption)}}}\n{body}\n\\end{{table}}\n"
