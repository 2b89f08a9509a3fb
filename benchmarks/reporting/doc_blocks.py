"""Generated blocks in pages of the documentation."""

from __future__ import annotations

import re
from pathlib import Path

from benchmarks.errors import UserError


def code_block(text: str) -> str:
    """Return lines as a Markdown code block, which no backticks in them can end."""
    fence = "`" * max(3, *(len(run) + 1 for run in re.findall(r"`+", f"`{text}")))
    return f"{fence}\n{text}\n{fence}\n"


def put_between(page: Path, marks: tuple[str, str], content: str) -> None:
    """Replace the text between two marks of a page; a page without them is a `UserError`."""
    begin, end = marks
    text = page.read_text(encoding="utf-8") if page.is_file() else ""
    if begin not in text:
        raise UserError(f"{page}: has no line {begin.strip()} to put the table after")
    pattern = f"({re.escape(begin)}).*?({re.escape(end)})"
    filled = re.sub(pattern, lambda m: m[1] + content + m[2], text, flags=re.DOTALL)
    page.write_text(filled, encoding="utf-8")
