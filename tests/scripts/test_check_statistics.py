"""The check of the statistics and its tables in the documentation."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from scripts.check_statistics import MARKS, main, subjects
from scripts.simulations.common import DISTRIBUTIONS
from scripts.simulations.verdicts import any_difference


def test_the_tables_are_put_into_the_page(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    page = tmp_path / "page.md"
    page.write_text(f"# Before\n\n{MARKS[0]}old\n{MARKS[1]}\nAfter\n")
    assert main(["--draws", "20", "--write", str(page)]) == 0
    before, rest = page.read_text().split(MARKS[0])
    content, after = rest.split(MARKS[1])
    assert (before, after) == ("# Before\n\n", "\nAfter\n")
    assert content.strip() == capsys.readouterr().out.strip()
    captions = [line for line in content.splitlines() if line.endswith(":")]
    assert content.count("\n| --- |") == len(captions) >= len(subjects())


@pytest.mark.parametrize("name", DISTRIBUTIONS)
def test_the_truth_is_zero(name: str) -> None:
    scores = DISTRIBUTIONS[name](np.random.default_rng(3), (400_000,))
    assert abs(scores.mean()) < 0.03


def test_every_draw_is_compared() -> None:
    scores = np.random.default_rng(4).normal(size=(6, 2, 5))
    scores[:3, 0] += 100
    assert any_difference(scores)[:3] == [True] * 3


def test_an_invalid_argument_is_one_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for arguments, answer in (
        (["--draws", "7"], "--draws 7: must be at least 20"),
        (["--write", str(tmp_path / "none.md")], "has no line <!-- table: scripts/check_statistic"),
    ):
        assert main(arguments) == 2
        (line,) = capsys.readouterr().err.splitlines()
        assert line.startswith("error: ")
        assert answer in line
