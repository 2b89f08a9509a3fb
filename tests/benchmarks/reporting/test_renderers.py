"""Text of tables in Markdown and LaTeX: shown as it is, never executed."""

from __future__ import annotations

import re
import shutil
import subprocess
from collections.abc import Callable
from html.parser import HTMLParser
from pathlib import Path

import pytest
from markdown_it import MarkdownIt

from benchmarks.reporting.doc_blocks import code_block
from benchmarks.reporting.renderers import (
    Section,
    TextTable,
    as_latex,
    as_markdown,
    in_latex,
    in_markdown,
    latex_table,
    markdown_table,
)

HOSTILE = [
    "<script>alert(1)</script>",
    "[x](javascript:alert(1))",
    "![x](http://example.com/y.png)",
    "a|b",
    "=cmd()",
    r"a\|b",
    r"a\\|b\[",
    "end\\",
    "`code`",
    "*bold* **bold** _it_ __it__ snake_case _ x_y_z_",
    "<javascript:alert(1)>",
    "&lt;b&gt; & &copy; &#60;",
    "> quoted",
    "p < 0.001 > 0 <b onclick=x>",
    "<!-- end -->",
    "# heading",
    "#heading",
    "- item",
    "---",
    "+ item",
    "-0.5",
    "~~~",
    "~~x~~",
    "{: onclick=alert(1) }",
    "[1]: javascript:alert(1)",
]
TEXT_TAGS = {"p", "li", "ul", "h2", "strong", "table", "thead", "tbody", "tr", "td", "th"}


def common_mark(text: str) -> str:
    """Render as GitHub does."""
    return str(MarkdownIt("commonmark", {"html": True}).enable("table").render(text))


def python_markdown(text: str) -> str:
    """Render as MkDocs does."""
    markdown = pytest.importorskip("markdown")
    return str(markdown.markdown(text, extensions=["tables", "attr_list"]))


class Page(HTMLParser):
    """The tags of a page, and the text of its cells, items and headings."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.tags: set[str] = set()
        self.attributes: list[str] = []
        self.texts: list[str] = []
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        self.attributes += [name for name, _ in attrs if name not in ("style", "align")]
        self.texts.append("")

    def handle_data(self, data: str) -> None:
        if self.texts:
            self.texts[-1] += data


@pytest.mark.parametrize("text", HOSTILE)
@pytest.mark.parametrize("render", [common_mark, python_markdown])
def test_markdown_shows_text_as_it_is(text: str, render: Callable[[str], str]) -> None:
    table = TextTable(["arm", text], [[text, "1"], ["lstm", text]], frozenset({0}))
    sections = [Section(text, [f"data: {text}"], table, [text], [(text, [text, f"{text} ahead"])])]
    page = Page(render(as_markdown(sections)))
    assert page.tags <= TEXT_TAGS
    assert not page.attributes
    shown = [found.strip() for found in page.texts]
    assert shown.count(text) == 7  # title, header, two cells, line, heading, item
    assert f"data: {text}" in shown
    assert f"{text} ahead" in shown
    assert shown.count("1") == 1  # the columns are intact


def test_an_underscore_within_a_word_is_not_escaped() -> None:
    assert in_markdown("test_score of a_b_c, _x_") == r"test_score of a_b_c, \_x\_"


@pytest.mark.parametrize(("cell", "wanted"), [("a|b", r"a\|b"), (r"a\|b", r"a\|b")])
def test_bars_of_markdown_cells_are_escaped_once(cell: str, wanted: str) -> None:
    assert markdown_table(["x"], [[cell]]).splitlines()[-1] == f"| {wanted} |"


@pytest.mark.parametrize("text", ["a", "```\n<b>\n```", "`````", "a ```` b"])
def test_no_text_ends_a_code_block(text: str) -> None:
    (token,) = MarkdownIt().parse(code_block(text))
    assert (token.type, token.content) == ("fence", f"{text}\n")


@pytest.mark.parametrize("text", [*HOSTILE, r"\input{/etc/passwd}", "100 % $x^2$ ~ #1 & b_c"])
def test_latex_executes_no_text(text: str) -> None:
    escaped = re.compile(r"\\text[a-z]+\{\}|\\[&%$#_{}]")
    assert not set(escaped.sub("", in_latex(text))) & set("\\&%$#_{}~^<>|")


def test_latex_outside_tables_is_a_comment() -> None:
    lines = as_latex([Section("t\n\\input{x}", [], None, ["\\input{x}\n\\y"], [])]).splitlines()
    assert all(line.startswith("%") for line in lines if line)


@pytest.mark.skipif(shutil.which("pdflatex") is None, reason="pdflatex is not installed")
def test_latex_of_hostile_text_compiles(tmp_path: Path) -> None:
    rows = [[text, "1"] for text in HOSTILE]
    table = latex_table(TextTable(["arm", "n"], rows, frozenset({0})))
    head = "\\documentclass{article}\\usepackage{booktabs}\\begin{document}\n"
    (tmp_path / "t.tex").write_text(f"{head}{table}\n\\end{{document}}\n", encoding="utf-8")
    command = ["pdflatex", "-interaction=nonstopmode", "-halt-on-error", "t.tex"]
    subprocess.run(command, cwd=tmp_path, check=True, capture_output=True)
