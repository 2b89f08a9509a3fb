"""The page says where times speak of kernels, and at what part of the peak each arm trains."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from benchmarks.analysis.compare import compare
from benchmarks.analysis.comparison import Group
from benchmarks.reporting.html.costs import cost_figures
from benchmarks.reporting.html.overview import arm_table
from benchmarks.reporting.html.theme import Looks
from scripts.report import main
from tests.helpers import planted

HINT = "depend on kernels"
SHARES = {"rnn": 0.09, "lstm": 0.38}


def rows(flops: dict[str, float]) -> list[dict[str, Any]]:
    """Two nets whose forward passes take so many FLOPs per token."""
    return [
        planted.row(
            "sp500",
            model,
            seed,
            20.0 + seed,
            model_flops_utilisation=SHARES[model],
            peak_gflops=100.0,
            tokens_per_second=SHARES[model] * 100e9 / (3 * flops[model]),
            kernel="torch",
            precision="highest",
        )
        for model in SHARES
        for seed in range(3)
    ]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return planted.write(tmp_path / "results", rows({"rnn": 1e5, "lstm": 4e5}))


def group_of(folder: Path) -> Group:
    (group,) = compare([folder]).groups
    return group


def test_the_page_warns(folder: Path, tmp_path: Path) -> None:
    page = tmp_path / "page.html"
    assert main([str(folder), "-o", str(page)]) == 0
    text = page.read_text(encoding="utf-8")
    assert "lstm does 4.0 times the arithmetic of rnn in" in text
    assert "these times depend on kernels as much as on cells" in text
    assert "38 % of peak, torch" in text


def test_the_figure_of_training_times_warns(folder: Path) -> None:
    group = group_of(folder)
    captions = {figure.name: figure.caption for figure in cost_figures(group, Looks([group]), "x")}
    assert [name for name, caption in captions.items() if HINT in caption] == [
        "x-cost-training-time"
    ]


def test_nothing_is_said_where_times_follow_the_arithmetic(tmp_path: Path) -> None:
    """The same shares, as another peak would have it, of times that are as they should be."""
    alike = [
        row | {"model_flops_utilisation": 0.2, "tokens_per_second": 0.2 * 100e9 / (3 * flops)}
        for row in rows({"rnn": 1e5, "lstm": 4e5})
        for flops in [{"rnn": 1e5, "lstm": 4e5}[row["model"]]]
    ]
    group = group_of(planted.write(tmp_path / "results", alike))
    assert not any("kernels" in note for note in group.notes)
    assert not any(HINT in figure.caption for figure in cost_figures(group, Looks([group]), "x"))


def test_the_table_shows_the_share_beside_the_time(folder: Path, tmp_path: Path) -> None:
    def beside(group: Group) -> set[str]:
        table = arm_table(group)
        place = table.header.index("training")
        return {row[place].more for row in table.rows}

    assert beside(group_of(folder)) == {"9.0 % of peak, torch", "38 % of peak, torch"}
    bare = [{**row, "model_flops_utilisation": ""} for row in rows({"rnn": 1e5, "lstm": 4e5})]
    assert beside(group_of(planted.write(tmp_path / "bare", bare))) == {""}
