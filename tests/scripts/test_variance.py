"""The command that prints variance components."""

from __future__ import annotations

from pathlib import Path

import pytest

from scripts.variance import MARKS, main
from tests.helpers.crossed_runs import A, B, design, results


def test_the_table_is_printed_and_put_into_the_page(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    page = tmp_path / "page.md"
    page.write_text(f"# Before\n\n{MARKS[0]}old\n{MARKS[1]}\nAfter\n")
    folder = results(tmp_path, design([A, B]))
    assert main([str(folder), "--write", str(page)]) == 0
    printed = capsys.readouterr().out
    assert page.read_text() == f"# Before\n\n{MARKS[0]}{printed}{MARKS[1]}\nAfter\n"
    lines = printed.splitlines()
    assert lines[0] == "lstm on toy, train.max_epochs=3: 6 runs, sd of accuracy:"
    row = next(line for line in lines if line.startswith("| initialisation"))
    cells = [cell.strip() for cell in row.strip("|").split("|")]
    assert cells[:3] == ["initialisation", "3", "0.0100"]
    assert cells[4] == "11"


def test_a_mistake_is_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = results(tmp_path, design([A, B])[1:])
    for arguments, answer in (
        ([str(folder)], "error: lstm on toy: 1 of 6 runs of the design failed or are missing"),
        ([str(tmp_path / "none.csv")], "there is no such file"),
    ):
        assert main(arguments) == 2
        (line,) = capsys.readouterr().err.splitlines()
        assert answer in line
