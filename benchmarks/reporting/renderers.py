"""A comparison for people: on a terminal, in Markdown, in LaTeX."""

from __future__ import annotations

import sys
import textwrap
from collections.abc import Sequence

from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from benchmarks.reporting.tables import Grid, Section

UNFOLDED = 14
"""Letters up to which words stay in one line."""

WIDTH = 110
"""Columns where no terminal says how many it has."""

LATEX = {
    "\\": r"\textbackslash{}",
    "&": r"\&",
    "%": r"\%",
    "$": r"\$",
    "#": r"\#",
    "_": r"\_",
    "{": r"\{",
    "}": r"\}",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    "<": r"\textless{}",
    ">": r"\textgreater{}",
    "|": r"\textbar{}",
    "±": r"$\pm$",
    "…": r"\dots{}",
    "–": "--",  # noqa: RUF001  that very sign
    "−": "$-$",  # noqa: RUF001  that very sign
}

MARKDOWN = "\\`*_{}[]<>#|"


def show(sections: Sequence[Section]) -> None:
    """Print sections, as wide as the terminal."""
    console = Console(width=None if sys.stdout.isatty() else WIDTH, highlight=False)
    for number, section in enumerate(sections):
        if number and (section.title or section.about):
            console.print()
        if section.title:
            say(console, section.title, style="bold")
        for line in section.about:
            say(console, line)
        if section.grid is not None:
            console.print(rich_table(section.grid, console.width))
            if section.below:
                console.print()
        for line in section.below:
            say(console, line)
        for heading, lines in section.lists:
            console.print()
            say(console, heading, style="bold")
            for line in lines:
                say(console, line, indent="  ")


def say(console: Console, line: str, indent: str = "", style: str = "") -> None:
    """Print a line, folded between words; rich would take brackets in it for styles."""
    text = textwrap.fill(
        one_line(line),
        console.width,
        initial_indent=indent,
        subsequent_indent=indent + "  ",
        break_on_hyphens=False,
    )
    console.print(Text(text, style=style), soft_wrap=True)


def rich_table(grid: Grid, width: int) -> Table:
    """A table for the terminal; only words are folded, never numbers.

    Args:
        grid: the table.
        width: letters that there are; if they are too few, spare columns go.
    """
    widths = [
        max(len(part) for cell in column for part in cell.split("\n"))
        for column in zip(grid.header, *grid.rows, strict=True)
    ]
    folded = [min(w, UNFOLDED) if n in grid.words else w for n, w in enumerate(widths)]
    kept, spare = list(range(len(widths))), list(grid.spare)
    while spare and sum(folded[n] + 1 for n in kept) > width:
        kept.remove(spare.pop(0))
    gap = 1 if sum(widths[n] + 2 for n in kept) <= width else 0
    table = Table(box=box.SIMPLE_HEAD, show_edge=False, pad_edge=False, padding=(0, gap, 0, 0))
    for number in kept:
        can_fold = folded[number] < widths[number]
        table.add_column(
            Text(grid.header[number]),
            justify="left" if number in grid.words else "right",
            overflow="fold",
            no_wrap=not can_fold,
            min_width=folded[number],
        )
    for number, row in enumerate(grid.rows):
        style = "bold" if number in grid.strong else ""
        table.add_row(*(Text(one_line(row[n])) for n in kept), style=style)
    return table


def one_line(text: str) -> str:
    """Text without line ends or control characters, which a table from elsewhere may have."""
    return "".join(letter if letter.isprintable() else " " for letter in text)


def as_markdown(sections: Sequence[Section]) -> str:
    """Write sections as Markdown."""
    parts: list[str] = []
    for section in sections:
        if section.title:
            parts.append(f"## {in_markdown(section.title)}")
        if section.about:
            parts.append("  \n".join(in_markdown(line) for line in section.about))
        if section.grid is not None:
            parts.append(markdown_grid(section.grid))
        parts += [in_markdown(line) for line in section.below]
        for heading, lines in section.lists:
            parts.append(f"**{in_markdown(heading)}**")
            parts.append("\n".join(f"- {in_markdown(line)}" for line in lines))
    return "\n\n".join(parts) + "\n"


def markdown_grid(grid: Grid) -> str:
    """Write a table as Markdown."""
    header = [in_markdown(name.replace("-\n", "").replace("\n", " ")) for name in grid.header]
    rule = ["---" if n in grid.words else "---:" for n in range(len(header))]
    rows = [[in_markdown(cell) for cell in row] for row in grid.rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in [header, rule, *rows])


def in_markdown(text: str) -> str:
    """Text that Markdown shows as it is."""
    return "".join(f"\\{letter}" if letter in MARKDOWN else letter for letter in one_line(text))


def as_latex(sections: Sequence[Section]) -> str:
    """Write sections for a paper: tables need the package booktabs, all else is a comment."""
    parts = ["% needs \\usepackage{booktabs}"]
    for section in sections:
        lines = [section.title, *section.about]
        if section.grid is not None:
            parts += [f"% {one_line(line)}" for line in lines if line]
            parts += [latex_grid(section.grid), ""]
            lines = []
        lines += section.below
        for heading, items in section.lists:
            lines += [f"{heading}:", *items]
        parts += [f"% {one_line(line)}" for line in lines if line] + [""]
    return "\n".join(parts)


def latex_grid(grid: Grid) -> str:
    """Write a table with booktabs' rules; rows that stand out are bold."""
    places = "".join("l" if n in grid.words else "r" for n in range(len(grid.header)))
    header = [in_latex(name.replace("-\n", "").replace("\n", " ")) for name in grid.header]
    rows = []
    for number, row in enumerate(grid.rows):
        cells = [in_latex(cell) for cell in row]
        if number in grid.strong:
            cells = [rf"\textbf{{{cell}}}" if cell else "" for cell in cells]
        rows.append(cells)
    lines = [" & ".join(line) + r" \\" for line in rows]
    # A bracket or a star that begins a line would be taken for an argument of the one before.
    lines = [rf"\relax {line}" if line[:1] in "[*" else line for line in lines]
    return "\n".join(
        [
            rf"\begin{{tabular}}{{{places}}}",
            r"\toprule",
            " & ".join(header) + r" \\",
            r"\midrule",
            *lines,
            r"\bottomrule",
            r"\end{tabular}",
        ]
    )


def in_latex(text: str) -> str:
    """Text that LaTeX prints as it is."""
    return "".join(LATEX.get(letter, letter) for letter in one_line(text))
