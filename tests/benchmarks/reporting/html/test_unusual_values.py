"""A page and its files from huge scores and hostile names."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest

from scripts.report import main
from tests.helpers import planted

HOSTILE = ["<script>alert(1)</script>", "[x](javascript:alert(1))", "a|b", "=cmd()"]


def specs(page: Path) -> dict[str, Any]:
    """Return the charts of a page, parsed as the JSON standard defines."""
    text = page.read_text(encoding="utf-8")
    found = re.search(r'<script type="application/json" id="charts">(.*?)</script>', text, re.S)
    assert found is not None
    charts: dict[str, Any] = json.loads(found[1], parse_constant=lambda name: pytest.fail(name))
    return charts["specs"]  # type: ignore[no-any-return]


@pytest.mark.parametrize("size", [1e160, 1.5e308])
def test_huge_scores_have_exponents(tmp_path: Path, size: float) -> None:
    rows = [planted.row("shakespeare", "uniform", None, 65.0, baseline="naive")]
    for seed in range(3):
        for model, score in (("gru", 5 + 0.1 * seed), ("lstm", size * (1 + 0.1 * seed % 0.15))):
            rows.append(planted.row("shakespeare", model, seed, score, val_score=min(score, 1e307)))
            planted.leave_history(tmp_path, rows[-1], [1e307, 9.0, score])
    page, files = tmp_path / "page.html", tmp_path / "files"
    assert main([str(planted.write(tmp_path, rows)), "-o", str(page), "--figures", str(files)]) == 0
    charts = specs(page)
    assert {f"shakespeare-perplexity-{kind}" for kind in ("scores", "seeds")} <= set(charts)
    long = r"(?<!\d)\d[\d,]{30}"
    assert not re.search(long, (files / "arms.md").read_text(encoding="utf-8"))
    visible = page.read_text(encoding="utf-8").partition("<footer>")[0].partition("<body>")[2]
    assert not re.search(long, re.sub(r'data-value="[^"]*"', "", visible))
    assert "e+" in visible
    for name in charts:
        texts = re.findall(r"<text[^>]*>([^<]*)", (files / f"{name}.svg").read_text("utf-8"))
        assert not [text for text in texts if len(text) > 60 or re.search(long, text)]


def test_hostile_names_are_text_in_the_files(tmp_path: Path) -> None:
    rows = [
        planted.row("sp500", model, seed, 5 + place + 0.1 * seed, dataset=HOSTILE[1])
        for place, model in enumerate(HOSTILE)
        for seed in range(3)
    ]
    for number, row in enumerate(rows):
        row["run_id"] = f"r{number}"
    page, files = tmp_path / "page.html", tmp_path / "files"
    assert main([str(planted.write(tmp_path, rows)), "-o", str(page), "--figures", str(files)]) == 0
    markdown = (files / "arms.md").read_text(encoding="utf-8")
    for written in (r"| &lt;script>", r"| \[x\](javascript:", r"| a\|b |", "| =cmd() |"):
        assert written in markdown
    assert "<" not in markdown
    assert r"\textless{}script\textgreater{}" in (files / "arms.tex").read_text(encoding="utf-8")
    assert HOSTILE[0] not in page.read_text(encoding="utf-8")
