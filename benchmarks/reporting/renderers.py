"""Sections of text and tables on a terminal, in Markdown and in LaTeX."""

from __future__ import annotations

import html
import re
import textwrap
from collections.abc import Container, Sequence
from dataclasses import dataclass

from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from benchmarks.system.console import console

FOLD_WIDTH = 14  # characters up to which a text column stays on one line

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
    "†": r"\dag{}",
    "…": r"\dots{}",
    "–": "--",  # noqa: RUF001  the en dash is intended
    "−": "$-$",  # noqa: RUF001  the minus sign is intended
}

# Renderers differ in whether a backslash escapes these and ~, so entities are written.
HTML = re.compile(r"<(?=[a-z/!?])|&(?=[#\w])|^>", re.IGNORECASE)
MARKDOWN = re.compile(
    r"[\\`*{}\[\]]"
    r"|(?<![^\W_])_|_(?![^\W_])"  # an underscore within a word has no effect
    r"|^(?=#|[+-]+(\s|$))"  # headings, lists and rules begin with these
)


@dataclass(frozen=True)
class TextTable:
    """A table of formatted cells, with numbers of columns and rows."""

    header: list[str]  # a unit in a second line
    rows: list[list[str]]
    text_columns: frozenset[int]  # the others are right-aligned
    bold_rows: frozenset[int] = frozenset()
    optional_columns: tuple[int, ...] = ()  # dropped on a narrow terminal, in this order

    @property
    def flat_header(self) -> list[str]:
        """Column names on one line each."""
        return [name.replace("-\n", "").replace("\n", " ") for name in self.header]


@dataclass(frozen=True)
class Section:
    """A part of a report: title, lines, table, more lines, and lists with a heading each."""

    title: str
    about: list[str]
    table: TextTable | None
    below: list[str]
    lists: list[tuple[str, list[str]]]


def show(sections: Sequence[Section]) -> None:
    """Print sections at the width of the terminal."""
    terminal = console()
    for number, section in enumerate(sections):
        if number and (section.title or section.about):
            terminal.print()
        if section.title:
            print_folded(terminal, section.title, style="bold")
        for line in section.about:
            print_folded(terminal, line)
        if section.table is not None:
            terminal.print(rich_table(section.table, terminal.width))
            if section.below:
                terminal.print()
        for line in section.below:
            print_folded(terminal, line)
        for heading, lines in section.lists:
            terminal.print()
            print_folded(terminal, heading, style="bold")
            for line in lines:
                print_folded(terminal, line, indent="  ")


def print_folded(console: Console, line: str, indent: str = "", style: str = "") -> None:
    """Print a line folded between words; brackets are text, not rich markup."""
    text = textwrap.fill(
        one_line(line),
        console.width,
        initial_indent=indent,
        subsequent_indent=indent + "  ",
        break_on_hyphens=False,
    )
    console.print(Text(text, style=style), soft_wrap=True)


def rich_table(table: TextTable, width: int) -> Table:
    """Build a terminal table that fits the width; only text columns are folded, never numbers."""
    widths = [
        max(len(part) for cell in column for part in cell.split("\n"))
        for column in zip(table.header, *table.rows, strict=True)
    ]
    text = table.text_columns
    folded = [min(w, FOLD_WIDTH) if n in text else w for n, w in enumerate(widths)]
    kept, optional = list(range(len(widths))), list(table.optional_columns)
    while optional and sum(folded[n] + 1 for n in kept) > width:
        kept.remove(optional.pop(0))
    gap = 1 if sum(widths[n] + 2 for n in kept) <= width else 0
    shown = Table(box=box.SIMPLE_HEAD, show_edge=False, pad_edge=False, padding=(0, gap, 0, 0))
    for number in kept:
        shown.add_column(
            Text(table.header[number]),
            justify="left" if number in text else "right",
            overflow="fold",
            no_wrap=folded[number] == widths[number],
            min_width=folded[number],
        )
    for number, row in enumerate(table.rows):
        style = "bold" if number in table.bold_rows else ""
        shown.add_row(*(Text(one_line(row[n])) for n in kept), style=style)
    return shown


def one_line(text: str) -> str:
    """Replace line ends and control characters, which a foreign table may contain, by spaces."""
    return "".join(letter if letter.isprintable() else " " for letter in text)


def as_markdown(sections: Sequence[Section]) -> str:
    """Format sections as Markdown."""
    parts: list[str] = []
    for section in sections:
        if section.title:
            parts.append(f"## {in_markdown(section.title)}")
        if section.about:
            parts.append("  \n".join(in_markdown(line) for line in section.about))
        if section.table is not None:
            header = [in_markdown(name) for name in section.table.flat_header]
            rows = [[in_markdown(cell) for cell in row] for row in section.table.rows]
            parts.append(markdown_table(header, rows, section.table.text_columns))
        parts += [in_markdown(line) for line in section.below]
        for heading, lines in section.lists:
            parts.append(f"**{in_markdown(heading)}**")
            parts.append("\n".join(f"- {in_markdown(line)}" for line in lines))
    return "\n\n".join(parts) + "\n"


def markdown_table(
    header: Sequence[str], rows: Sequence[Sequence[str]], text_columns: Container[int] = (0,)
) -> str:
    """Format a Markdown table without a final line end; cells are Markdown, bars are escaped."""
    rule = ["---" if n in text_columns else "---:" for n in range(len(header))]
    bar = r"(?<!\\)((?:\\\\)*)\|"  # not escaped yet: after an even number of backslashes
    lines = [[re.sub(bar, r"\1\\|", cell) for cell in row] for row in (header, rule, *rows)]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def in_markdown(text: str) -> str:
    """Escape text for Markdown where it would have an effect."""
    without_html = HTML.sub(lambda found: html.escape(found[0]), one_line(text))
    return MARKDOWN.sub(r"\\\g<0>", without_html.replace("~", "&#126;"))


def as_latex(sections: Sequence[Section]) -> str:
    """Format sections as LaTeX: tables need the package booktabs, other text is a comment."""
    parts = ["% needs \\usepackage{booktabs}"]
    for section in sections:
        lines = [section.title, *section.about]
        if section.table is not None:
            parts += [f"% {one_line(line)}" for line in lines if line]
            parts += [latex_table(section.table), ""]
            lines = []
        lines += section.below
        for heading, items in section.lists:
            lines += [f"{heading}:", *items]
        parts += [f"% {one_line(line)}" for line in lines if line] + [""]
    return "\n".join(parts)


def latex_table(table: TextTable) -> str:
    """Format a table with the rules of booktabs."""
    columns = "".join("l" if n in table.text_columns else "r" for n in range(len(table.header)))
    header = [in_latex(name) for name in table.flat_header]
    rows = []
    for number, row in enumerate(table.rows):
        cells = [in_latex(cell) for cell in row]
        if number in table.bold_rows:
            cells = [rf"\textbf{{{cell}}}" if cell else "" for cell in cells]
        rows.append(" & ".join(cells) + r" \\")
    # A bracket or a star at the start of a line would be an argument of the line before.
    rows = [rf"\relax {row}" if row[:1] in "[*" else row for row in rows]
    begin = [rf"\begin{{tabular}}{{{columns}}}", r"\toprule", " & ".join(header) + r" \\"]
    return "\n".join([*begin, r"\midrule", *rows, r"\bottomrule", r"\end{tabular}"])


def in_latex(text: str) -> str:
    """Escape text for LaTeX."""
    return "".join(LATEX.get(letter, letter) for letter in one_line(text))
