"""Series that cannot be forecast: too short for the horizon, constant, or a row per year."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest

from tasks.base import DataError
from tests.helpers.series_files import airline, load, write_series


@pytest.mark.parametrize(("steps", "window"), [(732, None), (732, 30), (60, None), (100, 3)])
def test_the_largest_horizon_that_an_error_names_is_possible(
    steps: int, window: int | None, tmp_path: Path
) -> None:
    file = write_series(tmp_path, np.tile(airline(), 6)[:steps])
    with pytest.raises(DataError) as caught:
        load(file, horizon=steps + 68, window=window)
    found = re.search(r"or task\.horizon=(\d+) or less$", str(caught.value))
    assert found is not None
    largest = int(found[1])
    # The shorter of validation and test leaves an origin per step, three of them.
    assert largest == min(steps - round(0.85 * steps), round(0.85 * steps) - round(0.7 * steps)) - 2
    assert min(load(file, horizon=largest, window=window).data.sizes) == 3
    with pytest.raises(DataError, match=f"or task.horizon={largest} or less"):
        load(file, horizon=largest + 1, window=window)


def test_a_series_without_changes_is_refused_and_one_without_changes_in_training_said(
    tmp_path: Path,
) -> None:
    values = np.full(60, 5.0)
    with pytest.raises(DataError, match=r"all values of \w+ are 5; there is nothing to forecast$"):
        load(write_series(tmp_path, values))
    values[50:] = 6.0
    task = load(write_series(tmp_path, values))
    assert any("in training are 5: no change can be learned" in n for n in task.data.notices)


@pytest.mark.parametrize(
    ("names", "expected"),
    [
        (
            "JAN FEB MAR APR MAY JUN JUL AUG SEP OCT NOV DEC",
            "the columns JAN, FEB, MAR, … are months; put the table into long form: one row per "
            "month, with the columns date (as in 1949-01) and value",
        ),
        ("Januar Februar März April Mai Juni Juli August September Okt. Nov Dez.", "are months; "),
        ("Q1 Q2 Q3 Q4", "are quarters; put the table into long form: one row per quarter"),
    ],
)
def test_a_table_with_a_row_per_year_is_refused(names: str, expected: str, tmp_path: Path) -> None:
    months = names.split()
    file = tmp_path / "a.csv"
    rows = [f"{1950 + n}," + ",".join(str(n * m) for m in range(len(months))) for n in range(30)]
    file.write_text("\n".join(["year," + ",".join(months), *rows]), encoding="utf-8")
    with pytest.raises(DataError) as caught:
        load(file)
    assert expected in str(caught.value)
    assert load(file, column=months[1]).series.column == months[1]
