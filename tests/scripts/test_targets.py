"""The table of targets in the documentation."""

from __future__ import annotations

import math
from pathlib import Path

from scripts.documentation.targets import targets_table

TARGETS = """
- task: reviews
  table: {table}
  column: test_score
  unit: accuracy
  higher_is_better: {higher}
  targets:
    - {{arm: A, where: {{model: a}}, reach: 0.8, beyond: 0.85}}
    - {{arm: B, where: {{model: b, recipe: strong}}, reach: 0.8, beyond: 0.85}}
    - {{arm: C, where: {{model: c}}, reach: 0.8, beyond: 0.85}}
"""


def rows_of(folder: Path, lines: list[str], higher: bool) -> list[list[str]]:
    """Return the cells of the rows for a results table with the given lines."""
    table = folder / "table.csv"
    table.write_text("\n".join(["status,model,recipe,test_score", *lines]) + "\n")
    file = folder / "targets.yaml"
    file.write_text(TARGETS.format(table=table, higher=str(higher).lower()))
    rows = targets_table(file).splitlines()[2:]
    return [[cell.strip() for cell in row.strip("|").split("|")] for row in rows]


def test_means_and_intervals_are_compared_with_both_bounds(tmp_path: Path) -> None:
    """Five scores with a standard deviation of 0.01 have an interval of 0.01242."""
    deviations = [-math.sqrt(2) / 100, 0, 0, 0, math.sqrt(2) / 100]
    a = [f"ok,a,strong,{0.845 + each}" for each in deviations]
    b = [f"ok,b,strong,{0.81 + each}" for each in deviations]
    others = ["ok,b,default,0.1", "failed,b,strong,", "failed,a,strong,0.2"]
    few = ["ok,c,strong,0.79", "ok,c,strong,0.81"]
    assert rows_of(tmp_path, [*a, *b, *others, *few], higher=True) == [
        ["reviews", "A", "0.845 ± 0.012 accuracy", "5", "0.8", "met", "0.85", "missed by 0.0050"],
        [
            "reviews",
            "B",
            "0.810 ± 0.012 accuracy",
            "5",
            "0.8",
            "met by the mean alone",
            "0.85",
            "missed by 0.040",
        ],
        [
            "reviews",
            "C",
            "0.80 ± 0.13 accuracy",
            "2",
            "0.8",
            "fewer than 5 seeds",
            "0.85",
            "fewer than 5 seeds",
        ],
    ]
    a_row, b_row, _ = rows_of(tmp_path, [*a, *b], higher=False)
    assert a_row[4:] == ["0.8", "missed by 0.045", "0.85", "met by the mean alone"]
    assert b_row[4:] == ["0.8", "missed by 0.0100", "0.85", "met"]


def test_targets_without_runs_are_listed(tmp_path: Path) -> None:
    a, *_ = rows_of(tmp_path, [], higher=True)
    assert a == ["reviews", "A", "not run", "0", "0.8", "", "0.85", ""]
    (tmp_path / "table.csv").unlink()
    assert "| reviews | A | not run | 0 | 0.8 |  | 0.85 |  |" in targets_table(
        tmp_path / "targets.yaml"
    )
