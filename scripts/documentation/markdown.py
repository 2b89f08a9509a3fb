"""Tables of the documentation."""

from __future__ import annotations

from benchmarks.reporting.renderers import markdown_table


def text_table(header: list[str], rows: list[list[str]]) -> str:
    """Format a Markdown table whose columns are all left-aligned."""
    return markdown_table(header, rows, range(len(header))) + "\n"
