"""Links that work in the repository and on the documentation site."""

from __future__ import annotations

from typing import Any


def on_page_markdown(markdown: str, **_: Any) -> str:
    """Replace the path of CONTRIBUTING.md by that of the page that includes it."""
    return markdown.replace("](../CONTRIBUTING.md", "](contributing.md")
