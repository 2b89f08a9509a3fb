"""The critical-difference diagram, in the page and as a file."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import pytest

from benchmarks.analysis.over_groups import AcrossTasks
from benchmarks.reporting.html.ranks import rank_figure
from scripts.report import main
from tests.helpers import planted
from tests.helpers.planted import drawn

FOUND = AcrossTasks(
    arms=["bilstm", "gru", "lstm", "rnn"],
    ranks=[1.5, 2.0, 2.75, 3.75],
    groups=[f"t{n}" for n in range(8)],
    statistic=9.1,
    p=0.0005,
    critical_difference=1.658,
    not_shown=[["bilstm", "gru", "lstm"], ["lstm", "rnn"]],
    notes=[],
)


def lines(found: AcrossTasks) -> list[dict[str, Any]]:
    """Return the lines of a diagram."""
    figure = rank_figure(found)
    assert figure is not None
    return [record for record in drawn(figure) if "x2" in record]


def test_bars_join_what_is_not_shown_to_differ() -> None:
    bars = [line for line in lines(FOUND) if 1.7 < line["y"] == line["y2"] < 3]
    wider = 0.06
    assert [(bar["x"], bar["x2"]) for bar in bars] == [
        (pytest.approx(1.5 - wider), pytest.approx(2.75 + wider)),
        (pytest.approx(2.75 - wider), pytest.approx(3.75 + wider)),
    ]
    assert bars[0]["y"] != bars[1]["y"]


def test_the_critical_difference_is_drawn_to_scale() -> None:
    assert [line for line in lines(FOUND) if line["y"] == 0.8] == [
        {"x": 1, "x2": 1 + 1.658, "y": 0.8, "y2": 0.8}
    ]


@pytest.mark.parametrize("count", range(3, 9))
def test_lines_to_names_do_not_cross(count: int) -> None:
    found = dataclasses.replace(
        FOUND,
        arms=[f"m{n}" for n in range(count)],
        ranks=[1 + 0.9 * n for n in range(count)],
        not_shown=[],
    )
    names = [line for line in lines(found) if line["y"] > 1.7 or line["y2"] > 1.7]
    upright = [line for line in names if line["x"] == line["x2"]]
    level = [line for line in names if line["y"] == line["y2"]]
    assert len(upright) == len(level) == count
    for line in upright:
        crossed = [
            other
            for other in level
            if other["x"] < line["x"] < other["x2"] and line["y"] < other["y"] < line["y2"]
        ]
        assert not crossed


def test_names_and_ranks_are_shown_once_each() -> None:
    figure = rank_figure(FOUND)
    assert figure is not None
    texts = [record["text"] for record in drawn(figure) if "text" in record]
    named = ["bilstm 1.50", "gru 2.00", "2.75 lstm", "3.75 rnn"]
    assert sorted(texts) == sorted([*named, "1", "2", "3", "4", "critical difference 1.66"])
    assert figure.rows == [["bilstm", "1.50"], ["gru", "2.00"], ["lstm", "2.75"], ["rnn", "3.75"]]


def test_without_a_difference_the_caption_says_so() -> None:
    figure = rank_figure(dataclasses.replace(FOUND, p=0.2, not_shown=[FOUND.arms]))
    assert figure is not None
    assert "No difference between these networks is shown" in figure.caption
    assert "p = 0.20" in figure.caption
    assert rank_figure(None) is None


def test_the_page_and_the_files_have_the_diagram(tmp_path: Path) -> None:
    rows = [
        planted.row("sp500", model, seed, 5 + place + 0.1 * seed, split=f"split {split}")
        | {"run_id": f"{model}-{seed}-{split}"}
        for place, model in enumerate(("gru", "lstm", planted.HOSTILE))
        for split in range(5)
        for seed in range(2)
    ]
    page, files = tmp_path / "page.html", tmp_path / "files"
    assert main([str(planted.write(tmp_path, rows)), "-o", str(page), "--figures", str(files)]) == 0
    text = page.read_text(encoding="utf-8")
    assert '<section id="ranks"' in text
    assert '<a href="#ranks">Across tasks</a>' in text
    assert text.count('id="across-tasks"') == 1
    assert 'data-name="across-tasks"' in text
    assert planted.HOSTILE not in text
    svg = (files / "across-tasks.svg").read_text(encoding="utf-8")
    assert "gru 1.00" in svg
    assert planted.HOSTILE not in svg
    assert (files / "across-tasks.png").read_bytes()[1:4] == b"PNG"
