"""Tables of series: long and wide forms, columns, and errors with their line."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from tests.helpers.labelled_series import (
    draw,
    load,
    long_rows,
    refusal,
    said,
    write_long,
    write_npz,
    write_rows,
    write_ts,
    write_wide,
)

ITEMS = draw()
HEADER = ["id", "time", "x0", "x1", "label"]


def changed(folder: Path, row: int, column: int, cell: str) -> Path:
    """Write the long table with one cell replaced; row 0 is line 2."""
    rows = long_rows(ITEMS)
    rows[row][column] = cell
    return write_rows(folder / "data.csv", HEADER, rows)


def test_every_format_gives_the_same_data(tmp_path: Path) -> None:
    long = write_long(tmp_path / "data.csv", ITEMS)
    write_long(tmp_path / "data.tsv", ITEMS)
    frame = pd.read_csv(long)
    frame.to_parquet(tmp_path / "data.parquet")
    frame.to_json(tmp_path / "data.jsonl", orient="records", lines=True, double_precision=15)
    write_npz(tmp_path / "data.npz", ITEMS)
    write_ts(tmp_path / "data.ts", ITEMS)
    hashes = {path.suffix: load(path).data.sha256 for path in tmp_path.iterdir()}
    assert len(hashes) == 6
    assert hashes == dict.fromkeys(hashes, hashes[".csv"])


def test_wide_tables_give_the_same_data(tmp_path: Path) -> None:
    items = draw(channels=1)
    expected = load(write_ts(tmp_path / "data.ts", items)).data.sha256
    task = load(write_wide(tmp_path / "data.csv", items))
    assert task.data.sha256 == expected
    assert "one row per series: label label, 8 steps t0, t1, t2" in said(task)
    assert "trailing empty cells" in said(task)


def test_files_of_the_ucr_archive_have_no_header(tmp_path: Path) -> None:
    items = draw(channels=1, classes=("1", "-1"))
    expected = load(write_ts(tmp_path / "data.ts", items)).data.sha256
    wide = write_wide(tmp_path / "data.csv", items)
    rows = [line.split(",") for line in wide.read_text().splitlines()[1:]]
    lines = ["\t".join(cell or "NaN" for cell in row) for row in rows]
    path = tmp_path / "data.tsv"
    path.write_text("\n".join(lines))
    task = load(path)
    assert task.data.sha256 == expected
    assert task.classes == ("-1", "1")
    assert "the first column is the label" in said(task)
    path.write_text("\n".join([*lines[:3], lines[3] + "\t1"]))
    assert "line 4: 10 cells, the first line has 9" in refusal(path)


def test_rows_of_ids_may_be_mixed_and_columns_in_any_order(tmp_path: Path) -> None:
    expected = load(write_long(tmp_path / "a.csv", ITEMS)).data.sha256
    rows = sorted(long_rows(ITEMS), key=lambda row: int(row[1]))
    reordered = [[row[4], row[1], row[2], row[0], row[3]] for row in rows]
    header = ["Class", "Timestamp", "x0", "Series_ID", "x1"]
    task = load(write_rows(tmp_path / "b.csv", header, reordered))
    assert task.data.sha256 == expected
    assert "id Series_ID, time Timestamp, label Class, channels x0, x1" in said(task)


def test_columns_can_be_chosen(tmp_path: Path) -> None:
    rows = [[*row, "free text"] for row in long_rows(ITEMS)]
    header = ["who", "when", "x0", "x1", "what", "note"]
    path = write_rows(tmp_path / "data.csv", header, rows)
    chosen = {"id": "who", "time": "when", "label": "what"}
    task = load(path, **chosen, features=["x1"])
    assert task.channels == ["x1"]
    np.testing.assert_array_equal(task.items_read.series.values[0][:, 0], ITEMS[0].values[:, 1])
    assert "line 2: note is 'free text', not a finite number" in refusal(path, **chosen)
    assert "task.features=x9: no such column" in refusal(path, **chosen, features=["x9"])
    assert "x1 is given twice" in refusal(path, **chosen, features=["x1", "x1"])
    assert "what is given twice, or is id" in refusal(path, **chosen, features=["x1", "what"])


def test_dates_are_times_and_uneven_intervals_are_said(tmp_path: Path) -> None:
    rows = long_rows(ITEMS)
    for row in rows:
        row[1] = f"2024-02-{1 + int(row[1]) * (int(row[1]) + 1) // 2:02d} 10:00"
    task = load(write_rows(tmp_path / "data.csv", HEADER, rows))
    assert "intervals between times vary" in said(task)
    regular = load(write_long(tmp_path / "regular.csv", ITEMS))
    assert "intervals" not in said(regular)


def test_without_times_the_order_of_rows_counts_and_is_said(tmp_path: Path) -> None:
    rows = [[row[0], *row[2:]] for row in long_rows(ITEMS)]
    task = load(write_rows(tmp_path / "data.csv", ["id", "x0", "x1", "label"], rows))
    assert task.data.sha256 == load(write_long(tmp_path / "long.csv", ITEMS)).data.sha256
    assert "in the order of its rows" in said(task)
    assert "counts the steps" not in said(task)
    counted = write_rows(
        tmp_path / "counted.csv", ["id", "row", "x0", "x1", "label"], long_rows(ITEMS)
    )
    assert "row counts the steps of every id; add task.time=row unless it is measured" in said(
        load(counted)
    )


def test_row_numbers_of_pandas_are_no_channel(tmp_path: Path) -> None:
    path = tmp_path / "data.csv"
    pd.read_csv(write_long(path, ITEMS)).to_csv(path)
    task = load(path)
    assert task.channels == ["x0", "x1"]
    assert "column index is left out as a row number" in said(task)


def test_semicolons_with_decimal_commas(tmp_path: Path) -> None:
    expected = load(write_long(tmp_path / "a.csv", ITEMS)).data.sha256
    lines = (tmp_path / "a.csv").read_text().replace(",", ";").replace(".", ",")
    path = tmp_path / "b.csv"
    path.write_text(lines)
    task = load(path)
    assert task.data.sha256 == expected
    assert "decimal commas" in said(task)


def test_empty_cells_and_words_for_missing_values(tmp_path: Path) -> None:
    for word in ("", "NA", "nan", "?", "null"):
        task = load(changed(tmp_path, 1, 2, word))
        assert np.isnan(task.items_read.series.values[0][1, 0]), word
        assert "missing values: 1 " in said(task)


@pytest.mark.parametrize(
    ("row", "column", "cell", "expected"),
    [
        (1, 4, "yes", "line 3: label is 'yes', but 'no' in the first row of id 's0'"),
        (1, 4, "", "line 3: label is empty; fill it, or remove the rows of this series"),
        (1, 0, "", "line 3: id is empty"),
        (1, 1, "", "line 3: time is empty"),
        (1, 1, "0", "the row of id 's0' and time '0' occurs twice, in lines 2 and 3; keep one"),
        (2, 1, "0", "the row of id 's0' and time '0' occurs twice, in lines 2 and 4; keep one"),
        (1, 1, "-1", "line 3: id 's0': time '-1' is not after '0'; sort the rows"),
        (1, 1, "noon", "line 3: time is 'noon', not a number or a date"),
        (1, 2, "1.2.3", "line 3: x0 is '1.2.3', not a finite number"),
        (1, 3, "inf", "line 3: x1 is 'inf', not a finite number"),
    ],
)
def test_errors_name_the_line(
    tmp_path: Path, row: int, column: int, cell: str, expected: str
) -> None:
    assert expected in refusal(changed(tmp_path, row, column, cell))


def test_missing_columns_are_named(tmp_path: Path) -> None:
    rows = [row[:4] for row in long_rows(ITEMS)]
    path = write_rows(tmp_path / "data.csv", HEADER[:4], rows)
    assert "set task.label=NAME (the columns are: id, time, x0, x1)" in refusal(path)
    assert "task.label=lable: no such column" in refusal(path, label="lable")
    only = write_rows(tmp_path / "only.csv", ["id", "label"], [["a", "x"], ["a", "x"]])
    assert "no column of values is left beside id, label" in refusal(only)


def test_a_table_that_may_be_long_or_wide_is_asked_about(tmp_path: Path) -> None:
    rows = [row for row in long_rows(ITEMS) if row[1] == "0"]
    message = refusal(write_rows(tmp_path / "data.csv", HEADER, rows))
    assert "every id has one row, although there is a column time" in message


def test_a_wide_table_with_text_says_how_rows_are_read(tmp_path: Path) -> None:
    rows = [["2020-01-01", "1.0", item.label] for item in ITEMS]
    message = refusal(write_rows(tmp_path / "data.csv", ["day", "x", "label"], rows))
    assert "day is '2020-01-01'" in message
    assert "for one row per step set task.id=NAME" in message


def test_groups_are_constant_within_an_id(tmp_path: Path) -> None:
    rows = [[*row, str(int(row[0][1:]) // 2)] for row in long_rows(ITEMS)]
    path = write_rows(tmp_path / "data.csv", [*HEADER, "person"], rows)
    task = load(path, group="person")
    assert task.channels == ["x0", "x1"]
    assert task.items_read.series.groups == [str(i // 2) for i in range(40)]
    assert "person is the name of a group: set task.group=person" in refusal(path)
    assert load(path, features=["x0", "person"]).channels == ["x0", "person"]
    rows[1][5] = "7"
    write_rows(path, [*HEADER, "person"], rows)
    assert "line 3: person is '7', but '0' in the first row" in refusal(path, group="person")
