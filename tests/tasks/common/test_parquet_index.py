"""The index of a data frame that pandas wrote as Parquet."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest

from tasks.common.tables import read_table


@pytest.mark.parametrize(
    ("index", "column"),
    [
        (pd.date_range("2015-01-01", periods=2), "index"),
        (pd.Index(["a", "b"]), "index"),
        (pd.Index([7, 8], name="id"), "id"),
        (pd.RangeIndex(2), None),
        (pd.Index([7, 8]), None),
    ],
)
def test_an_index_of_data_becomes_a_column(
    tmp_path: Path, index: pd.Index, column: str | None
) -> None:
    pd.DataFrame({"x": [1, 2]}, index=index).to_parquet(tmp_path / "a.parquet")
    frame = read_table(tmp_path / "a.parquet", "task.data=a.parquet").frame
    assert list(frame.columns) == ([column, "x"] if column else ["x"])
    if column:
        assert frame[column].tolist() == [str(value) for value in index]


def test_columns_of_several_levels_get_one_name(tmp_path: Path) -> None:
    columns = pd.MultiIndex.from_tuples([("Close", "AAPL"), ("Close", "MSFT")])
    frame = pd.DataFrame([[1, 2]], columns=columns, index=pd.Index(["2015-01-02"], name="Date"))
    frame.to_parquet(tmp_path / "a.parquet")
    table = read_table(tmp_path / "a.parquet", "task.data=a.parquet")
    assert list(table.frame.columns) == ["Date", "Close AAPL", "Close MSFT"]
